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
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Finding;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.testing.ChangedDump;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.TestData;

/// The page tables of real kernels: silent as the kernel left them; a flipped bit of an entry is
/// named with its place and the entry that it was.
class MemoryTablesCheckTest extends ChangedDump {
  MemoryTablesCheckTest() {
    super(new MemoryTablesCheck(), "debian-cloud");
  }

  private static final long FRAME = 0x000f_ffff_ffff_f000L;

  /// Accessed and dirty, cache control, global, present: not said of each entry.
  private static final long OPEN = 0x179 | 1L << 58 | 0x80;

  private AddressMap map;

  @BeforeAll
  void look() throws Exception {
    map = kernel.memory().map();
  }

  /// Physical address of the entry of a table at a level for an address.
  private long entry(long vaddr, int level) {
    long table = kernel.memory().paging().root();
    for (int at = kernel.memory().paging().levels(); ; at--) {
      long slot = table + ((vaddr >>> (12 + 9 * (at - 1))) & 511) * 8;
      if (at == level) {
        return slot;
      }
      table = memory.word(slot) & FRAME;
    }
  }

  private void assertNamed(long slot, long right) {
    List<Finding> findings = run().findings();
    assertThat(findings).as("the entry at 0x%x", slot).hasSize(1);
    Finding finding = findings.getFirst();
    assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(finding.subject().physical()).isEqualTo(slot);
    assertThat(finding.subject().decoded()).isEqualTo(right);
  }

