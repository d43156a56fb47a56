package org.vmcheck.dump;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.testing.Bytes;
import org.vmcheck.testing.ElfWriter;
import org.vmcheck.testing.KdumpWriter;

/// What is said of a container's tables: runs, counts and their limits.
class ContainerAuditTest {
  @TempDir private Path directory;

  private static PageRead.Damaged damaged(long pfn, PageRead.Damage kind) {
    return new PageRead.Damaged(pfn, 0x1000 + pfn, kind, "reason of " + pfn);
  }

  private static ContainerAudit.Defect run(
      PageRead.Damage kind, long first, long last, long pages) {
    return new ContainerAudit.Defect(
        kind, first, last, pages, 0x1000 + first, "reason of " + first);
  }

  @Test
  void framesOfOneKindAreARunUntilAGoodOneOrAnother() {
    ContainerAudit.Collector collector = new ContainerAudit.Collector();
    assertThat(collector.last()).isEqualTo(-1);
    collector.good();
    collector.bad(damaged(3, PageRead.Damage.TRUNCATED));
    collector.bad(damaged(9, PageRead.Damage.TRUNCATED));
    collector.bad(damaged(10, PageRead.Damage.UNDECODABLE));
    collector.good();
    collector.bad(damaged(11, PageRead.Damage.UNDECODABLE));

    assertThat(collector.runs())
        .containsExactly(
            run(PageRead.Damage.TRUNCATED, 3, 9, 2),
            run(PageRead.Damage.UNDECODABLE, 10, 10, 1),
            run(PageRead.Damage.UNDECODABLE, 11, 11, 1));
    assertThat(collector.counts())
        .isEqualTo(Map.of(PageRead.Damage.TRUNCATED, 2L, PageRead.Damage.UNDECODABLE, 2L));
    assertThat(collector.damaged()).isEqualTo(4);
    assertThat(collector.last()).isEqualTo(11);
    assertThat(collector.unlisted()).isZero();
    assertThat(new ContainerAudit.Pages(9, 5, 0, collector.counts()).damagedInAll()).isEqualTo(4);
    assertThat(new ContainerAudit.Pages(9, 9, 0, Map.of()).damagedInAll()).isZero();
  }

  @Test
  void moreRunsThanAreListedAreCounted() {
    ContainerAudit.Collector collector = new ContainerAudit.Collector();
    for (int i = 0; i < 258; i++) {
      collector.bad(damaged(2L * i, PageRead.Damage.TRUNCATED));
      collector.good();
    }
    assertThat(collector.runs()).hasSize(256);
    assertThat(collector.runs().getLast().firstPfn()).isEqualTo(510);
    assertThat(collector.unlisted()).isEqualTo(2);
    assertThat(collector.damaged()).isEqualTo(258);
  }

  /// Stores some frames, and none of them decodes.
  private record Undecodable(SortedSet<Long> stored) implements PhysicalMemory {
    @Override
    public int pageSize() {
      return 4096;
    }

    @Override
    public long endPfn() {
      return stored.last() + 1;
    }

    @Override
    public PageRead read(long pfn) {
      return stored.contains(pfn) && pfn != 77
          ? damaged(pfn, PageRead.Damage.UNDECODABLE)
          : new PageRead.Present(MemorySegment.ofArray(new byte[4096]));
    }

    @Override
    public long nextStored(long pfn) {
      SortedSet<Long> tail = stored.tailSet(pfn);
      return tail.isEmpty() ? -1 : tail.first();
    }
  }

