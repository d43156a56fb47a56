package org.vmcheck.arch;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.memory.EntryFlags;
import org.vmcheck.memory.Paging;
import org.vmcheck.memory.Translated;

/// The kernel's page tables of aarch64 (those that TTBR1 leads to): pages of 4, 16 and 64 KiB, two
/// to five levels, blocks at every level but the last.
///
/// A table fills a page, the top one but for the entries that the width of addresses leaves. The
/// kernel's half begins at -2^width: bit `width - 1` is an address bit like any other.
///
/// Source: Linux `arch/arm64/include/asm/pgtable-hwdef.h`, `pgtable.h` (__pte_to_phys).
final class Aarch64Paging implements Paging {
  private static final ValueLayout.OfLong ENTRY =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final long VALID = 1;
  private static final long TABLE = 2;
  private static final long ADDRESS = 0x0000_ffff_ffff_f000L;

  /// Bits 49:48 with LPA2, where 9:8 hold 51:50.
  private static final long ADDRESS_LPA2 = 0x0003_ffff_ffff_f000L;

  private static final long USER = 1 << 6;
  private static final long READ_ONLY = 1 << 7;
  private static final long MAY_BECOME_WRITABLE = 1L << 51;
  private static final long NO_EXECUTE = 1L << 53;
  private static final long NO_EXECUTE_USER = 1L << 54;

  /// How an entry holds the bits of an address above bit 47.
  enum Wide {
    /// It has none.
    NONE,
    /// Bits 15:12 hold 51:48 (pages of 64 KiB).
    LPA,
    /// Bits 49:48 stand for themselves, 9:8 hold 51:50 (pages of 4 and 16 KiB).
    LPA2
  }

  private final PhysicalMemory memory;
  private final long root;
  private final int width;
  private final int pageShift;
  private final int levels;
  private final Wide wide;

  /// @param memory in pages of the kernel's size
  /// @param root physical address of the top table
  /// @param width bits of an address that the tables translate
  Aarch64Paging(PhysicalMemory memory, long root, int width, Wide wide) {
    this.memory = memory;
    this.root = root;
    this.width = width;
    this.wide = wide;
    this.pageShift = Integer.numberOfTrailingZeros(memory.pageSize());
    int bits = pageShift - 3;
    this.levels = (width - pageShift + bits - 1) / bits;
  }

  /// Whether tables of such pages can translate so many bits.
  static boolean isWidth(int pageShift, int width) {
    return width > pageShift && width <= 52;
  }

  @Override
  public long root() {
    return root;
  }

  @Override
  public long frameMask() {
    return (wide == Wide.LPA2 ? ADDRESS_LPA2 : ADDRESS) & -(1L << pageShift);
  }

  @Override
  public int levels() {
    return levels;
  }

  /// Nothing marks encrypted memory. What a realm shares with its host has an address bit of its
  /// own.
  @Override
  public long encryptionMask() {
    return 0;
  }

  /// Rare in a leaf: what is no normal memory, secure, user, and what only programs' pages have or
  /// the processor ignores; usual is that programs cannot run it. Rare in a table: what is ignored,
  /// but for bits 10 and 11, and what limits access; not what limits execution (59, 60). Bits of
  /// addresses that no memory has are rare in both. What is read-only has bit 7, and not bit 51,
  /// which lets the processor clear that.
  @Override
  public EntryFlags flags() {
    long addresses =
        switch (wide) {
          case NONE -> 3L << 48;
          case LPA -> 0xf000L | 3L << 48;
          case LPA2 -> 0x300L;
        };
    return new EntryFlags(
        (7L << 3) | USER | (0xffL << 56) | addresses,
        NO_EXECUTE_USER,
        (0xffL << 2) | (0x1ffL << 50) | (7L << 61) | addresses,
        READ_ONLY | MAY_BECOME_WRITABLE,
        READ_ONLY,
        NO_EXECUTE);
  }

  @Override
  public boolean isCanonical(long vaddr) {
    long above = vaddr >> width;
    return above == 0 || above == -1;
  }

  @Override
  public long canonical(long vaddr) {
    return vaddr | -1L << width;
  }

  @Override
  public int shift(int level) {
    return pageShift + (pageShift - 3) * (level - 1);
  }

  @Override
  public int firstSlot(int level) {
    return 0;
  }

  @Override
  public int endSlot(int level) {
    return 1 << (level == levels ? width - shift(level) : pageShift - 3);
  }

  /// At the last level bit 1 must be set.
  @Override
  public boolean isPresent(long entry, int level) {
    return (entry & VALID) != 0 && (level > 1 || (entry & TABLE) != 0);
  }

  @Override
  public boolean isLeaf(long entry, int level) {
    return level == 1 || (entry & TABLE) == 0;
  }

  @Override
  public long target(long entry, int level) {
    long frame =
        switch (wide) {
          case NONE -> entry & ADDRESS;
          case LPA -> (entry & ADDRESS & -(1L << pageShift)) | (entry & 0xf000) << 36;
          case LPA2 -> (entry & ADDRESS_LPA2) | (entry & 0x300) << 42;
        };
    return frame & -(1L << (isLeaf(entry, level) ? shift(level) : pageShift));
  }

  @Override
  public Translated translate(long vaddr) {
    if (vaddr >> width != -1) {
      return new Translated.NotMapped(
          1L << pageShift,
          isCanonical(vaddr) ? "no address of the kernel" : "not a canonical address");
    }
    long table = root;
    for (int level = levels; level >= 1; level--) {
      PageRead read =
          table < 0
              ? new PageRead.NotInDump(table >>> pageShift)
              : memory.read(table >>> pageShift);
      if (!(read instanceof PageRead.Present(MemorySegment bytes))) {
        return new Translated.TableMissing(table, read);
      }
      long entry = bytes.get(ENTRY, (vaddr >>> shift(level) & endSlot(level) - 1) * 8);
      if (!isPresent(entry, level)) {
        return new Translated.NotMapped(
            1L << shift(level), "no page-table entry at level " + level);
      }
      if (isLeaf(entry, level)) {
        return new Translated.At(target(entry, level) | (vaddr & (1L << shift(level)) - 1));
      }
      table = target(entry, level);
    }
    throw new AssertionError("the last level always returns");
  }
}
