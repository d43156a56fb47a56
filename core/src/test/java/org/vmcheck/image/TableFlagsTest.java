package org.vmcheck.image;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.Paging;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.ChangedMemory;
import org.vmcheck.testing.TestData;

/// The bits of aarch64's page-table entries that are no address, in the tables of a real kernel.
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class TableFlagsTest {
  private Dump dump;
  private Kernel kernel;
  private ChangedMemory memory;

  @BeforeAll
  void open() throws Exception {
    dump = Dumps.open(TestData.named("debian-7.2-arm64").dump());
    kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
    memory = new ChangedMemory(kernel.memory().physical());
  }

  @AfterAll
  void close() {
    dump.close();
  }

  @BeforeEach
  void restore() {
    memory.restore();
  }

  private TableSurvey survey() {
    return TableSurvey.of(kernel.over(memory));
  }

  /// Where the leaf lies that maps an address, or the entry above it.
  private long entry(long vaddr, int above) {
    Paging paging = kernel.memory().paging();
    long table = paging.root();
    long parent = 0;
    for (int level = paging.levels(); ; level--) {
      int slot = (int) (vaddr >>> paging.shift(level)) & (paging.endSlot(level) - 1);
      long place = table + 8L * slot;
      long entry = memory.word(place);
      if (paging.isLeaf(entry, level)) {
        return above == 0 ? place : parent;
      }
      parent = place;
      table = paging.target(entry, level);
    }
  }

  private void assertNamed(long place, int bit, TableFault.Kind kind) {
    restore();
    memory.flip(place, bit);
    assertThat(survey().faults())
        .as("bit %d of the entry at 0x%x", bit, place)
        .singleElement()
        .satisfies(
            fault -> {
              assertThat(fault.kind()).isEqualTo(kind);
              assertThat(fault.physical()).isEqualTo(place);
              assertThat(fault.value() ^ fault.expected()).isEqualTo(1L << bit);
            });
  }

  @Test
  void aHealthyKernelsEntriesAreAsTheyMustBe() {
    TableSurvey survey = survey();

    assertThat(survey.faults()).isEmpty();
    assertThat(survey.remarks()).isEmpty();
    assertThat(survey.lookedAt().get("entries by arithmetic")).isGreaterThan(10_000);
  }

  @Test
  void textThatCanBeWrittenOrNotRunIsNamed() {
    long leaf = entry(kernel.symbol("schedule").orElseThrow(), 0);

    assertNamed(leaf, 7, TableFault.Kind.WRITABLE);
    assertNamed(leaf, 51, TableFault.Kind.WRITABLE);
    assertNamed(leaf, 53, TableFault.Kind.NO_EXECUTE);
  }

  @Test
  void bitsThatNoOtherEntryHasAreNamed() {
    long leaf = entry(kernel.memory().map().directMap().start() + (64L << 20), 0);

    for (int bit : new int[] {5, 6, 8, 9, 54, 56, 59, 63}) {
      assertNamed(leaf, bit, TableFault.Kind.FLAG);
    }
    long table = entry(kernel.symbol("schedule").orElseThrow(), 1);
    for (int bit : new int[] {2, 7, 50, 57, 61, 63}) {
      assertNamed(table, bit, TableFault.Kind.FLAG);
    }
  }

  /// Accessed and dirty differ, a run of entries may be contiguous, and what limits execution in a
  /// table differs from table to table.
  @Test
  void bitsInWhichEntriesDifferAreNot() {
    long leaf = entry(kernel.memory().map().directMap().start() + (64L << 20), 0);
    for (int bit : new int[] {10, 11, 52, 55}) {
      restore();
      memory.flip(leaf, bit);
      assertThat(survey().faults()).as("bit %d", bit).isEmpty();
    }
    long table = entry(kernel.symbol("schedule").orElseThrow(), 1);
    memory.restore().flip(table, 59);
    assertThat(survey().faults()).isEmpty();
  }
}
