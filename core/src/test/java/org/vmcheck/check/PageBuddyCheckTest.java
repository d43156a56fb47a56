package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Finding;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.page.Zones;
import org.vmcheck.testing.ChangedDump;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.TestData;

/// The lists of free pages of real kernels: silent as the kernel left them; a changed link, mark,
/// order or count is named with what it must be.
class PageBuddyCheckTest extends ChangedDump {
  PageBuddyCheckTest() {
    super(new PageBuddyCheck(), "debian-cloud");
  }

  private static final int NEXT = 8;
  private static final int PREV = 16;
  private static final int PRIVATE = 40;
  private static final int COUNTS = 48;

  private MemMap memMap;

  @BeforeAll
  void look() throws Exception {
    memMap = MemMap.of(kernel).orElseThrow();
  }

  private void assertNamed(long vaddr, int bit) {
    long slot = physical(vaddr);
    long right = memory.restore().word(slot);
    memory.flip(slot, bit);

    Finding finding = only();

    assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(finding.subject().physical()).isEqualTo(slot);
    assertThat(finding.subject().decoded()).isEqualTo(right);
  }

  /// Address of the descriptor of a free block that others of its list are beside.
  private long block() {
    for (long pfn = 0x1000; pfn < memMap.endPfn(); pfn++) {
      long at = memMap.descriptor(pfn);
      if (memMap.state(pfn).kind() == PageState.Kind.BUDDY
          && memMap.pfn(word(at + NEXT) - NEXT) >= 0
          && memMap.pfn(word(at + PREV) - NEXT) >= 0
          && word(at + NEXT) != word(at + PREV)) {
        return at;
      }
    }
    throw new AssertionError("no free block between others");
  }

  private long word(long vaddr) {
    return memory.word(physical(vaddr));
  }

  private Zones.Zone zone() {
    return Zones.of(kernel).of(memMap.pfn(block()));
  }

  private StructLayout struct(String name) {
    return kernel.struct(name).orElseThrow();
  }

  private long counter(int order) {
    return zone().address()
        + struct("zone").member("free_area").orElseThrow().offset()
        + order * struct("free_area").size()
        + struct("free_area").member("nr_free").orElseThrow().offset();
  }

  /// The lists of the first CPU in the zone.
  private long ofCpu() {
    long pointer =
        word(zone().address() + struct("zone").member("per_cpu_pageset").orElseThrow().offset());
    return kernel.perCpu().address(pointer, 0);
  }

  static Stream<TestData> dumps() throws Exception {
    return TestData.all().stream();
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void theListsOfARealKernelAreSilent(TestData data) throws IOException {
    try (Dump one = Dumps.open(data.dump())) {
      CheckOutcome.Ran ran = (CheckOutcome.Ran) outcome(one, found(one));

      assertThat(ran.findings()).isEmpty();
      assertThat(ran.notes()).isEmpty();
      assertThat(ran.coverage().lookedAt().get("free lists")).isGreaterThan(50);
      assertThat(ran.coverage().lookedAt().get("lists of CPUs")).isGreaterThan(5);
      assertThat(ran.coverage().lookedAt().get("free blocks")).isGreaterThan(100);
    }
  }

  /// Kernels without the types of zones have nothing to look at, and it is said.
  @ParameterizedTest
  @MethodSource("layouts")
  void aBuiltKernelHasNoLists(Layout layout) {
    FakeImage image = FakeKernel.of(layout).seed(5).build();

    assertThat(outcome(image.dump(), image.kernel()))
        .isInstanceOf(CheckOutcome.NothingToLookAt.class);
  }

  static List<Layout> layouts() {
    return Layout.ALL;
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 3, 6, 12, 31, 46, 63})
  void aBitOfALinkIsNamed(int bit) {
    assertNamed(block() + NEXT, bit);
    assertNamed(block() + PREV, bit);
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 4, 33, 63})
  void aBitOfTheOrderIsNamed(int bit) {
    assertNamed(block() + PRIVATE, bit);
  }

  @ParameterizedTest
  @ValueSource(ints = {7, 28, 29, 31})
  void aBitOfTheMarkIsNamed(int bit) {
    assertNamed(block() + COUNTS, bit);
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 5, 40})
  void aBitOfACountIsNamed(int bit) {
    assertNamed(counter(0), bit);
    assertNamed(counter(9), bit);
  }

  @Test
  void theCountOfACpuIsNamed() {
    long count = ofCpu() + struct("per_cpu_pages").member("count").orElseThrow().offset();
    long slot = physical(count & -8);
    memory.flip(slot, (int) (8 * (count & 7)) + 4);

    Finding finding = only();

    assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(finding.subject().physical()).isEqualTo(slot);
  }

  @Test
  void aPageThatSaysItIsFreeAndIsOnNoListIsNamed() {
    for (long pfn = 0x1000; ; pfn++) {
      if (memMap.state(pfn).kind() == PageState.Kind.PAGE_TABLE) {
        memory.setWord(
            physical(memMap.descriptor(pfn) + COUNTS), 1L << 32 | 0xffff_ff7fL); // PG_buddy
        break;
      }
    }

    assertThat(only().evidence().toString()).contains("no free list");
  }

  /// A CPU that was stopped in `__free_one_page` or `rmqueue` holds the zone's lock.
  @Test
  void listsWhoseLockIsHeldAreNoFinding() {
    memory.setWord(
        physical(zone().address() + struct("zone").member("lock").orElseThrow().offset()), 1);
    memory.setWord(physical(counter(0)), word(counter(0)) + 1);
    memory.setWord(physical(block() + PRIVATE), 1);

    CheckOutcome.Ran ran = run();

    assertThat(ran.findings()).isEmpty();
    assertThat(ran.notes()).isNotEmpty();
  }

  /// list_add writes next->prev first.
  @Test
  void aHalfLinkedBlockIsNoFinding() {
    long at = block();
    long next = word(at + NEXT);
    long prev = word(at + PREV);
    // The node before it still leads past it.
    memory.setWord(physical(prev), next);

    assertThat(run().findings()).noneMatch(finding -> finding.cause() == Cause.LIST_BROKEN);
  }

  @Test
  void aBlockWhoseDescriptorIsNotInTheDumpIsCounted() {
    memory.exclude(physical(block()) >>> 12);

    CheckOutcome.Ran ran = run();

    assertThat(ran.findings()).isEmpty();
    assertThat(ran.coverage().notRead()).containsKey("free lists");
  }

  @Test
  void aBlockWhoseBothLinksAreOverwrittenIsNamed() {
    long at = block();
    memory.setWord(physical(at + NEXT), 0x4141_4141_4141_4141L);
    memory.setWord(physical(at + PREV), 0x4141_4141_4141_4141L);

    List<Finding> findings = run().findings();

    assertThat(findings).isNotEmpty();
    assertThat(findings.getFirst().cause()).isEqualTo(Cause.LIST_BROKEN);
  }
}