  static Stream<TestData> dumps() throws Exception {
    return TestData.small().stream();
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void theTablesOfARealKernelAreSilent(TestData data) throws IOException {
    try (Dump one = Dumps.open(data.dump())) {
      CheckOutcome.Ran ran = (CheckOutcome.Ran) outcome(one, found(one));

      assertThat(ran.findings()).isEmpty();
      assertThat(ran.notes()).isEmpty();
      assertThat(ran.coverage().lookedAt().get("tables")).isGreaterThan(80);
      assertThat(ran.coverage().lookedAt().get("entries by arithmetic")).isGreaterThan(4000);
    }
  }

  static List<Layout> layouts() {
    return List.of(Layout.V4_14, Layout.V5_10, Layout.V6_1, Layout.V7_1);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theTablesOfABuiltKernelAreSilent(Layout layout) {
    for (FakeKernel one :
        List.of(
            FakeKernel.of(layout).seed(5),
            FakeKernel.of(layout).seed(6).fiveLevels(),
            FakeKernel.of(layout).seed(7).sme(47))) {
      FakeImage image = one.build();
      CheckOutcome outcome = outcome(image.dump(), image.kernel());

      assertThat(outcome).isInstanceOf(CheckOutcome.Ran.class);
      assertThat(outcome.findingsIfRan()).isEmpty();
      assertThat(outcome.notesIfRan()).isEmpty();
    }
  }

  @Test
  void aBitOfAnEntryOfABuiltKernelIsNamed() {
    FakeImage image = FakeKernel.of(Layout.V6_1).seed(5).sme(47).build();
    Kernel built = image.kernel();
    long table = built.memory().paging().root();
    long unused = built.memory().map().directMapAddress(table) + 257 * 8;
    assertThat(image.word(unused)).isZero();
    image.flipBit(unused, 33);

    List<Finding> findings = outcome(image.dump(), image.kernel()).findingsIfRan();

    assertThat(findings).hasSize(1);
    assertThat(findings.getFirst().cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(findings.getFirst().subject().address()).isEqualTo(unused);
    assertThat(findings.getFirst().subject().decoded()).isZero();
  }

  @Test
  void aBitOfAFrameOfTheDirectMapIsNamed() {
    // 4 KiB pages map the first 2 MiB.
    long slot = entry(map.directMapAddress(0x7000), 1);
    for (int bit : new int[] {12, 19, 27, 38, 50}) {
      long right = memory.restore().word(slot);
      memory.flip(slot, bit);

      assertNamed(slot, right);
    }
  }

  @Test
  void aBitOfWhatLeadsToATableIsNamed() {
    long slot = entry(map.directMapAddress(0x7000), 2);
    for (int bit : new int[] {13, 16, 22, 30, 45, 60}) {
      long right = memory.restore().word(slot);
      memory.flip(slot, bit);

      assertNamed(slot, right);
    }
  }

  @Test
  void writableOrUserOrNotExecutableTextIsNamed() {
    long text = kernel.symbol("_stext").orElseThrow() + (4 << 20);
    long slot = entry(text, 2);
    assertThat(memory.word(slot) & 0x80).isNotZero();
    for (int bit : new int[] {1, 2, 10, 63}) {
      long right = memory.restore().word(slot);
      memory.flip(slot, bit);

      assertNamed(slot, right);
    }
  }

  /// KFENCE and debug_pagealloc take the present bit away, hwpoison too.
  @Test
  void aPageThatIsUnmappedOnPurposeIsNoFinding() {
    long slot = entry(map.directMapAddress(0x7000), 1);
    memory.flip(slot, 0);
    assertThat(run().findings()).isEmpty();

    memory.restore().setWord(slot, 0);
    assertThat(run().findings()).isEmpty();
  }

  /// `__pte_needs_invert`: the frame of what is unmapped on purpose may be inverted.
  @Test
  void aWordThatNoKernelWritesIntoAnEntryThatIsNotInUseIsNamed() {
    long slot = entry(map.directMapAddress(0x7000), 1);
    long stray = 0x5bad_c0de_0bad_f00eL & ~1L;
    memory.setWord(slot, stray);
    List<Finding> findings = run().findings();
    assertThat(findings).hasSize(1);
    assertThat(findings.getFirst().subject().physical()).isEqualTo(slot);
    assertThat(findings.getFirst().subject().raw()).isEqualTo(stray);
    assertThat(findings.getFirst().claim()).contains("is not in use, and not empty");

    long right = memory.restore().word(slot);
    memory.setWord(slot, (right ^ 0x000f_ffff_ffff_f000L) & ~1L);
    assertThat(run().findings()).isEmpty();
  }

  /// Guests of TDX, and of SEV-SNP on Hyper-V: a bit above all memory marks what the host may read.
  @Test
  void pagesSharedWithTheHostAreNoFinding() {
    for (int bit : new int[] {46, 47, 51}) {
      memory.restore();
      for (int page = 7; page < 15; page++) {
        memory.flip(entry(map.directMapAddress(page << 12), 1), bit);
      }

      assertThat(run().findings()).isEmpty();
      assertThat(run().notes()).isEmpty();
    }
  }

  /// A live dump may hold the entry of now and the page of then.
  @Test
  void aPageThatIsNoTableIsCountedAndNotJudged() {
    long split = memory.word(entry(map.directMapAddress(0x7000), 2)) & FRAME;
    long ofVmalloc = memory.word(entry(map.vmallocStart(), 3)) & FRAME;
    for (long table : new long[] {split, ofVmalloc}) {
      memory.restore();
      for (int i = 0; i < 512; i++) {
        memory.setWord(table + 8L * i, i % 8 == 0 ? 1L << (i / 8) : (2L * i) << 32);
      }

      CheckOutcome.Ran ran = run();

      assertThat(ran.findings()).isEmpty();
      assertThat(ran.notes()).hasSize(1);
      assertThat(ran.answer()).endsWith("not all judged");
    }
  }

  @Test
  void aTableThatIsNotInTheDumpIsCounted() {
    memory.exclude(memory.word(entry(map.directMapAddress(0x7000), 2)) >>> 12 & FRAME >>> 12);

    CheckOutcome.Ran ran = run();

    assertThat(ran.findings()).isEmpty();
    assertThat(ran.coverage().notRead()).containsEntry("page tables", 1L);
  }

  /// Seeded: any bit of any word of any table of the kernel's half.
  @Test
  void mostFlippedBitsAreFoundAndNoOtherWordIsBlamed() {
    List<Long> tables = new ArrayList<>();
    collect(kernel.memory().paging().root(), kernel.memory().paging().levels(), tables);
    Random random = new Random(5);
    int found = 0;
    int trials = 120;
    for (int i = 0; i < trials; i++) {
      long table = tables.get(random.nextInt(1, tables.size()));
      long slot = table + 8L * random.nextInt(512);
      int bit = random.nextInt(64);
      memory.restore();
      long right = memory.word(slot);
      memory.flip(slot, bit);

      List<Finding> findings = run().findings();

      assertThat(findings).as("bit %d of 0x%x, 0x%x", bit, slot, right).hasSizeLessThan(2);
      if (!findings.isEmpty()) {
        assertThat(findings.getFirst().subject().physical()).isEqualTo(slot);
        assertThat(findings.getFirst().subject().decoded()).isEqualTo(right);
      } else {
        assertThat((1L << bit & OPEN) != 0 || (right & 0x61) != 0 || right == 0).isTrue();
      }
      found += findings.size();
    }
    assertThat(found).isGreaterThan(trials * 90 / 100);
  }

  private void collect(long table, int level, List<Long> into) {
    into.add(table);
    for (int i = level == kernel.memory().paging().levels() ? 256 : 0; level > 1 && i < 512; i++) {
      long entry = memory.word(table + 8L * i);
      if ((entry & 1) != 0 && (level > 3 || (entry & 0x80) == 0) && !into.contains(entry & FRAME)) {
        collect(entry & FRAME, level - 1, into);
      }
    }
  }
}
