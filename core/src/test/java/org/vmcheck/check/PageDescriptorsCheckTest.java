package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Finding;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.testing.ChangedDump;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.TestData;

/// The page descriptors of real kernels: silent as the kernel left them, and each changed word that
/// something proves wrong is named with the value that it must hold.
class PageDescriptorsCheckTest extends ChangedDump {
  PageDescriptorsCheckTest() {
    super(new PageDescriptorsCheck(), "debian-cloud");
  }

  private static final int FLAGS = 0;
  private static final int NEXT = 8;
  private static final int PREV = 16;
  private static final int MAPPING = 24;
  private static final int INDEX = 32;
  private static final int PRIVATE = 40;
  private static final int COUNTS = 48;
  private static final int MEMCG = 56;

  private MemMap memMap;

  @BeforeAll
  void look() throws Exception {
    memMap = MemMap.of(kernel).orElseThrow();
  }

  private long physical(long pfn, int word) {
    return kernel.memory().physicalAddress(memMap.descriptor(pfn)) + word;
  }

  private long word(long pfn, int word) {
    return memory.word(physical(pfn, word));
  }

  private void assertNamed(long pfn, int word, int bit) {
    long slot = physical(pfn, word);
    long right = memory.restore().word(slot);
    memory.flip(slot, bit);

    List<Finding> findings = run().findings();

    assertThat(findings).as("bit %d of word %d of 0x%x", bit, word, pfn).hasSize(1);
    assertThat(findings.getFirst().cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(findings.getFirst().subject().physical()).isEqualTo(slot);
    assertThat(findings.getFirst().subject().decoded()).isEqualTo(right);
  }

  /// The first frame that the kernel uses so, and that is as it should be here.
  private long first(PageState.Kind kind, java.util.function.LongPredicate test) {
    for (long pfn = 0x1000; pfn < memMap.endPfn(); pfn++) {
      if (memMap.state(pfn).kind() == kind && test.test(pfn)) {
        return pfn;
      }
    }
    throw new AssertionError("no " + kind.words() + " page");
  }

  private boolean isUnused(long pfn) {
    long self = memMap.descriptor(pfn) + NEXT;
    return word(pfn, NEXT) == self && word(pfn, PREV) == self;
  }

  /// A page within a free block that was never handed out.
  private long unusedFree() {
    long head = first(PageState.Kind.BUDDY, pfn -> word(pfn, PRIVATE) >= 4 && isUnused(pfn + 5));
    return head + 5;
  }

  /// Behind the image, whose pages may be mapped.
  private long reserved() {
    long end = kernel.symbol("_end").orElseThrow();
    return first(
        PageState.Kind.RESERVED,
        pfn ->
            pfn > kernel.memory().pfn(kernel.memory().physicalAddress(end))
                && isUnused(pfn)
                && word(pfn, COUNTS) == 0x1_ffff_ffffL
                && word(pfn, PRIVATE) == 0);
  }

  static Stream<TestData> dumps() throws Exception {
    return TestData.all().stream();
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void theDescriptorsOfARealKernelAreSilent(TestData data) throws IOException {
    try (Dump one = Dumps.open(data.dump())) {
      CheckOutcome.Ran ran = (CheckOutcome.Ran) outcome(one, found(one));

      assertThat(ran.findings()).isEmpty();
      assertThat(ran.notes()).isEmpty();
      assertThat(ran.coverage().lookedAt().get("descriptors")).isGreaterThan(30_000);
      assertThat(ran.coverage().lookedAt().get("descriptors of a known zone"))
          .isGreaterThan(15_000);
      assertThat(ran.coverage().lookedAt().get("descriptors of reserved pages"))
          .isGreaterThan(10_000);
    }
  }

  static List<Layout> layouts() {
    return Layout.ALL;
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theDescriptorsOfABuiltKernelAreSilent(Layout layout) {
    FakeImage image = FakeKernel.of(layout).seed(5).build();
    CheckOutcome outcome = outcome(image.dump(), image.kernel());

    assertThat(outcome.findingsIfRan()).isEmpty();
    assertThat(outcome.notesIfRan()).isEmpty();
  }

  /// The zone lies above all flags, and here the node above that.
  @ParameterizedTest
  @ValueSource(ints = {51, 52, 53, 54, 60, 63})
  void aBitOfTheZoneOrTheNodeIsNamed(int bit) {
    assertNamed(unusedFree(), FLAGS, bit);
    assertNamed(first(PageState.Kind.SLAB, _ -> true), FLAGS, bit);
    assertNamed(first(PageState.Kind.PAGE_CACHE, _ -> true), FLAGS, bit);
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 5, 6, 17, 29, 40, 48, 63})
  void aBitOfAFreePageIsNamed(int bit) {
    long pfn = unusedFree();
    for (int word : new int[] {FLAGS, NEXT, PREV, MAPPING, COUNTS, MEMCG}) {
      // PG_reported, which the kernel reports to a hypervisor, is that of a page that is up to
      // date.
      assertNamed(pfn, word, bit);
    }
    if (bit >= 12) {
      assertNamed(pfn, INDEX, bit);
      assertNamed(pfn, PRIVATE, bit);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 5, 6, 17, 29, 40, 48, 63})
  void aBitOfAReservedPageIsNamed(int bit) {
    long pfn = reserved();
    for (int word : new int[] {NEXT, PREV, MAPPING, INDEX, PRIVATE, COUNTS, MEMCG}) {
      assertNamed(pfn, word, bit);
    }
  }

  @Test
  void aTailThatLeadsElsewhereIsNamed() {
    long head =
        first(
            PageState.Kind.KERNEL,
            pfn ->
                memMap.head(pfn + 1) == pfn
                    && memMap.head(pfn + 3) == pfn
                    && memMap.state(pfn).kind() != PageState.Kind.SLAB);
    for (int bit : new int[] {0, 7, 12, 33, 63}) {
      assertNamed(head + 2, NEXT, bit);
    }
    assertNamed(head, FLAGS, Long.numberOfTrailingZeros(memMap.shape().headMask()));
  }

  @Test
  void aLinkOfAnLruListIsNamed() {
    long pfn = first(PageState.Kind.PAGE_CACHE, one -> word(one, NEXT) != 0);
    for (int bit : new int[] {1, 6, 11, 33, 63}) {
      assertNamed(pfn, NEXT, bit);
      assertNamed(pfn, PREV, bit);
    }
  }

  @Test
  void aPageOfAFileIsWhereItsTreeHasIt() {
    long pfn =
        first(
            PageState.Kind.PAGE_CACHE,
            one -> word(one, MAPPING) < 0 && (word(one, MAPPING) & 3) == 0);
    for (int bit : new int[] {3, 12, 33, 63}) {
      assertNamed(pfn, INDEX, bit);
    }
    for (int bit : new int[] {4, 12, 33}) {
      assertNamed(pfn, MAPPING, bit);
    }
  }

  /// A page that was used keeps what its last user left in index and private.
  @Test
  void staleWordsOfFreePagesAreNoFinding() {
    long pfn = unusedFree();
    memory.setWord(physical(pfn, NEXT), 0xdead_0000_0000_0100L);
    memory.setWord(physical(pfn, PREV), 0xdead_0000_0000_0122L);
    memory.setWord(physical(pfn, INDEX), 1L << 20);
    memory.setWord(physical(pfn, PRIVATE), 0xffff_8880_1234_5678L);

    assertThat(run().findings()).isEmpty();

    // What a CPU's list of partial slabs left (5.10): pages and objects in the second link.
    memory.setWord(physical(pfn, NEXT), 0);
    memory.setWord(physical(pfn, PREV), 0x0000_0012_0000_0003L);

    assertThat(run().findings()).isEmpty();
  }

  /// Boot memory information (register_page_bootmem_info): more references, a mark and a number.
  @Test
  void reservedPagesOfDescriptorsAreNoFinding() {
    long pfn = reserved();
    memory.setWord(physical(pfn, COUNTS), 2L << 32 | 0xffff_ffffL);
    memory.setWord(physical(pfn, FLAGS), word(pfn, FLAGS) | 1L << 13);
    memory.setWord(physical(pfn, INDEX), 12);
    memory.setWord(physical(pfn, PRIVATE), 3);

    assertThat(run().findings()).isEmpty();
  }

  /// The zero page: mapped, referenced, marked as used.
  @Test
  void aReservedPageThatIsMappedIsNoFinding() {
    long pfn = reserved();
    memory.setWord(physical(pfn, COUNTS), 9L << 32 | 7);
    memory.setWord(physical(pfn, FLAGS), word(pfn, FLAGS) | 1L << 2 | 1L << 25 | 1L << 26);

    assertThat(run().findings()).isEmpty();
  }

  /// A driver may reserve a page that it was given.
  @Test
  void aReservedPageOfADriverIsNoFinding() {
    long pfn = reserved();
    memory.setWord(physical(pfn, NEXT), 0xdead_0000_0000_0100L);
    memory.setWord(physical(pfn, PREV), 0xdead_0000_0000_0122L);
    memory.setWord(physical(pfn, PRIVATE), 77);
    memory.setWord(physical(pfn, COUNTS), 5L << 32 | 0xffff_ffffL);

    assertThat(run().findings()).isEmpty();
  }

  /// CONFIG_DEBUG_VM fills descriptors with ones until they are set up; older kernels left holes
  /// zero.
  @Test
  void aDescriptorThatWasNeverSetUpIsNoFinding() {
    long pfn = reserved();
    for (long value : new long[] {-1, 0}) {
      for (int word = 0; word < 64; word += 8) {
        memory.setWord(physical(pfn, word), value);
      }

      assertThat(run().findings()).isEmpty();
    }
  }

  /// What a kernel that is not known here does differently shows in many descriptors.
  @Test
  void aRuleThatManyPagesBreakIsNotJudged() {
    long from = reserved();
    int changed = 0;
    for (long pfn = from; changed < 512; pfn++) {
      if (memMap.state(pfn).kind() == PageState.Kind.RESERVED && isUnused(pfn)) {
        memory.setWord(physical(pfn, PRIVATE), 1L << 40);
        changed++;
      }
    }

    CheckOutcome.Ran ran = run();

    assertThat(ran.findings()).isEmpty();
    assertThat(ran.notes()).hasSize(1);
    assertThat(ran.notes().getFirst().text()).contains("private of a reserved page");
  }

  @Test
  void aPageOfDescriptorsThatIsNotInTheDumpIsCounted() {
    memory.exclude(physical(unusedFree(), 0) >>> 12);

    CheckOutcome.Ran ran = run();

    assertThat(ran.findings()).isEmpty();
    assertThat(ran.coverage().notRead()).containsEntry("page descriptors", 64L);
  }

  /// Seeded: any bit of any word of any descriptor. Prints the share that is noticed.
  @Test
  void mostFlippedBitsAreNoticedAndNoOtherWordIsBlamed() {
    List<Long> frames = new ArrayList<>();
    for (long pfn = 0; pfn < memMap.endPfn(); pfn++) {
      if (memMap.state(pfn).kind() != PageState.Kind.UNKNOWN) {
        frames.add(pfn);
      }
    }
    Random random = new Random(7);
    int trials = Integer.getInteger("vmcheck.trials", 150);
    int found = 0;
    for (int i = 0; i < trials; i++) {
      long slot = physical(frames.get(random.nextInt(frames.size())), 8 * random.nextInt(8));
      long right = memory.restore().word(slot);
      memory.flip(slot, random.nextInt(64));

      List<Finding> findings = run().findings();

      for (Finding finding : findings) {
        assertThat(finding.subject().physical()).isEqualTo(slot);
        if (finding.cause() == Cause.BIT_FLIP) {
          assertThat(finding.subject().decoded()).isEqualTo(right);
        }
      }
      found += findings.isEmpty() ? 0 : 1;
    }
    System.out.printf("%d of %d flipped bits of page descriptors noticed%n", found, trials);
    assertThat(found).isGreaterThan(trials * 80 / 100);
  }
}
