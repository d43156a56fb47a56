package org.vmcheck;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import com.github.luben.zstd.ZstdOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import net.jpountz.lz4.LZ4FrameOutputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;
import org.apache.commons.compress.compressors.bzip2.BZip2CompressorOutputStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.tukaani.xz.LZMA2Options;
import org.tukaani.xz.XZOutputStream;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.codec.Codecs;
import org.vmcheck.codec.CorruptPageException;
import org.vmcheck.codec.PageCodec;
import org.vmcheck.debuginfo.BtfTypes;
import org.vmcheck.debuginfo.DebugSources;
import org.vmcheck.debuginfo.Kallsyms;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.debuginfo.Types;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.OpenOptions;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MappedFile;
import org.vmcheck.kernel.KernelFinder;
import org.vmcheck.testing.BootImageWriter;
import org.vmcheck.testing.BtfWriter;
import org.vmcheck.testing.Bytes;
import org.vmcheck.testing.ElfWriter;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.FlattenedWriter;
import org.vmcheck.testing.KallsymsWriter;
import org.vmcheck.testing.KdumpWriter;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.Packer;

/// Feeds every reader with changed input: the answer is a result or a declared exception, in
/// bounded time and memory. An input that reaches a branch none reached before is changed further
/// ([Probes]). `scripts/fuzz SECONDS` runs it for long; a run of the tests gives each target a
/// moment.
class FuzzTest {
  /// Seconds a target.
  private static final double SECONDS =
      Double.parseDouble(System.getProperty("vmcheck.fuzz.seconds", "0.5"));

  private static final long SEED = Long.getLong("vmcheck.fuzz.seed", 1);
  private static final Duration SLOW = Duration.ofSeconds(20);
  private static final Duration HANG = Duration.ofSeconds(60);

  /// Bytes that reading one input may allocate in all; the caches have their own bounds.
  private static final long MUCH_MEMORY = 512L << 20;

  /// Bytes of a fixture that is gone through whole.
  private static final int SMALL = 16 << 10;

  private static final int MUCH_TO_COPY = 128 << 20;