  @Test
  void pagesThatWereMetAreToldInRunsOfStoredFrames() {
    DamagedPages met = new DamagedPages();
    assertThat(met.count()).isZero();
    // 5 is not stored: 4 and 6 are next to each other. 4095 and 4096 lie in two blocks.
    Undecodable memory =
        new Undecodable(new TreeSet<>(List.of(3L, 4L, 6L, 63L, 64L, 77L, 4095L, 4096L, 1L << 30)));
    for (long pfn : new long[] {1L << 30, 6, 4, 4, 64, 63, 4096, 4095, 77}) {
      met.add(pfn);
    }

    assertThat(met.count()).isEqualTo(8);
    assertThat(met.runs(memory, 100))
        .containsExactly(run(PageRead.Damage.UNDECODABLE, 4, 1L << 30, 8));
    memory.stored.add(7L);
    memory.stored.add(100L);
    assertThat(met.runs(memory, 100))
        .containsExactly(
            run(PageRead.Damage.UNDECODABLE, 4, 6, 2),
            run(PageRead.Damage.UNDECODABLE, 63, 77, 3),
            run(PageRead.Damage.UNDECODABLE, 4095, 1L << 30, 3));
    assertThat(met.runs(memory, 2))
        .containsExactly(
            run(PageRead.Damage.UNDECODABLE, 4, 6, 2), run(PageRead.Damage.UNDECODABLE, 63, 77, 3));
    assertThat(met.runs(memory, 1)).containsExactly(run(PageRead.Damage.UNDECODABLE, 4, 6, 2));
    // What decodes when it is read again is no run.
    DamagedPages gone = new DamagedPages();
    gone.add(77);
    assertThat(gone.runs(memory, 5)).isEmpty();
    assertThat(gone.count()).isOne();
    assertThat(new DamagedPages().runs(memory, 5)).isEmpty();
  }

  @Test
  void theFirstFrameOfAllIsAFrameToo() {
    DamagedPages met = new DamagedPages();
    met.add(0);
    met.add(2);
    assertThat(met.runs(new Undecodable(new TreeSet<>(List.of(0L, 1L, 2L))), 5))
        .containsExactly(
            run(PageRead.Damage.UNDECODABLE, 0, 0, 1), run(PageRead.Damage.UNDECODABLE, 2, 2, 1));
    assertThat(met.runs(new Undecodable(new TreeSet<>(List.of(0L, 2L))), 5))
        .containsExactly(run(PageRead.Damage.UNDECODABLE, 0, 2, 2));
  }

  /// A million frames are looked through for runs, and no more.
  @Test
  void runsAreLookedForAmongAMillionFrames() {
    DamagedPages met = new DamagedPages();
    for (long pfn = 0; pfn < (1 << 20) + 5; pfn++) {
      met.add(pfn);
    }
    PhysicalMemory everyFrame =
        new PhysicalMemory() {
          @Override
          public int pageSize() {
            return 4096;
          }

          @Override
          public long endPfn() {
            return 1L << 30;
          }

          @Override
          public PageRead read(long pfn) {
            return damaged(pfn, PageRead.Damage.UNDECODABLE);
          }

          @Override
          public long nextStored(long pfn) {
            return pfn;
          }
        };
    assertThat(met.count()).isEqualTo((1 << 20) + 5);
    assertThat(met.runs(everyFrame, 5))
        .containsExactly(run(PageRead.Damage.UNDECODABLE, 0, (1 << 20) - 1, 1 << 20));
  }

  /// 16 MiB of bits and no more, however far apart the pages lie.
  @Test
  void memoryForPagesThatWereMetIsBounded() {
    DamagedPages met = new DamagedPages();
    for (long block = 0; block < (1 << 15) + 3; block++) {
      met.add(block << 12);
    }
    assertThat(met.count()).isEqualTo((1 << 15) + 3);
    // Of the last three only the number is known: met again they count again.
    met.add(1L << 27);
    assertThat(met.count()).isEqualTo((1 << 15) + 4);
    met.add((1L << 27) - 4096);
    assertThat(met.count()).isEqualTo((1 << 15) + 4);
  }

  private Dump open(byte[] bytes) throws IOException {
    return Dumps.open(Files.write(directory.resolve("x"), bytes));
  }

  @Test
  void pagesAreCountedByHowTheyAreStored() throws IOException {
    byte[] page = Bytes.mixed(1);
    byte[] bytes =
        KdumpWriter.version(6)
            .raw(1, page)
            .zlib(2, page)
            .lzo(3, page)
            .zlib(4, page)
            .zero(5)
            .zero(6)
            .zero(7)
            .excluded(8)
            .excluded(9)
            .bytes();
    try (Dump dump = open(bytes)) {
      ContainerAudit audit = dump.audit();
      assertThat(audit.pages()).isEqualTo(new ContainerAudit.Pages(9, 7, 2, Map.of()));
      assertThat(audit.descriptors()).isEqualTo(7);
      assertThat(audit.storedAs())
          .isEqualTo(Map.of("raw", 2L, "zlib", 2L, "lzo", 1L, "shared page of zeros", 2L));
      assertThat(audit.defects()).isEmpty();
      assertThat(audit.disorder()).isEmpty();
      assertThat(audit.remarks()).isEmpty();
    }
  }

