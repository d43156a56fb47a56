package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.testing.Bytes;
import org.vmcheck.testing.KdumpWriter;
import org.vmcheck.testing.Packer;

class KdumpDumpTest extends DumpFormatContract {
  @Override
  byte[] fixture() {
    return KdumpWriter.version(6)
        .vmcoreinfo(INFO)
        .zlib(0x10, contents(0x10))
        .raw(0x11, contents(0x11))
        .excluded(0x12)
        .zstd(0x20, contents(0x20))
        .bytes();
  }

  @Override
  String format() {
    return "kdump-compressed";
  }

  private static KdumpWriter small(int version) {
    return KdumpWriter.version(version)
        .vmcoreinfo(INFO)
        .zlib(0x1, contents(0x1))
        .lzo(0x2, contents(0x2))
        .snappy(0x3, contents(0x3))
        .zstd(0x4, contents(0x4))
        .raw(0x5, contents(0x5))
        .excluded(0x6)
        .zero(0x8)
        .zero(0x9);
  }

  static Stream<KdumpWriter> everyVersionAndClass() {
    return Stream.of(1, 2, 3, 4, 5, 6)
        .flatMap(
            version ->
                Stream.of(
                    small(version),
                    small(version).bigEndian(),
                    small(version).machine("ppc64").blockSize(4096).bigEndian(),
                    small(version).bits32Packed(),
                    small(version).bits32Natural(),
                    small(version).bits32Natural().bigEndian(),
                    small(version).machine("")));
  }

  @ParameterizedTest
  @MethodSource("everyVersionAndClass")
  void readsEveryVersionClassAndByteOrder(KdumpWriter writer) throws IOException {
    try (Dump dump = Dumps.open(writer.write(directory))) {
      for (long pfn = 1; pfn <= 5; pfn++) {
        assertThat(bytes(dump.memory().read(pfn))).as("frame %d", pfn).isEqualTo(contents(pfn));
      }
      assertThat(dump.memory().read(6)).isEqualTo(new PageRead.Excluded(6));
      assertThat(dump.memory().read(7)).isEqualTo(new PageRead.NotInDump(7));
      assertThat(bytes(dump.memory().read(9))).isEqualTo(new byte[4096]);
      assertThat(dump.container().codecs()).containsExactly("zlib", "lzo", "snappy", "zstd");
      assertThat(dump.container().remarks()).isEmpty();
      assertThat(dump.audit().defects()).isEmpty();
      assertThat(dump.audit().disorder()).isEmpty();
      assertThat(dump.vmcoreinfo().isPresent()).isEqualTo(dump.container().version() >= 3);
    }
  }