  private static final int MAX_CORPUS = 4096;
  private static final com.sun.management.ThreadMXBean THREADS =
      (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
  private static final long TEXT = 0xffffffff81000000L;

  @TempDir private static Path directory;

  @FunctionalInterface
  interface Reader {
    /// Throws only what is declared for bad input.
    void read(byte[] input) throws IOException, CorruptPageException;
  }

  /// One reader and what it is fed with.
  record Target(String name, List<byte[]> seeds, Reader reader) {
    @Override
    public String toString() {
      return name;
    }
  }

  static Stream<Target> targets() throws IOException {
    List<Target> targets = new ArrayList<>();
    for (Packer packer : Packer.values()) {
      PageCodec codec = Codecs.byFlag(packer.flag()).orElseThrow();
      targets.add(
          new Target(
              "codec " + codec.name(),
              Stream.of(0, 1, 2).map(seed -> packer.pack(Bytes.mixed(seed))).toList(),
              input -> codec.decode(input, input.length, new byte[4096], 4096)));
    }
    byte[] kdump = kdump(6).bytes();
    byte[] elf = elf(ElfWriter.of64());
    targets.add(
        new Target(
            "kdump",
            List.of(
                kdump,
                kdump(1).bytes(),
                kdump(3).bits32Packed().bytes(),
                kdump(5).bits32Natural().bigEndian().bytes()),
            FuzzTest::dump));
    targets.add(
        new Target(
            "elf core",
            List.of(
                elf,
                elf(ElfWriter.of32().bigEndian()),
                elf(ElfWriter.of64().extendedCount()),
                // Found by this test: memory without end was searched for symbols.
                elf(ElfWriter.of64().excluded(1L << 40, 1L << 48))),
            FuzzTest::dump));
    targets.add(
        new Target(
            "flattened",
            List.of(FlattenedWriter.of(kdump, 3000).shuffled(1).bytes()),
            FuzzTest::dump));
    byte[] diskdump = kdump(1).bytes();
    System.arraycopy("DISKDUMP".getBytes(US_ASCII), 0, diskdump, 0, 8);
    targets.add(new Target("diskdump", List.of(diskdump), FuzzTest::dump));
    targets.add(split());
    List<byte[]> packed = new ArrayList<>();
    for (Wrap wrap : WRAPS) {
      packed.add(pack(wrap, kdump));
    }
    packed.add(tar(kdump));
    packed.add(pack(GZIPOutputStream::new, tar(elf)));
    packed.add(pack(FuzzTest::zipEntry, kdump));
    targets.add(new Target("packed", packed, FuzzTest::dump));
    targets.add(
        new Target(
            "vmcoreinfo",
            List.of(INFO.getBytes(java.nio.charset.StandardCharsets.ISO_8859_1)),
            FuzzTest::vmcoreinfo));
    targets.add(
        new Target("btf", List.of(btf()), input -> BtfTypes.parse(ByteView.of("btf", input))));
    targets.add(kallsyms());
    List<byte[]> files = new ArrayList<>();
    files.add(elf);
    for (String name : DWARF) {
      try (InputStream in = FuzzTest.class.getResourceAsStream("/dwarf/" + name)) {
        files.add(in.readAllBytes());
      }
    }
    targets.add(new Target("elf and dwarf", files, FuzzTest::elfFile));
    List<byte[]> images = new ArrayList<>();
    for (BootImageWriter writer : BootImageWriter.values()) {
      images.add(writer.image(files.getLast()));
    }
    targets.add(new Target("boot image", images, FuzzTest::elfFile));
    Path image = FakeKernel.of(Layout.ALL.getFirst()).seed(5).build().writeKdump(directory, "fake");
    targets.add(new Target("whole check", List.of(Files.readAllBytes(image)), FuzzTest::check));
    return targets.stream();
  }

  private static final List<String> DWARF =
      List.of(
          "dwarf2",
          "dwarf4",
          "dwarf5",
          "dwarf5-64",
          "dwarf5-types",
          "dwarf5-zlib",
          "dwarf5-zstd",
          "clang5",
          "split.debug");

  @FunctionalInterface
  interface Wrap {
    OutputStream around(OutputStream out) throws IOException;
  }

  private static final List<Wrap> WRAPS =
      List.of(
          GZIPOutputStream::new,
          out -> new XZOutputStream(out, new LZMA2Options(1)),
          ZstdOutputStream::new,
          out -> new LZ4FrameOutputStream(out, LZ4FrameOutputStream.BLOCKSIZE.SIZE_64KB),
          out -> new BZip2CompressorOutputStream(out, 1));

  private static byte[] pack(Wrap wrap, byte[] bytes) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (OutputStream packed = wrap.around(out)) {
      packed.write(bytes);
    }
    return out.toByteArray();
  }

  private static OutputStream zipEntry(OutputStream out) throws IOException {
    ZipOutputStream zip = new ZipOutputStream(out);
    zip.putNextEntry(new ZipEntry("vmcore"));
    return zip;
  }

  /// The first of two parts is changed.
  private static Target split() throws IOException {
    List<Path> parts = kdump(6).writeSplit(directory, 4);
    return new Target(
        "split",
        List.of(Files.readAllBytes(parts.getFirst())),
        input -> {
          Path first = Files.write(directory.resolve("input"), input);
          read(List.of(parts.getLast(), first));
        });
  }

  private static final String INFO =
      """
      OSRELEASE=6.1.0-test
      PAGESIZE=4096
      SYMBOL(swapper_pg_dir)=ffffffff81001000
      SYMBOL(init_uts_ns)=ffffffff81002000
      SYMBOL(_stext)=ffffffff81000000
      NUMBER(phys_base)=-16777216
      SIZE(page)=64
      OFFSET(page.flags)=0
      KERNELOFFSET=0
      """;