  private static void descriptor(KdumpWriter writer, byte[] bytes, int of, int as) {
    System.arraycopy(
        bytes, (int) writer.descriptorOffset(as), bytes, (int) writer.descriptorOffset(of), 24);
  }

  private static void shift(KdumpWriter writer, byte[] bytes, int of, int by) {
    int at = (int) writer.descriptorOffset(of);
    int low = ((bytes[at] & 0xff) | (bytes[at + 1] & 0xff) << 8) + by;
    bytes[at] = (byte) low;
    bytes[at + 1] = (byte) (low >> 8);
  }

  /// Data that lies before its neighbour's and overlaps nothing is unusual, and no disorder.
  @Test
  void dataInAnotherOrderIsARemarkAndOverlapIsDisorder() throws IOException {
    KdumpWriter writer =
        KdumpWriter.version(6)
            .raw(1, Bytes.filledWith(1))
            .raw(2, Bytes.filledWith(2))
            .raw(3, Bytes.filledWith(3))
            .raw(4, Bytes.filledWith(4));
    byte[] bytes = writer.bytes();
    byte[] swapped = bytes.clone();
    descriptor(writer, swapped, 1, 2);
    System.arraycopy(
        bytes, (int) writer.descriptorOffset(1), swapped, (int) writer.descriptorOffset(2), 24);
    try (Dump dump = open(swapped)) {
      assertThat(dump.audit().disorder()).isEmpty();
      assertThat(dump.audit().remarks())
          .containsExactly(
              "[x] the data of 1 pages lies before that of the page before it, first at frame 0x3;"
                  + " none overlaps another");
    }
    // One byte into the one before it.
    shift(writer, swapped, 2, -1);
    try (Dump dump = open(swapped)) {
      assertThat(dump.audit().remarks()).isEmpty();
      assertThat(dump.audit().disorder())
          .containsExactly(
              "[x] the data of 1 pages lies before that of the page before it, first at frame 0x3;"
                  + " 1 pages overlap the data of others");
    }
    // In order, and over the start of the next.
    byte[] forward = bytes.clone();
    shift(writer, forward, 2, -1);
    try (Dump dump = open(forward)) {
      assertThat(dump.audit().disorder())
          .containsExactly(
              "[x] the data of 1 pages lies before that of the page before it, first at frame 0x3;"
                  + " 1 pages overlap the data of others");
    }
  }

  /// More places of data than there is room for at first.
  @Test
  void thePlacesOfManyPagesAreKept() throws IOException {
    KdumpWriter writer = KdumpWriter.version(6);
    for (int i = 0; i < 1500; i++) {
      writer.zlib(1 + i, Bytes.filledWith(1 + i % 200));
    }
    byte[] bytes = writer.bytes();
    try (Dump dump = open(bytes)) {
      assertThat(dump.audit().disorder()).isEmpty();
      assertThat(dump.audit().storedAs()).isEqualTo(Map.of("zlib", 1500L));
    }
    descriptor(writer, bytes, 1499, 1400);
    try (Dump dump = open(bytes)) {
      assertThat(dump.audit().disorder())
          .containsExactly(
              "[x] 1 pages share the data of another page, which is not a page of zeros; first"
                  + " frame 0x5dc");
    }
  }

  /// Frames before, between and behind the files that were given.
  @Test
  void whatAPartThatWasNotGivenHoldsIsMissing() throws IOException {
    KdumpWriter writer = KdumpWriter.version(6);
    for (int pfn = 0; pfn < 30; pfn++) {
      writer.raw(pfn, Bytes.filledWith(1 + pfn));
    }
    List<Path> files = writer.writeSplit(directory, 10, 20);
    for (int given = 0; given < 3; given++) {
      try (Dump dump = Dumps.open(files.get(given))) {
        ContainerAudit audit = dump.audit();
        assertThat(audit.pages())
            .as("part %d", given)
            .isEqualTo(
                new ContainerAudit.Pages(30, 10, 0, Map.of(PageRead.Damage.MISSING_PART, 20L)));
        assertThat(audit.descriptors()).isEqualTo(10);
        assertThat(audit.defects())
            .extracting(ContainerAudit.Defect::firstPfn, ContainerAudit.Defect::lastPfn)
            .containsExactlyElementsOf(
                given == 0
                    ? List.of(tuple(10L, 29L))
                    : given == 1
                        ? List.of(tuple(0L, 9L), tuple(20L, 29L))
                        : List.of(tuple(0L, 19L)));
      }
    }
  }

