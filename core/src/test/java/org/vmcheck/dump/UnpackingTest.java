package org.vmcheck.dump;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.github.luben.zstd.ZstdOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import net.jpountz.lz4.LZ4FrameOutputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;
import org.apache.commons.compress.compressors.bzip2.BZip2CompressorOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.tukaani.xz.LZMA2Options;
import org.tukaani.xz.XZOutputStream;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.UnsupportedFormatException;
import org.vmcheck.testing.Bytes;
import org.vmcheck.testing.ElfWriter;
import org.vmcheck.testing.KdumpWriter;

class UnpackingTest {
  @TempDir private Path directory;

  @FunctionalInterface
  interface Wrap {
    OutputStream around(OutputStream out) throws IOException;
  }

  /// How a dump is packed, by name.
  record Packing(String name, Wrap wrap) {
    byte[] pack(byte[] bytes) throws IOException {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      try (OutputStream packed = wrap.around(out)) {
        packed.write(bytes);
      }
      return out.toByteArray();
    }

    @Override
    public String toString() {
      return name;
    }
  }

  static Stream<Packing> packings() {
    return Stream.of(
        new Packing("gz", GZIPOutputStream::new),
        new Packing("xz", out -> new XZOutputStream(out, new LZMA2Options(1))),
        new Packing("zst", ZstdOutputStream::new),
        new Packing(
            "lz4", out -> new LZ4FrameOutputStream(out, LZ4FrameOutputStream.BLOCKSIZE.SIZE_64KB)),
        new Packing("bz2", out -> new BZip2CompressorOutputStream(out, 1)));
  }

  /// An ELF dump with a run of zeros that becomes a hole in the spool file.
  private static byte[] elf() {
    byte[] memory = Bytes.noise(4, 0x80000);
    Arrays.fill(memory, 0x10000, 0x60000, (byte) 0);
    return ElfWriter.of64().load(0x100000, memory).bytes();
  }

  private OpenOptions options(long limit) {
    return new OpenOptions(directory, limit, (what, done, total) -> {});
  }

  private Dump open(byte[] bytes, String name) throws IOException {
    Path file = Files.write(directory.resolve(name), bytes);
    return Dumps.open(List.of(file), options(1 << 20));
  }

  private static void assertHoldsElf(Dump dump) {
    for (long pfn = 0x100; pfn < 0x180; pfn++) {
      MemorySegment expected =
          MemorySegment.ofArray(elf()).asSlice(4096 + (pfn - 0x100) * 4096, 4096);
      assertThat(((PageRead.Present) dump.memory().read(pfn)).bytes().mismatch(expected))
          .isEqualTo(-1);
    }
  }

  private void assertNoSpoolIsLeft() throws IOException {
    try (Stream<Path> files = Files.list(directory)) {
      assertThat(files.map(file -> file.getFileName().toString()))
          .noneMatch(name -> name.endsWith(".spool"));
    }
  }

  @ParameterizedTest
  @MethodSource("packings")
  void aPackedDumpOpens(Packing packing) throws IOException {
    try (Dump dump = open(packing.pack(elf()), "vmcore." + packing.name)) {
      assertHoldsElf(dump);
      assertThat(dump.path()).hasFileName("vmcore." + packing.name);
      assertThat(dump.container().remarks()).isEmpty();
      assertNoSpoolIsLeft();
    }
  }

  @ParameterizedTest
  @MethodSource("packings")
  void aPackedTarOpens(Packing packing) throws IOException {
    byte[] tar = tar(Map.of("127.0.0.1/vmcore", elf()));
    try (Dump dump = open(packing.pack(tar), "case.tar." + packing.name)) {
      assertHoldsElf(dump);
    }
  }

  @ParameterizedTest
  @MethodSource("packings")
  void aPackedDumpCutShortIsReadAsFarAsItCame(Packing packing) throws IOException {
    byte[] packed = packing.pack(elf());
    try (Dump dump = open(Arrays.copyOf(packed, packed.length * 3 / 4), "cut." + packing.name)) {
      assertThat(dump.container().remarks().getFirst())
          .startsWith("the packed file is damaged or cut short (")
          .endsWith("; what came out before is read");
      assertThat(dump.container().pages().missing()).isPositive();
    }
  }

  @ParameterizedTest
  @MethodSource("packings")
  void damagedPackingsNeverThrowAnythingElse(Packing packing) throws IOException {
    Random random = new Random(6);
    byte[] packed = packing.pack(elf());
    for (int round = 0; round < 60; round++) {
      byte[] damaged = packed.clone();
      for (int flips = 1 + random.nextInt(3); flips > 0; flips--) {
        damaged[6 + random.nextInt(random.nextBoolean() ? 60 : damaged.length - 6)] ^=
            (byte) (1 + random.nextInt(255));
      }
      int length = random.nextInt(3) == 0 ? random.nextInt(damaged.length) : damaged.length;
      try (Dump dump = open(Arrays.copyOf(damaged, length), "damaged")) {
        dump.audit();
      } catch (MalformedFileException | UnsupportedFormatException e) {
        assertThat(e).hasMessageContaining("[damaged");
      } catch (IOException e) {
        assertThat(e).hasMessageContaining("more than the limit");
      }
    }
    assertNoSpoolIsLeft();
  }