  private static KdumpWriter kdump(int version) {
    return KdumpWriter.version(version)
        .vmcoreinfo(INFO)
        .zlib(1, Bytes.mixed(1))
        .lzo(2, Bytes.mixed(2))
        .snappy(3, Bytes.mixed(3))
        .zstd(4, Bytes.mixed(4))
        .raw(5, Bytes.mixed(5))
        .excluded(6)
        .zero(7)
        .zero(8);
  }

  private static byte[] elf(ElfWriter writer) {
    return writer
        .vmcoreinfo(INFO)
        .note("QEMU", 0, new byte[440])
        .load(0x1000, Bytes.mixed(1, 8192))
        .load(0x2000, 0, Bytes.mixed(2), 0x4000)
        .bytes();
  }

  private static byte[] tar(byte[] bytes) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (TarArchiveOutputStream tar = new TarArchiveOutputStream(out)) {
      TarArchiveEntry entry = new TarArchiveEntry("vmcore");
      entry.setSize(bytes.length);
      tar.putArchiveEntry(entry);
      tar.write(bytes);
      tar.closeArchiveEntry();
    }
    return out.toByteArray();
  }

  private static byte[] btf() {
    BtfWriter writer = new BtfWriter();
    int u64 = writer.integer("long unsigned int", 8, false);
    int page =
        writer.struct(
            "page", 64, BtfWriter.Field.at("flags", u64, 0), BtfWriter.Field.bits("b", u64, 70, 3));
    writer.pointer(page);
    writer.typedef("page_t", page);
    writer.array(page, u64, 16);
    return writer.build();
  }

  private static Target kallsyms() {
    List<Symbol> symbols = new ArrayList<>();
    symbols.add(new Symbol("_stext", 'T', TEXT));
    for (int i = 0; i < 100; i++) {
      symbols.add(new Symbol("sys_" + i * 7919 % 1000, 't', TEXT + 0x100 + 0x40L * i));
    }
    KallsymsWriter.Image image =
        KallsymsWriter.as61(symbols).relativeBase(TEXT).at(0xffffffff82000000L);
    byte[] whole = image.bytes().clone();
    return new Target(
        "kallsyms",
        List.of(whole),
        input -> {
          // The tables are views of the image's own bytes.
          System.arraycopy(input, 0, image.bytes(), 0, Math.min(input.length, whole.length));
          Kallsyms.decode(image.tables(), OptionalLong.of(TEXT));
        });
  }

  private static void dump(byte[] input) throws IOException {
    read(List.of(Files.write(directory.resolve("input"), input)));
  }

  private static void read(List<Path> files) throws IOException {
    OpenOptions options = new OpenOptions(directory, 1 << 20, (what, done, total) -> {});
    try (Dump dump = Dumps.open(files, options)) {
      PageBuffer page = PageBuffer.of(dump.memory());
      for (long pfn = 0; pfn < 16; pfn++) {
        dump.memory().read(pfn);
        dump.memory().readInto(pfn, page);
        dump.memory().defect(pfn);
      }
      dump.eraseinfo();
      dump.audit();
      KernelFinder.find(dump);
    }
  }

  /// All checks on a whole kernel: none may fail.
  private static void check(byte[] input) throws IOException {
    Path file = Files.write(directory.resolve("input"), input);
    try (Analyzer analyzer = Analyzer.open(file, AnalysisOptions.DEFAULT.withThreads(1))) {
      for (CheckOutcome outcome : analyzer.check("fuzz").checks()) {
        if (outcome instanceof CheckOutcome.Failed failed) {
          throw new IllegalStateException(failed.id() + ": " + failed.reason());
        }
      }
    }
  }

  private static void vmcoreinfo(byte[] input) {
    Vmcoreinfo info =
        Vmcoreinfo.parse(new String(input, java.nio.charset.StandardCharsets.ISO_8859_1));
    info.release();
    info.symbol("_stext");
    info.number("phys_base");
    info.size("page");
    info.kernelOffset();
  }

  private static void elfFile(byte[] input) throws IOException {
    Path file = Files.write(directory.resolve("elf"), input);
    try (MappedFile map = MappedFile.open(file)) {
      if (ElfFile.probe(map)) {
        ElfFile elf = ElfFile.open(map);
        elf.notes();
        elf.sections();
      }
    }
    Vmlinux vmlinux = Vmlinux.open(file);
    vmlinux.identity();
    vmlinux.symbols();
    Optional<Types> types = vmlinux.types(DebugSources.DEFAULT.ignoring(DebugSources.Kind.PLACES));
    if (types.isPresent()) {
      for (String name : List.of("slab", "kmem_cache", "twin")) {
        for (StructLayout layout : types.get().structs(name)) {
          layout.member("fc.counters");
          layout.member("lists.next");
        }
      }
      types.get().enumerator("", "PLUS");
      types.get().typedefSize("atomic_long_t");
    }
  }

  @ParameterizedTest
  @MethodSource("targets")
  void badInputGivesAResultOrADeclaredException(Target target) throws Exception {
    Round round = new Round(target);
    Thread worker = Thread.ofPlatform().daemon().name("fuzz " + target).start(round);
    while (!worker.join(Duration.ofSeconds(1))) {
      if (System.nanoTime() - round.started > HANG.toNanos()) {
        StackTraceElement[] at = worker.getStackTrace();
        fail(
            "%s: no answer in %s, at %s; input kept in %s"
                .formatted(target, HANG, Arrays.toString(at), keep(target, round.input)));
      }
    }
    if (round.failure != null) {
      throw round.failure;
    }
    assertThat(round.inputs).isPositive();
    System.out.printf(
        "fuzz: %-14s %,9d inputs, %,4d kept for new branches%n",
        target, round.inputs, round.corpus.size() - target.seeds.size());
  }

  /// Every prefix of small fixtures, and every byte of them flipped once; of larger ones, seeded
  /// places. (The formats' own tests go through every prefix of their fixtures.)
  @ParameterizedTest
  @MethodSource("targets")
  @Tag("slow")
  void prefixesAndFlippedBytesGiveAResultOrADeclaredException(Target target) throws Exception {
    Round round = new Round(target);
    Random random = new Random(SEED);
    long bytes = target.seeds.stream().mapToLong(seed -> seed.length).sum();
    for (byte[] seed : target.seeds) {
      boolean every = bytes <= SMALL;
      long most = Math.min(2000, MUCH_TO_COPY / seed.length) / target.seeds.size();
      for (int i = 0; i < (every ? seed.length : most) && round.failure == null; i++) {
        int at = every ? i : random.nextInt(seed.length);
        round.feed(Arrays.copyOf(seed, at));
        byte[] flipped = seed.clone();
        flipped[at] ^= (byte) (1 + random.nextInt(255));
        round.feed(flipped);
      }
    }
    if (round.failure != null) {
      throw round.failure;
    }
  }

  /// One target's share of the time, in a thread of its own so that a hang is seen.
  private static final class Round implements Runnable {
    private final Target target;

    /// The seeds, and every changed input that reached a new branch.
    private final List<byte[]> corpus;

    private final Probes probes;
    private volatile long started = System.nanoTime();
    private volatile byte[] input;
    private volatile AssertionError failure;
    private volatile long inputs;

    Round(Target target) throws IOException {
      this.target = target;
      this.corpus = new ArrayList<>(target.seeds);
      this.probes = Probes.of(Dumps.class);
    }

    @Override
    public void run() {
      Random random = new Random(SEED);
      long end = System.nanoTime() + (long) (SECONDS * 1e9);
      long tried = 0;
      while (failure == null && (System.nanoTime() < end || tried < 20)) {
        byte[] changed = mutate(random, corpus);
        feed(changed);
        inputs = ++tried;
        if (probes.grew() && corpus.size() < MAX_CORPUS) {
          corpus.add(changed);
        }
      }
    }

    void feed(byte[] changed) {
      input = changed;
      started = System.nanoTime();
      long allocated = THREADS.getCurrentThreadAllocatedBytes();
      try {
        target.reader.read(changed);
      } catch (IOException | CorruptPageException expected) {
        if (expected.getMessage() == null || expected.getMessage().isBlank()) {
          failure = failed("an exception that says nothing", expected);
        }
      } catch (RuntimeException | Error bug) {
        failure = failed(bug.toString(), bug);
      }
      if (System.nanoTime() - started > SLOW.toNanos()) {
        failure = failed("took longer than " + SLOW, null);
      }
      if (THREADS.getCurrentThreadAllocatedBytes() - allocated > MUCH_MEMORY) {
        failure = failed("allocated more than " + MUCH_MEMORY + " bytes", null);
      }
    }

    private AssertionError failed(String what, Throwable cause) {
      return new AssertionError(
          "%s: %s; input kept in %s".formatted(target, what, keep(target, input)), cause);
    }
  }

  private static Path keep(Target target, byte[] input) {
    try {
      Path folder = Files.createDirectories(Path.of("target", "fuzz"));
      String hash = HexFormat.of().toHexDigits(Arrays.hashCode(input));
      return Files.write(folder.resolve(target.name.replace(' ', '-') + "-" + hash), input);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// A seed with a few changes: bytes, words of special values, runs moved, the end cut or grown.
  private static byte[] mutate(Random random, List<byte[]> seeds) {
    byte[] bytes = seeds.get(random.nextInt(seeds.size())).clone();
    // An image of a whole kernel needs many changes before one hits what is read.
    int most = 6 + (random.nextBoolean() ? bytes.length >> 16 : 0);
    for (int changes = 1 + random.nextInt(most); changes > 0 && bytes.length > 16; changes--) {
      // Headers decide more than data does.
      int range = random.nextBoolean() ? bytes.length : Math.min(bytes.length, 512);
      int at = random.nextInt(range);
      switch (random.nextInt(7)) {
        case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
        case 1 -> bytes[at] = (byte) random.nextInt(256);
        case 2 -> special(random, bytes, at, 4);
        case 3 -> special(random, bytes, at, 8);
        case 4 -> {
          int length = 1 + random.nextInt(Math.min(64, bytes.length - at));
          int from = random.nextInt(bytes.length - length + 1);
          System.arraycopy(bytes.clone(), from, bytes, at, length);
        }
        case 5 -> {
          if (random.nextInt(4) == 0) {
            bytes = Arrays.copyOf(bytes, at);
          }
        }
        default -> {
          if (random.nextInt(4) == 0) {
            bytes = Arrays.copyOf(bytes, bytes.length + random.nextInt(300));
          }
        }
      }
    }
    return bytes;
  }

  private static void special(Random random, byte[] bytes, int at, int byteCount) {
    long[] values = {
      0,
      1,
      -1,
      0x7fff_ffffL,
      0x8000_0000L,
      0xffff_ffffL,
      Long.MAX_VALUE,
      Long.MIN_VALUE,
      4096,
      bytes.length,
      bytes.length - 1L,
      random.nextLong(),
      1L << random.nextInt(64)
    };
    long value = values[random.nextInt(values.length)];
    boolean bigEndian = random.nextInt(4) == 0;
    for (int i = 0; i < byteCount && at + i < bytes.length; i++) {
      bytes[at + i] = (byte) (value >>> (8 * (bigEndian ? byteCount - 1 - i : i)));
    }
  }
}
