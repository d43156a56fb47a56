package org.vmcheck.arch;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.memory.RepagedMemory;
import org.vmcheck.memory.Translated;
import org.vmcheck.testing.SparseMemory;

class Aarch64PagingTest {
  private static final long ROOT = 0x4100_0000L;
  private static final long TABLES = 0x4200_0000L;

  /// What Linux sets in entries of the kernel's tables besides the address: PXNTable and UXNTable.
  private static final long TABLE = 0x1800_0000_0000_0003L;

  private static final long PAGE = 0x0068_0000_0000_0703L;
  private static final long BLOCK = 0x0068_0000_0000_0701L;

  private final SparseMemory memory = new SparseMemory();

  private Aarch64Paging paging(int pageSize, int width, Aarch64Paging.Wide wide) {
    return new Aarch64Paging(physical(pageSize), ROOT, width, wide);
  }

  private PhysicalMemory physical(int pageSize) {
    return RepagedMemory.of(memory, pageSize);
  }

  /// Writes the entries that lead to a level, and the one there.
  ///
  /// @param leaf the whole entry
  private void map(Aarch64Paging paging, int pageSize, long vaddr, int level, long leaf) {
    long table = ROOT;
    for (int at = paging.levels(); at >= level; at--) {
      long index = vaddr >>> paging.shift(at) & paging.endSlot(at) - 1;
      long next = TABLES + (long) at * pageSize;
      // The memory of a table that is read has to be there as a whole.
      for (long page = 0; page < pageSize; page += 4096) {
        memory.touch(table + page);
        memory.touch(next + page);
      }
      memory.writeU64(table + index * 8, at == level ? leaf : next | TABLE);
      table = next;
    }
  }

  @ParameterizedTest
  @CsvSource({
    "4096, 39, 3, 512",
    "4096, 48, 4, 512",
    "4096, 52, 5, 16",
    "16384, 36, 2, 2048",
    "16384, 47, 3, 2048",
    "16384, 48, 4, 2",
    "16384, 52, 4, 32",
    "65536, 42, 2, 8192",
    "65536, 48, 3, 64",
    "65536, 52, 3, 1024"
  })
  void levelsAndTopEntriesAreThoseOfTheArchitecture(
      int pageSize, int width, int levels, int topEntries) {
    Aarch64Paging paging = paging(pageSize, width, Aarch64Paging.Wide.NONE);

    assertThat(paging.levels()).isEqualTo(levels);
    assertThat(paging.firstSlot(levels)).isZero();
    assertThat(paging.endSlot(levels)).isEqualTo(topEntries);
    assertThat(paging.isCanonical(-1L << width)).isTrue();
    assertThat(paging.isCanonical((-1L << width) - 1)).isFalse();
    assertThat(paging.canonical((1L << (width - 1)) - 1))
        .isEqualTo((-1L << width) | (1L << (width - 1)) - 1);
  }

  @ParameterizedTest
  @CsvSource({
    "4096, 39",
    "4096, 48",
    "4096, 52",
    "16384, 36",
    "16384, 47",
    "16384, 48",
    "16384, 52",
    "65536, 42",
    "65536, 48",
    "65536, 52"
  })
  void pageAndBlockAreFoundInBothHalvesOfTheSpace(int pageSize, int width) {
    Aarch64Paging paging = paging(pageSize, width, Aarch64Paging.Wide.NONE);
    long low = (-1L << width) + 5L * pageSize;
    map(paging, pageSize, low, 1, 0x4765_0000L | PAGE);
    long high = -1L << paging.shift(2);
    map(paging, pageSize, high, 2, (7L << paging.shift(2)) | BLOCK);

    assertThat(paging.translate(low + 0x123)).isEqualTo(new Translated.At(0x4765_0123L));
    assertThat(paging.translate(high + 0x1_2345))
        .isEqualTo(new Translated.At((7L << paging.shift(2)) + 0x1_2345));
    assertThat(paging.translate(low + pageSize))
        .isEqualTo(new Translated.NotMapped(pageSize, "no page-table entry at level 1"));
    assertThat(paging.translate((-1L << width) - 8)).isInstanceOf(Translated.NotMapped.class);
    assertThat(paging.translate(0x40_0000)).isInstanceOf(Translated.NotMapped.class);
  }

  @Test
  void shareabilityIsAnAddressOnlyWithLpa2() {
    long vaddr = -1L << 48;
    long entry = 0x4100_0000L | PAGE;
    map(paging(4096, 48, Aarch64Paging.Wide.NONE), 4096, vaddr, 1, entry);

    assertThat(paging(4096, 48, Aarch64Paging.Wide.NONE).translate(vaddr))
        .isEqualTo(new Translated.At(0x4100_0000L));
    assertThat(paging(4096, 52, Aarch64Paging.Wide.LPA2).target(entry, 1))
        .isEqualTo(0x4100_0000L | 3L << 50);
    assertThat(paging(65536, 52, Aarch64Paging.Wide.LPA).target(0x4101_a000L | PAGE, 1))
        .isEqualTo(0x000a_0000_4101_0000L);
  }

  @Test
  void anEntryWithoutItsLastBitsLeadsNowhere() {
    Aarch64Paging paging = paging(4096, 48, Aarch64Paging.Wide.NONE);
    long vaddr = -1L << 48;

    // PTE_PRESENT_INVALID of PROT_NONE, and the reserved form of a last level.
    map(paging, 4096, vaddr, 1, 0x4100_0000L | 1 << 11);
    assertThat(paging.translate(vaddr)).isInstanceOf(Translated.NotMapped.class);
    map(paging, 4096, vaddr, 1, 0x4100_0000L | 1);
    assertThat(paging.translate(vaddr)).isInstanceOf(Translated.NotMapped.class);
  }

  @Test
  void aTableThatIsNotInTheDumpIsNamed() {
    Aarch64Paging paging = paging(4096, 48, Aarch64Paging.Wide.NONE);
    memory.writeU64(ROOT, 0x9_9999_9000L | TABLE);

    assertThat(paging.translate(-1L << 48))
        .isInstanceOfSatisfying(
            Translated.TableMissing.class,
            missing -> assertThat(missing.tablePaddr()).isEqualTo(0x9_9999_9000L));
  }
}