  @Test
  void aBombStopsAtTheLimit() throws IOException {
    byte[] bomb = new Packing("gz", GZIPOutputStream::new).pack(Arrays.copyOf(elf(), 8 << 20));
    assertThatThrownBy(() -> open(bomb, "bomb.gz"))
        .isExactlyInstanceOf(IOException.class)
        .hasMessage("bomb.gz: unpacks to more than the limit of 1048576 bytes");
    assertNoSpoolIsLeft();
  }

  /// A dump as large as the limit is read, and one byte more is refused.
  @Test
  void theLimitIsExact() throws IOException {
    Path file =
        Files.write(
            directory.resolve("vmcore.gz"), new Packing("gz", GZIPOutputStream::new).pack(elf()));

    try (Dump dump = Dumps.open(List.of(file), options(elf().length))) {
      assertHoldsElf(dump);
    }
    assertThatThrownBy(() -> Dumps.open(List.of(file), options(elf().length - 1)))
        .isExactlyInstanceOf(IOException.class)
        .hasMessage(
            "vmcore.gz: unpacks to more than the limit of %d bytes".formatted(elf().length - 1));
    assertNoSpoolIsLeft();
  }

  /// All that comes out of one packed file counts together, whichever member it is of.
  @Test
  void membersCountTogether() throws IOException {
    byte[] tar = tar(new TreeMap<>(Map.of("a", elf(), "b", elf())));
    Path file =
        Files.write(
            directory.resolve("two.tgz"), new Packing("gz", GZIPOutputStream::new).pack(tar));

    assertThatThrownBy(() -> Dumps.open(List.of(file), options(3L * elf().length)))
        .isInstanceOf(UnsupportedFormatException.class)
        .hasMessageContaining("holds 2 dumps");
    assertThatThrownBy(() -> Dumps.open(List.of(file), options(elf().length * 3L / 2)))
        .isExactlyInstanceOf(IOException.class)
        .hasMessageContaining("more than the limit");
    assertNoSpoolIsLeft();
  }

  @Test
  void theLimitIsOfAllThatComesOutOfAFile() throws IOException {
    // Each is below the limit of 1 MiB.
    byte[] part = Arrays.copyOf(elf(), 700 << 10);
    try (Dump one = open(zip(Map.of("one", part)), "one.zip")) {
      assertThat(one.memory()).isNotNull();
    }
    Map<String, byte[]> two = new LinkedHashMap<>();
    two.put("one", part);
    two.put("two", part);
    assertThatThrownBy(() -> open(zip(two), "two.zip"))
        .isExactlyInstanceOf(IOException.class)
        .hasMessageContaining("unpacks to more than the limit of 1048576 bytes");

    // Members that are passed over come out of the file too.
    Map<String, byte[]> log = new LinkedHashMap<>();
    log.put("log", new byte[2 << 20]);
    log.put("vmcore", elf());
    Packing gz = new Packing("gz", GZIPOutputStream::new);
    for (byte[] packed : List.of(zip(log), gz.pack(tar(log)))) {
      assertThatThrownBy(() -> open(packed, "log"))
          .isExactlyInstanceOf(IOException.class)
          .hasMessageContaining("unpacks to more than the limit of 1048576 bytes");
    }
    assertNoSpoolIsLeft();
  }

  @Test
  void progressIsTold() throws IOException {
    Path file =
        Files.write(
            directory.resolve("vmcore.gz"), new Packing("gz", GZIPOutputStream::new).pack(elf()));
    List<Long> done = new ArrayList<>();
    OpenOptions options =
        new OpenOptions(
            directory,
            1 << 30,
            (what, at, total) -> {
              assertThat(what).isEqualTo("unpacking vmcore.gz");
              done.add(at);
            });
    Dumps.open(List.of(file), options).close();
    assertThat(done).isNotEmpty().isSorted().last().isEqualTo(Files.size(file));
  }

  // Archives.

