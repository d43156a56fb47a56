package org.vmcheck.arch;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.dump.PageRead;
import org.vmcheck.memory.Translated;
import org.vmcheck.testing.PageTableBuilder;
import org.vmcheck.testing.SparseMemory;

class X86_64PagingTest {
  private static final long ROOT = 0x10_0000;
  private static final long VADDR = 0xffff_8880_4567_8000L;

  private final SparseMemory memory = new SparseMemory();

  private PageTableBuilder tables(int levels, long encryptionMask) {
    return new PageTableBuilder(memory, ROOT, levels, encryptionMask);
  }

  private X86_64Paging paging(int levels, long encryptionMask) {
    return new X86_64Paging(memory, ROOT, levels, encryptionMask);
  }

  @ParameterizedTest
  @ValueSource(ints = {4, 5})
  void pageOf4KiBIsTheFrameAndTheLow12Bits(int levels) {
    tables(levels, 0).map(VADDR, 0x1234_5000, PageTableBuilder.SIZE_4K);

    assertThat(paging(levels, 0).translate(VADDR + 0xabc))
        .isEqualTo(new Translated.At(0x1234_5abcL));
  }

  @ParameterizedTest
  @ValueSource(ints = {4, 5})
  void leavesOf2MiBAnd1GiBKeepTheirLowBits(int levels) {
    tables(levels, 0)
        .map(0xffff_8880_4560_0000L, 0x7fe0_0000, PageTableBuilder.SIZE_2M)
        .map(0xffff_8881_0000_0000L, 0x2_4000_0000L, PageTableBuilder.SIZE_1G);

    assertThat(paging(levels, 0).translate(0xffff_8880_4561_2345L))
        .isEqualTo(new Translated.At(0x7fe1_2345L));
    assertThat(paging(levels, 0).translate(0xffff_8881_2345_6789L))
        .isEqualTo(new Translated.At(0x2_6345_6789L));
  }

  @Test
  void fiveLevelsReachAddressesThatFourCannot() {
    long vaddr = 0xff11_0000_1234_5000L;
    tables(5, 0).map(vaddr, 0x5000, PageTableBuilder.SIZE_4K);

    assertThat(paging(5, 0).translate(vaddr + 7)).isEqualTo(new Translated.At(0x5007));
    assertThat(paging(4, 0).translate(vaddr))
        .isEqualTo(new Translated.NotMapped(4096, "not a canonical address"));
  }

  @Test
  void bit12OfALargePageIsPatNotAddress() {
    tables(4, 0)
        .map(0xffff_8880_4560_0000L, 0x7fe0_0000, PageTableBuilder.SIZE_2M, 1 << 12)
        .map(0xffff_8881_0000_0000L, 0x4000_0000, PageTableBuilder.SIZE_1G, 1 << 12);

    assertThat(paging(4, 0).translate(0xffff_8880_4560_0010L))
        .isEqualTo(new Translated.At(0x7fe0_0010L));
    assertThat(paging(4, 0).translate(0xffff_8881_0000_0010L))
        .isEqualTo(new Translated.At(0x4000_0010L));
  }

  @Test
  void bit7OfALastLevelEntryIsPatNotLarge() {
    tables(4, 0).map(VADDR, 0x1234_5000, PageTableBuilder.SIZE_4K, 1 << 7);

    assertThat(paging(4, 0).translate(VADDR + 1)).isEqualTo(new Translated.At(0x1234_5001L));
  }

  @Test
  void noExecuteAndProtectionKeyAreNoAddressBits() {
    tables(4, 0)
        .map(VADDR, 0x1234_5000, PageTableBuilder.SIZE_4K, 1L << 63 | 0xfL << 59 | 3L << 57);

    assertThat(paging(4, 0).translate(VADDR)).isEqualTo(new Translated.At(0x1234_5000L));
  }

  @ParameterizedTest
  @ValueSource(longs = {1L << 47, 1L << 51})
  void encryptionBitIsStrippedFromEveryLevelAndFromTheRoot(long mask) {
    tables(4, mask)
        .map(VADDR, 0x1234_5000, PageTableBuilder.SIZE_4K)
        .map(0xffff_8881_0000_0000L, 0x4000_0000, PageTableBuilder.SIZE_1G);
    X86_64Paging paging = new X86_64Paging(memory, ROOT | mask, 4, mask);

    assertThat(paging.root()).isEqualTo(ROOT);
    assertThat(paging.translate(VADDR)).isEqualTo(new Translated.At(0x1234_5000L));
    assertThat(paging.translate(0xffff_8881_0000_0123L)).isEqualTo(new Translated.At(0x4000_0123L));
  }

  @Test
  void withoutTheMaskAnEncryptedTableIsNotInTheDump() {
    long mask = 1L << 47;
    PageTableBuilder tables = tables(4, mask).map(VADDR, 0x1234_5000, PageTableBuilder.SIZE_4K);
    long next = tables.tableOf(VADDR, 3) | mask;

    assertThat(paging(4, 0).translate(VADDR))
        .isEqualTo(new Translated.TableMissing(next, new PageRead.NotInDump(next >>> 12)));
  }

  @Test
  void missingEntryNamesItsLevelAndTheRangeThatShares() {
    tables(4, 0).map(VADDR, 0x1234_5000, PageTableBuilder.SIZE_4K);
    X86_64Paging paging = paging(4, 0);

    assertThat(paging.translate(VADDR + 4096))
        .isEqualTo(new Translated.NotMapped(4096, "no page-table entry at level 1"));
    assertThat(paging.translate(VADDR + (2 << 20)))
        .isEqualTo(new Translated.NotMapped(2 << 20, "no page-table entry at level 2"));
    assertThat(paging.translate(VADDR + (1L << 30)))
        .isEqualTo(new Translated.NotMapped(1 << 30, "no page-table entry at level 3"));
    assertThat(paging.translate(VADDR + (1L << 39)))
        .isEqualTo(new Translated.NotMapped(1L << 39, "no page-table entry at level 4"));
  }

  @Test
  void entryWithPresentBitClearIsNotMappedWhateverElseItHolds() {
    tables(4, 0).entry(VADDR, 1, 0x1234_5000L | 0x62).entry(VADDR + 4096, 1, 0x1234_5000L | 1 << 8);

    assertThat(paging(4, 0).translate(VADDR)).isInstanceOf(Translated.NotMapped.class);
    assertThat(paging(4, 0).translate(VADDR + 4096)).isInstanceOf(Translated.NotMapped.class);
  }

  @Test
  void excludedTableIsMissingNotUnmapped() {
    PageTableBuilder tables = tables(4, 0).map(VADDR, 0x1234_5000, PageTableBuilder.SIZE_4K);
    long table = tables.tableOf(VADDR, 2);
    memory.exclude(table);

    assertThat(paging(4, 0).translate(VADDR))
        .isEqualTo(new Translated.TableMissing(table, new PageRead.Excluded(table >>> 12)));
  }

  @Test
  void tableThatPointsToItselfEndsTheWalk() {
    tables(4, 0).entry(VADDR, 4, ROOT | 1);
    memory.writeU64(ROOT + (VADDR >>> 30 & 511) * 8, ROOT | 1);
    memory.writeU64(ROOT + (VADDR >>> 21 & 511) * 8, ROOT | 1);
    memory.writeU64(ROOT + (VADDR >>> 12 & 511) * 8, ROOT | 1);

    assertThat(paging(4, 0).translate(VADDR)).isEqualTo(new Translated.At(ROOT));
  }
}
