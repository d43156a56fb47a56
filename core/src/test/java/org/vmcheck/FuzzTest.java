package org.vmcheck;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.OptionalLong;
import java.util.Random;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.codec.Codecs;
import org.vmcheck.codec.CorruptPageException;
import org.vmcheck.codec.PageCodec;
import org.vmcheck.debuginfo.BtfTypes;
import org.vmcheck.debuginfo.Kallsyms;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.OpenOptions;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MappedFile;
import org.vmcheck.kernel.KernelFinder;
import org.vmcheck.testing.BtfWriter;
import org.vmcheck.testing.Bytes;
import org.vmcheck.testing.ElfWriter;
import org.vmcheck.testing.FlattenedWriter;
import org.vmcheck.testing.KallsymsWriter;
import org.vmcheck.testing.KdumpWriter;
import org.vmcheck.testing.Packer;

/// Feeds every reader with changed input: the answer is a result or a declared exception, in
/// bounded time. `scripts/fuzz SECONDS` runs it for long; a run of the tests gives each target a
/// moment.
class FuzzTest {
  /// Seconds a target.
  private static final double SECONDS =
      Double.parseDouble(System.getProperty("vmcheck.fuzz.seconds", "0.5"));

  private static final long SEED = Long.getLong("vmcheck.fuzz.seed", 1);
  private static final Duration SLOW = Duration.ofSeconds(10);
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
            List.of(elf, elf(ElfWriter.of32().bigEndian()), elf(ElfWriter.of64().extendedCount())),
            FuzzTest::dump));
    targets.add(
        new Target(
            "flattened",
            List.of(FlattenedWriter.of(kdump, 3000).shuffled(1).bytes()),
            FuzzTest::dump));
    targets.add(
        new Target("packed", List.of(gzip(kdump), tar(kdump), gzip(tar(elf))), FuzzTest::dump));
    targets.add(
        new Target(
            "vmcoreinfo",
            List.of(INFO.getBytes(java.nio.charset.StandardCharsets.ISO_8859_1)),
            FuzzTest::vmcoreinfo));
    targets.add(
        new Target("btf", List.of(btf()), input -> BtfTypes.parse(ByteView.of("btf", input))));
    targets.add(kallsyms());
    targets.add(new Target("elf and dwarf", List.of(elf), FuzzTest::elfFile));
    return targets.stream();
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

  private static byte[] gzip(byte[] bytes) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (OutputStream packed = new GZIPOutputStream(out)) {
      packed.write(bytes);
    }
    return out.toByteArray();
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
    Path file = Files.write(directory.resolve("input"), input);
    OpenOptions options = new OpenOptions(directory, 1 << 20, (what, done, total) -> {});
    try (Dump dump = Dumps.open(List.of(file), options)) {
      byte[] page = new byte[dump.memory().pageSize()];
      for (long pfn = 0; pfn < 16; pfn++) {
        dump.memory().read(pfn);
        dump.memory().readInto(pfn, page);
        dump.memory().defect(pfn);
      }
      dump.eraseinfo();
      if (dump.container().pages().stored() < 1 << 20) {
        dump.audit();
        KernelFinder.find(dump);
      }
    } catch (IOException e) {
      if (e.getMessage().contains("more than the limit")) {
        return;
      }
      throw e;
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
    assertThat(Vmlinux.open(file)).isNotNull();
  }

  @ParameterizedTest
  @MethodSource("targets")
  void badInputGivesAResultOrADeclaredException(Target target) throws IOException {
    Random random = new Random(SEED);
    long end = System.nanoTime() + (long) (SECONDS * 1e9);
    long inputs = 0;
    while (System.nanoTime() < end || inputs < 20) {
      byte[] input = mutate(random, target.seeds);
      inputs++;
      long start = System.nanoTime();
      try {
        target.reader.read(input);
      } catch (IOException | CorruptPageException expected) {
        assertThat(expected.getMessage()).isNotBlank();
      } catch (RuntimeException | Error bug) {
        Path kept = keep(target, input);
        fail("%s: %s; input kept in %s".formatted(target, bug, kept), bug);
      }
      if (System.nanoTime() - start > SLOW.toNanos()) {
        fail(
            "%s: took longer than %s; input kept in %s"
                .formatted(target, SLOW, keep(target, input)));
      }
    }
    assertThat(inputs).isPositive();
  }

  private static Path keep(Target target, byte[] input) throws IOException {
    Path folder = Files.createDirectories(Path.of("target", "fuzz"));
    String hash = HexFormat.of().toHexDigits(Arrays.hashCode(input));
    return Files.write(folder.resolve(target.name.replace(' ', '-') + "-" + hash), input);
  }

  /// A seed with a few changes: bytes, words of special values, runs moved, the end cut or grown.
  private static byte[] mutate(Random random, List<byte[]> seeds) {
    byte[] bytes = seeds.get(random.nextInt(seeds.size())).clone();
    for (int changes = 1 + random.nextInt(6); changes > 0 && bytes.length > 16; changes--) {
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