  @Test
  void oneDataForSeveralPagesIsDisorder() throws IOException {
    KdumpWriter writer =
        KdumpWriter.version(6)
            .raw(1, Bytes.filledWith(1))
            .raw(2, Bytes.filledWith(2))
            .raw(3, Bytes.filledWith(3))
            .raw(4, Bytes.filledWith(4));
    byte[] bytes = writer.bytes();
    descriptor(writer, bytes, 2, 0);
    descriptor(writer, bytes, 3, 0);
    try (Dump dump = open(bytes)) {
      assertThat(dump.audit().disorder())
          .containsExactly(
              "[x] 2 pages share the data of another page, which is not a page of zeros; first"
                  + " frame 0x3");
      assertThat(dump.audit().storedAs()).isEqualTo(Map.of("raw", 4L));
    }
  }

  @Test
  void framesThatOneBitmapOnlyKnowsAreDisorder() throws IOException {
    KdumpWriter writer = KdumpWriter.version(6).raw(1, Bytes.filledWith(1)).raw(2, Bytes.mixed(2));
    byte[] bytes = writer.bytes();
    int first = 4096 * (1 + (bytes[KdumpWriter.SUB_HDR_SIZE] & 0xff));
    bytes[first] &= (byte) ~4;
    try (Dump dump = open(bytes)) {
      assertThat(dump.audit().disorder())
          .containsExactly(
              "1 frames are marked as stored in the second bitmap and as no memory in the first");
    }
  }

  @Test
  void segmentsBehindTheEndAreRunsToo() throws IOException {
    byte[] whole =
        ElfWriter.of64()
            .load(0x1000, Bytes.filledWith(1, 0x3000))
            .load(0x20000, Bytes.filledWith(2))
            .bytes();
    try (Dump dump = open(whole)) {
      ContainerAudit audit = dump.audit();
      assertThat(audit.pages()).isEqualTo(new ContainerAudit.Pages(4, 4, 0, Map.of()));
      assertThat(audit.storedAs()).isEqualTo(Map.of("raw", 4L));
      assertThat(audit.defects()).isEmpty();
      assertThat(audit.descriptors()).isZero();
    }
    try (Dump dump = open(Arrays.copyOf(whole, 0x1000 + 0x1800))) {
      ContainerAudit audit = dump.audit();
      assertThat(audit.pages().damaged()).isEqualTo(Map.of(PageRead.Damage.TRUNCATED, 3L));
      assertThat(audit.defects())
          .extracting(
              ContainerAudit.Defect::kind,
              ContainerAudit.Defect::firstPfn,
              ContainerAudit.Defect::lastPfn,
              ContainerAudit.Defect::pages,
              ContainerAudit.Defect::fileOffset)
          .containsExactly(
              tuple(PageRead.Damage.TRUNCATED, 2L, 3L, 2L, 0x2000L),
              tuple(PageRead.Damage.TRUNCATED, 0x20L, 0x20L, 1L, 0x4000L));
      assertThat(audit.unlisted()).isZero();
    }
  }

  @Test
  void moreSegmentsBehindTheEndThanAreListedAreCounted() throws IOException {
    ElfWriter writer = ElfWriter.of64().load(0x1000, Bytes.filledWith(1));
    for (int i = 0; i < 258; i++) {
      writer.load(0x10000 + 0x2000L * i, Bytes.filledWith(2));
    }
    byte[] whole = writer.bytes();
    try (Dump dump = open(Arrays.copyOf(whole, whole.length - 258 * 4096))) {
      ContainerAudit audit = dump.audit();
      assertThat(audit.defects()).hasSize(256);
      assertThat(audit.unlisted()).isEqualTo(2);
      assertThat(audit.pages().damagedInAll()).isEqualTo(258);
    }
  }
}