  private static byte[] tar(Map<String, byte[]> members) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (TarArchiveOutputStream tar = new TarArchiveOutputStream(out)) {
      tar.setLongFileMode(TarArchiveOutputStream.LONGFILE_POSIX);
      for (var member : members.entrySet()) {
        TarArchiveEntry entry = new TarArchiveEntry(member.getKey());
        entry.setSize(member.getValue().length);
        tar.putArchiveEntry(entry);
        tar.write(member.getValue());
        tar.closeArchiveEntry();
      }
    }
    return out.toByteArray();
  }

  private static byte[] zip(Map<String, byte[]> members) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(out)) {
      for (var member : members.entrySet()) {
        zip.putNextEntry(new ZipEntry(member.getKey()));
        zip.write(member.getValue());
        zip.closeEntry();
      }
    }
    return out.toByteArray();
  }

  private static Map<String, byte[]> withLog(byte[] dump) {
    Map<String, byte[]> members = new LinkedHashMap<>();
    members.put("case/vmcore-dmesg.txt", "[    0.0] Linux version".getBytes(US_ASCII));
    members.put("case/" + "x".repeat(150) + "/vmcore", dump);
    members.put("case/kexec-dmesg.log", new byte[10]);
    return members;
  }

  @Test
  void aPlainTarIsReadInPlace() throws IOException {
    try (Dump dump = open(tar(withLog(elf())), "case.tar")) {
      assertHoldsElf(dump);
      assertThat(dump.fileBytes()).isEqualTo(Files.size(directory.resolve("case.tar")));
    }
  }

  @Test
  void aZipIsUnpacked() throws IOException {
    try (Dump dump = open(zip(withLog(elf())), "case.zip")) {
      assertHoldsElf(dump);
    }
  }

  @Test
  void aPackedMemberOfATarIsUnpacked() throws IOException {
    byte[] packed = new Packing("gz", GZIPOutputStream::new).pack(elf());
    try (Dump dump = open(tar(withLog(packed)), "case.tar")) {
      assertHoldsElf(dump);
    }
  }

  @Test
  void aSplitSetInATarIsOneDump() throws IOException {
    KdumpWriter writer = KdumpWriter.version(6);
    for (int pfn = 0; pfn < 20; pfn++) {
      writer.zlib(pfn, Bytes.mixed(pfn));
    }
    Map<String, byte[]> members = new LinkedHashMap<>();
    for (Path part : writer.writeSplit(directory, 7, 11)) {
      members.put("../../" + part.getFileName(), Files.readAllBytes(part));
    }
    try (Dump dump = open(tar(members), "set.tar")) {
      for (int pfn = 0; pfn < 20; pfn++) {
        assertThat(DumpFormatContract.bytes(dump.memory().read(pfn))).isEqualTo(Bytes.mixed(pfn));
      }
    }
  }

  @Test
  void anArchiveWithoutADumpOrWithTwoIsRefused() throws IOException {
    assertThatThrownBy(() -> open(tar(Map.of("a.txt", "hello there".getBytes(US_ASCII))), "a.tar"))
        .isInstanceOf(UnsupportedFormatException.class)
        .hasMessage(
            "[a.tar] tar archive that holds no dump: a.tar!a.txt begins with 68 65 6c 6c 6f 20 74"
                + " 68");
    Map<String, byte[]> two = new LinkedHashMap<>();
    two.put("one", elf());
    two.put("two", elf());
    assertThatThrownBy(() -> open(tar(two), "two.tar"))
        .hasMessage(
            "[two.tar] tar archive that holds 2 dumps, which are not parts of one: unpack it and"
                + " give them one by one: two.tar!one, two.tar!two");
  }

  @Test
  void aThirdLayerIsRefused() throws IOException {
    Packing gz = new Packing("gz", GZIPOutputStream::new);
    assertThatThrownBy(() -> open(gz.pack(gz.pack(gz.pack(elf()))), "x.gz"))
        .isInstanceOf(UnsupportedFormatException.class)
        .hasMessage(
            "[x.gz] gzip file that holds no dump: x.gz is gzip inside 2 layers of packing; unpack"
                + " the outer ones first");
  }

  @Test
  void otherFormatsAreNamedWithTheToolThatReadsThem() throws IOException {
    byte[] sevenZip =
        Arrays.copyOf(new byte[] {'7', 'z', (byte) 0xbc, (byte) 0xaf, 0x27, 0x1c}, 64);
    assertThatThrownBy(() -> open(sevenZip, "x.7z"))
        .hasMessage("[x.7z] looks like a 7z archive, which is not supported: unpack it with 7z x");
    byte[] lime = Arrays.copyOf("EMiL".getBytes(US_ASCII), 64);
    assertThatThrownBy(() -> open(lime, "x"))
        .hasMessage(
            "[x] looks like a LiME memory image, which is not supported: volatility reads it");
  }

  static Stream<Arguments> formatsOfOthers() {
    return Stream.of(
        Arguments.of("ed238f61731019a8", 0, "an LKCD dump"),
        Arguments.of("cd238f61731019a8", 0, "a live LKCD dump"),
        Arguments.of("a8190173618f23ed", 0, "an LKCD dump of a big-endian machine"),
        Arguments.of("a8190173618f23cd", 0, "a live LKCD dump of a big-endian machine"),
        Arguments.of("a8190173618f23fd", 0, "an s390 stand-alone dump"),
        Arguments.of("736164756d700000", 0, "a sadump (stand-alone dump) partition"),
        Arguments.of("736164756d700000", 4096, "a medium of a sadump (stand-alone dump)"));
  }

  @ParameterizedTest
  @MethodSource("formatsOfOthers")
  void dumpsOfOtherToolsAreNamed(String magic, int offset, String name) {
    byte[] file = new byte[3 * 4096];
    byte[] bytes = HexFormat.of().parseHex(magic);
    System.arraycopy(bytes, 0, file, offset, bytes.length);
    assertThatThrownBy(() -> open(file, "x"))
        .isInstanceOf(UnsupportedFormatException.class)
        .hasMessageStartingWith("[x] looks like " + name + ", which is not supported: ");
  }
}