  @Test
  void readsLargePages() throws IOException {
    byte[] page = Bytes.mixed(3, 65536);
    Path file =
        KdumpWriter.version(6).machine("ppc64le").blockSize(65536).lzo(7, page).write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.memory().pageSize()).isEqualTo(65536);
      assertThat(bytes(dump.memory().read(7))).isEqualTo(page);
    }
  }

  @Test
  void oneBitmapServesAsBoth() throws IOException {
    Path file =
        KdumpWriter.version(1).oneBitmap().maxMapnr(20000).raw(9, contents(9)).write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(bytes(dump.memory().read(9))).isEqualTo(contents(9));
      assertThat(dump.memory().read(8)).isEqualTo(new PageRead.NotInDump(8));
    }
  }

  @Test
  void filteredPageIsExcludedNotDamaged() throws IOException {
    Path file =
        KdumpWriter.version(6).zlib(0x0, Bytes.filledWith(0x55)).excluded(0x1).write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.memory().read(0x1)).isEqualTo(new PageRead.Excluded(0x1));
    }
  }

  @Test
  void aPageThatWasNeverWrittenIsSaidToBe() throws IOException {
    Path file = KdumpWriter.version(6).raw(1, contents(1)).neverWritten(2).write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.container().incomplete()).isTrue();
      assertThat(dump.memory().read(2))
          .isInstanceOfSatisfying(
              PageRead.Damaged.class,
              damaged -> {
                assertThat(damaged.damage()).isEqualTo(PageRead.Damage.NEVER_WRITTEN);
                assertThat(damaged.reason())
                    .isEqualTo("page_desc.offset is 0: the page was never written");
              });
      assertThat(dump.audit().pages().damaged())
          .containsExactlyEntriesOf(java.util.Map.of(PageRead.Damage.NEVER_WRITTEN, 1L));
    }
  }

  @Test
  void eachWrongDescriptorIsNamed() throws IOException {
    byte[] page = contents(1);
    Path file =
        KdumpWriter.version(6)
            .stored(1, Arrays.copyOf(page, 690), 0x40)
            .stored(2, Arrays.copyOf(page, 690), 0x3)
            .stored(3, Arrays.copyOf(page, 690), 0)
            .stored(4, new byte[0], 0x1)
            .stored(5, new byte[5000], 0x1)
            .stored(6, Arrays.copyOf(Packer.ZLIB.pack(page), 100), 0x1)
            .raw(7, page)
            .write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(reason(dump, 1)).isEqualTo("page_desc.flags: expected known codec bits, got 0x40");
      assertThat(reason(dump, 2)).isEqualTo("page_desc.flags: expected one codec, got 0x3");
      assertThat(reason(dump, 3))
          .isEqualTo("page_desc.size: expected 4096 bytes of an uncompressed page, got 690");
      assertThat(reason(dump, 4)).isEqualTo("page_desc.size: expected 1 to 4096 bytes, got 0");
      assertThat(reason(dump, 5)).isEqualTo("page_desc.size: expected 1 to 4096 bytes, got 5000");
      assertThat(reason(dump, 6)).startsWith("zlib: stream ends after ");
      assertThat(bytes(dump.memory().read(7))).isEqualTo(page);
      ContainerAudit audit = dump.audit();
      assertThat(audit.defects()).hasSize(1);
      assertThat(audit.defects().getFirst())
          .satisfies(
              defect -> {
                assertThat(defect.firstPfn()).isEqualTo(1);
                assertThat(defect.lastPfn()).isEqualTo(5);
                assertThat(defect.pages()).isEqualTo(5);
              });
      PageSweep.Result sweep = PageSweep.over(dump, 1, OpenOptions.DEFAULT.progress(), () -> false);
      assertThat(sweep.decoded()).isEqualTo(1);
      assertThat(sweep.defects().getFirst().pages()).isEqualTo(6);
    }
  }

  @Test
  void aSampleIsSpreadOverTheWholeFile() throws IOException {
    KdumpWriter writer = KdumpWriter.version(6);
    int frames = 10_000;
    for (int pfn = 0; pfn < frames; pfn++) {
      // Every tenth page of the second half does not decode.
      if (pfn >= frames / 2 && pfn % 10 == 0) {
        writer.stored(2L * pfn, new byte[] {1, 2, 3}, 1);
      } else {
        writer.zlib(2L * pfn, contents(pfn & 7));
      }
    }
    try (Dump dump = Dumps.open(writer.write(directory))) {
      PageSweep.Result sweep = PageSweep.start(dump, 9_999, 1_000, 1, () -> false).finish(2);

      assertThat(sweep.wanted()).isEqualTo(1_000);
      long damaged = sweep.damaged().get(PageRead.Damage.UNDECODABLE);
      assertThat(sweep.decoded() + damaged).isEqualTo(1_000);
      assertThat(damaged).isBetween(30L, 70L);
      assertThat(dump.damagedPages().count()).isEqualTo(damaged);
      assertThat(dump.damagedPages().runs(dump.memory(), 8))
          .hasSize(8)
          .allSatisfy(run -> assertThat(run.firstPfn() % 20).isZero());
      PageSweep.Result all = PageSweep.start(dump, 10_000, 1_000, 0, () -> false).finish(1);
      assertThat(all.decoded()).isEqualTo(9_500);
      assertThat(all.finished()).isTrue();
      assertThat(dump.damagedPages().count()).isEqualTo(500);
    }
  }

  @Test
  void aSweepThatIsCancelledEnds() throws IOException {
    KdumpWriter writer = KdumpWriter.version(6);
    for (int pfn = 0; pfn < 100; pfn++) {
      writer.zlib(pfn, contents(1));
    }
    try (Dump dump = Dumps.open(writer.write(directory))) {
      PageSweep sweep = PageSweep.start(dump, 1_000, 10, 1, () -> true);
      sweep.cancel();
      assertThat(sweep.finish(1).finished()).isFalse();
    }
  }

  private static String reason(Dump dump, long pfn) {
    return ((PageRead.Damaged) dump.memory().read(pfn)).reason();
  }

  @Test
  void aDescriptorThatPointsAstrayIsNamed() throws IOException {
    KdumpWriter writer = KdumpWriter.version(6).raw(1, contents(1)).raw(2, contents(2));
    byte[] bytes = writer.bytes();
    int second = (int) writer.descriptorOffset(1);
    for (long[] wrong : new long[][] {{-8, 0}, {100, 0}, {1L << 40, 1}, {Long.MAX_VALUE, 1}}) {
      for (int i = 0; i < 8; i++) {
        bytes[second + i] = (byte) (wrong[0] >>> (8 * i));
      }
      try (Dump dump = Dumps.open(Files.write(directory.resolve("x"), bytes))) {
        assertThat(dump.memory().read(2))
            .isInstanceOfSatisfying(
                PageRead.Damaged.class,
                damaged ->
                    assertThat(damaged.damage())
                        .isEqualTo(
                            wrong[1] == 1
                                ? PageRead.Damage.TRUNCATED
                                : PageRead.Damage.UNDECODABLE));
        assertThat(bytes(dump.memory().read(1))).isEqualTo(contents(1));
      }
    }
  }

  @Test
  void dataOutOfPlaceIsNoticedWithoutDecoding() throws IOException {
    KdumpWriter writer =
        KdumpWriter.version(6).raw(1, contents(1)).raw(2, contents(2)).raw(3, contents(3));
    byte[] bytes = writer.bytes();
    int first = (int) writer.descriptorOffset(0);
    int third = (int) writer.descriptorOffset(2);
    // The third page's descriptor says what the first's says: cross-wired.
    System.arraycopy(bytes, first, bytes, third, 24);
    try (Dump dump = Dumps.open(Files.write(directory.resolve("x"), bytes))) {
      assertThat(dump.audit().disorder())
          .containsExactly(
              "[x] 1 pages share the data of another page, which is not a page of zeros; first"
                  + " frame 0x3");
    }
    // The third page's data starts inside the second's.
    bytes[third] = (byte) (bytes[third] + 64);
    try (Dump dump = Dumps.open(Files.write(directory.resolve("x"), bytes))) {
      assertThat(dump.audit().disorder())
          .containsExactly(
              "[x] the data of 1 pages lies before that of the page before it, first at frame"
                  + " 0x3; 2 pages overlap the data of others");
    }
  }

  @Test
  void badHeaderFieldsAreNamedInFull() {
    assertRefused(
        KdumpWriter.BLOCK_SIZE,
        3000,
        "[x] disk_dump_header.block_size at 0x1ac: expected a power of two from 4096 to 262144,"
            + " got 3000");
    assertRefused(
        KdumpWriter.SUB_HDR_SIZE,
        -1,
        "[x] disk_dump_header.sub_hdr_size at 0x1b0: expected 1 to 6 blocks of 4096 bytes, got -1"
            + " (file truncated?)");
    assertRefused(
        KdumpWriter.BITMAP_BLOCKS,
        -1,
        "[x] disk_dump_header.bitmap_blocks at 0x1b4: expected 1 to 5 blocks within the file, got"
            + " 4294967295 (file truncated?)");
    assertRefused(
        KdumpWriter.HEADER_VERSION,
        -1,
        "[x] disk_dump_header.header_version at 0x8: expected 0 to 6, got -1");
  }

  private void assertRefused(int at, int value, String message) {
    byte[] bytes =
        KdumpWriter.version(6).raw(1, contents(1)).raw(2, contents(2)).raw(3, contents(3)).bytes();
    for (int i = 0; i < 4; i++) {
      bytes[at + i] = (byte) (value >>> (8 * i));
    }
    assertThatThrownBy(() -> Dumps.open(Files.write(directory.resolve("x"), bytes)))
        .hasMessage(message);
  }

  // Split sets.

  private static KdumpWriter forSplit() {
    KdumpWriter writer = KdumpWriter.version(6).vmcoreinfo(INFO);
    for (int pfn = 0; pfn < 30; pfn++) {
      switch (pfn % 4) {
        case 0 -> writer.zlib(pfn, contents(pfn));
        case 1 -> writer.raw(pfn, contents(pfn));
        case 2 -> writer.zero(pfn);
        default -> writer.excluded(pfn);
      }
    }
    return writer;
  }

  @Test
  void aSplitSetOpensInAnyOrder() throws IOException {
    // The last part is empty, as makedumpfile leaves it on small machines.
    List<Path> files = forSplit().writeSplit(directory, 8, 17, 30);
    for (List<Integer> order :
        List.of(List.of(0, 1, 2, 3), List.of(3, 2, 1, 0), List.of(2, 0, 3, 1))) {
      try (Dump dump = Dumps.open(order.stream().map(files::get).toList())) {
        for (int pfn = 0; pfn < 30; pfn++) {
          if (pfn % 4 < 2) {
            assertThat(bytes(dump.memory().read(pfn))).isEqualTo(contents(pfn));
          }
        }
        assertThat(dump.container().remarks()).isEmpty();
        assertThat(dump.container().pages()).isEqualTo(new Container.Pages(30, 23, 7, 0));
        assertThat(dump.audit().defects()).isEmpty();
        assertThat(dump.audit().disorder()).isEmpty();
        assertThat(dump.files()).hasSize(4).startsWith(files.getFirst());
      }
    }
  }

  @Test
  void aMissingPartIsNamedAndItsPagesAreNotExcluded() throws IOException {
    List<Path> files = forSplit().writeSplit(directory, 8, 17);
    try (Dump dump = Dumps.open(List.of(files.get(2), files.get(0)))) {
      assertThat(dump.container().remarks())
          .containsExactly("split dump: the part with frames 0x8 to 0x11 (7 pages) was not given");
      assertThat(dump.container().pages().missing()).isEqualTo(7);
      assertThat(dump.memory().read(9))
          .isEqualTo(
              new PageRead.Damaged(
                  9,
                  0,
                  PageRead.Damage.MISSING_PART,
                  "the page is in a part of this split dump that was not given"));
      assertThat(dump.memory().read(11)).isEqualTo(new PageRead.Excluded(11));
      assertThat(bytes(dump.memory().read(17))).isEqualTo(contents(17));
      assertThat(dump.audit().pages().damaged())
          .containsExactlyEntriesOf(java.util.Map.of(PageRead.Damage.MISSING_PART, 7L));
    }
    try (Dump alone = Dumps.open(files.get(1))) {
      assertThat(bytes(alone.memory().read(9))).isEqualTo(contents(9));
      assertThat(alone.container().remarks()).hasSize(2);
    }
  }

  @Test
  void aPartGivenTwiceIsNamed() throws IOException {
    List<Path> files = forSplit().writeSplit(directory, 8);
    Path copy = Files.copy(files.get(1), directory.resolve("copy.2"));
    assertThatThrownBy(() -> Dumps.open(List.of(files.get(0), files.get(1), copy)))
        .hasMessage(
            "[copy.2] start_pfn and end_pfn: frames 0x8 to 0x1e are also in vmcore.2: the same part"
                + " twice");
  }

  @Test
  void partsOfTwoDumpsAreNotMixed() throws IOException {
    Path one = forSplit().writeSplit(directory, 8).get(0);
    Path elsewhere = Files.createDirectory(directory.resolve("elsewhere"));
    Path other = forSplit().release("6.1.0-other").writeSplit(elsewhere, 8).get(1);
    assertThatThrownBy(() -> Dumps.open(List.of(one, other)))
        .hasMessageContaining("not parts of one dump");
    Path whole = forSplit().write(directory, "whole");
    assertThatThrownBy(() -> Dumps.open(List.of(one, whole)))
        .hasMessage(
            "[whole] kdump_sub_header.split: expected 1 in a file given as part of a split dump,"
                + " got 0");
  }

  @Test
  void filesAreGroupedIntoDumpsByTheirHeaders() throws IOException {
    List<Path> parts = forSplit().writeSplit(directory, 8, 17);
    Path whole = forSplit().write(directory, "whole");
    Path text = Files.writeString(directory.resolve("README"), "hello");
    Path absent = directory.resolve("absent");
    assertThat(Dumps.group(List.of(parts.get(1), whole, text, parts.get(2), absent, parts.get(0))))
        .containsExactly(
            List.of(parts.get(1), parts.get(2), parts.get(0)),
            List.of(whole),
            List.of(text),
            List.of(absent));
  }

  private static final int TIME = 408;

  private static Path withTime(Path part, int seconds) throws IOException {
    byte[] file = Files.readAllBytes(part);
    file[TIME] = (byte) seconds;
    return Files.write(part, file);
  }

  /// libkdumpfile reads such a set too.
  @Test
  void partsMayDifferInTheirTime() throws IOException {
    List<Path> parts = forSplit().writeSplit(directory, 8, 17);
    for (int i = 0; i < parts.size(); i++) {
      withTime(parts.get(i), i);
    }
    assertThat(Dumps.group(parts)).containsExactly(parts);
    try (Dump dump = Dumps.open(parts)) {
      assertThat(dump.container().remarks()).isEmpty();
      assertThat(dump.container().pages().missing()).isZero();
    }
  }

  /// Two crashes of one machine: the headers differ in their time only, the bitmaps are others.
  @Test
  void twoDumpsOfOneMachineAreTwo() throws IOException {
    List<Path> first = forSplit().writeSplit(directory, 8);
    Path elsewhere = Files.createDirectory(directory.resolve("elsewhere"));
    KdumpWriter other = KdumpWriter.version(6).vmcoreinfo(INFO);
    for (int pfn = 0; pfn < 30; pfn++) {
      other.raw(pfn, contents(pfn));
    }
    List<Path> second = other.writeSplit(elsewhere, 8);
    for (Path part : second) {
      withTime(part, 9);
    }
    assertThat(Dumps.group(List.of(first.get(0), second.get(0), first.get(1), second.get(1))))
        .containsExactly(first, second);
  }

  @Test
  void aHeaderWithoutPagesIsNamed() throws IOException {
    byte[] file = new byte[8192];
    byte[] header = KdumpWriter.version(6).release("6.1.0-empty").raw(0, contents(0)).bytes();
    System.arraycopy(header, 0, file, 0, 436);
    assertThatThrownBy(() -> Dumps.open(Files.write(directory.resolve("empty"), file)))
        .isInstanceOf(MalformedFileException.class)
        .hasMessage(
            "[empty] a dump of kernel 6.1.0-empty without pages: max_mapnr and bitmap_blocks are 0,"
                + " it was never written");
  }

  @Test
  void eraseinfoIsHandedOut() throws IOException {
    String text = "erase task_struct.comm 16\n";
    Path file = KdumpWriter.version(5).eraseinfo(text).raw(1, contents(1)).write(directory);
    try (Dump dump = Dumps.open(file)) {
      assertThat(dump.eraseinfo()).isEqualTo(text);
    }
  }

  /// The forerunner has registers where the sub header is, and its own bits in the status.
  @Test
  void diskdumpIsReadWithoutASubHeader() throws IOException {
    byte[] page = Bytes.mixed(7);
    byte[] file = KdumpWriter.version(1).zlib(3, page).raw(4, page).excluded(5).bytes();
    System.arraycopy("DISKDUMP".getBytes(StandardCharsets.US_ASCII), 0, file, 0, 8);
    file[KdumpWriter.STATUS] = 0x9;
    Arrays.fill(file, 4096, 8192, (byte) 0xff);

    try (Dump dump = Dumps.open(Files.write(directory.resolve("diskdump"), file))) {
      Container container = dump.container();
      assertThat(container.format()).isEqualTo("diskdump");
      assertThat(container.codecs()).containsExactly("zlib");
      assertThat(container.incomplete()).isTrue();
      assertThat(container.dumpLevel()).isEqualTo(-1);
      assertThat(bytes(dump.memory().read(3))).isEqualTo(page);
      assertThat(bytes(dump.memory().read(4))).isEqualTo(page);
      assertThat(dump.memory().read(5)).isEqualTo(new PageRead.Excluded(5));
      assertThat(dump.audit().disorder()).isEmpty();
    }
  }

  /// A page that is stored as it is stays a view of the map in the cache.
  @Test
  void aCachedPageOfAFileThatWasCutShortCannotBeRead() throws IOException {
    KdumpWriter writer = KdumpWriter.version(6);
    for (int pfn = 0; pfn < 64; pfn++) {
      writer.raw(pfn, Bytes.mixed(pfn));
    }
    Path file = Files.write(directory.resolve("file"), writer.bytes());
    try (Dump dump = Dumps.open(file);
        FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
      assertThat(dump.memory().read(50)).isInstanceOf(PageRead.Present.class);
      channel.truncate(32 * 4096);
      assertThat(dump.memory().readInto(50, PageBuffer.of(dump.memory())))
          .isInstanceOf(PageRead.Unreadable.class);
      assertThat(dump.unreadablePages()).containsExactly(50L);
    }
  }
}
