package org.vmcheck.arch;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;
import java.util.OptionalLong;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.memory.EntryFlags;
import org.vmcheck.memory.Paging;
import org.vmcheck.memory.Translated;

/// The page tables of x86_64, 4 or 5 levels, with 2 MiB and 1 GiB leaves.
///
/// Source: Linux `arch/x86/include/asm/pgtable_types.h`; Intel SDM volume 3, chapter 4.
public final class X86_64Paging implements Paging {
  private static final ValueLayout.OfLong ENTRY =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final long PRESENT = 1;
  private static final long LARGE = 1 << 7;
  private static final long FRAME = 0x000f_ffff_ffff_f000L;

  private final PhysicalMemory memory;
  private final long root;
  private final int levels;
  private final long encryptionMask;

  /// @param root physical address of the top table
  /// @param levels 4 or 5
  /// @param encryptionMask bits of an entry that mark encrypted memory and are no address; 0 for
  ///   none
  public X86_64Paging(PhysicalMemory memory, long root, int levels, long encryptionMask) {
    if (levels != 4 && levels != 5) {
      throw new IllegalArgumentException("levels " + levels);
    }
    this.memory = memory;
    this.root = root & FRAME & ~encryptionMask;
    this.levels = levels;
    this.encryptionMask = encryptionMask;
  }

  /// The bit that marks encrypted memory, told from the kernel's half of a top table: the one bit
  /// above all memory that each present entry has. 0 if there is none.
  ///
  /// VMCOREINFO names it from 5.1 on only.
  public static long encryptionBit(PhysicalMemory memory, long root) {
    if (root < 0 || !(memory.read(root >>> 12) instanceof PageRead.Present(MemorySegment bytes))) {
      return 0;
    }
    long common = FRAME;
    int present = 0;
    for (int i = 256; i < 512; i++) {
      long entry = bytes.get(ENTRY, i * 8L);
      if ((entry & PRESENT) != 0) {
        common &= entry;
        present++;
      }
    }
    int firstBit = Math.max(32, 64 - Long.numberOfLeadingZeros(memory.endPfn() << 12));
    long above = firstBit > 51 ? 0 : common & -(1L << firstBit);
    return present > 0 && Long.bitCount(above) == 1 ? above : 0;
  }

  /// Where the kernel's map of all memory begins: the address of physical 0, told from the lowest
  /// slot of the kernel's half of the top table that maps low memory one to one. Empty if no slot
  /// does, or the tables that would tell are not in the dump.
  ///
  /// It is a multiple of 1 GiB (Linux `arch/x86/mm/kaslr.c`), which pages of the vmalloc area or of
  /// the memory map are by chance only. The last slot holds the kernel image.
  public OptionalLong directMap() {
    if (!(memory.read(root >>> 12) instanceof PageRead.Present(MemorySegment bytes))) {
      return OptionalLong.empty();
    }
    int shift = 12 + 9 * (levels - 1);
    long sign = -1L << (shift + 9);
    for (int slot = 256; slot < 511; slot++) {
      long entry = bytes.get(ENTRY, slot * 8L) & ~encryptionMask;
      if ((entry & PRESENT) != 0) {
        LinearMap found = new LinearMap();
        found.visit(entry & FRAME, levels - 1, sign | (long) slot << shift);
        if (found.isLowMemory()) {
          return OptionalLong.of(found.base);
        }
      }
    }
    return OptionalLong.empty();
  }

  /// What the first pages that one slot of the top table maps have in common.
  private final class LinearMap {
    private static final int MAX_TABLES = 64;
    private static final int MAX_PAGES = 4096;
    private static final long LOW = 1 << 20;

    private final Map<Long, Long> bytesByBase = new HashMap<>();
    private int tables;
    private int pages;
    private long all;
    private long base;
    private boolean hasLow;

    void visit(long table, int level, long vaddr) {
      if (tables++ >= MAX_TABLES
          || !(memory.read(table >>> 12) instanceof PageRead.Present(MemorySegment bytes))) {
        return;
      }
      int shift = 12 + 9 * (level - 1);
      for (int i = 0; i < 512 && pages < MAX_PAGES && tables < MAX_TABLES; i++) {
        long entry = bytes.get(ENTRY, i * 8L) & ~encryptionMask;
        if ((entry & PRESENT) == 0) {
          continue;
        }
        long at = vaddr | (long) i << shift;
        if (level == 1 || (level <= 3 && (entry & LARGE) != 0)) {
          page(at, entry & FRAME & -(1L << shift), 1L << shift);
        } else {
          visit(entry & FRAME, level - 1, at);
        }
      }
    }

    private void page(long vaddr, long paddr, long byteCount) {
      pages++;
      all += byteCount;
      long start = vaddr - paddr;
      if (start < 0 && (start & (1 << 30) - 1) == 0) {
        bytesByBase.merge(start, byteCount, Long::sum);
        if (paddr < LOW && (!hasLow || bytesByBase.get(start) > bytesByBase.get(base))) {
          hasLow = true;
          base = start;
        }
      }
    }

    boolean isLowMemory() {
      return hasLow && bytesByBase.get(base) > all / 2;
    }
  }

  @Override
  public long frameMask() {
    return FRAME;
  }

  @Override
  public int levels() {
    return levels;
  }

  @Override
  public long root() {
    return root;
  }

  @Override
  public long encryptionMask() {
    return encryptionMask;
  }

  /// Rare in a leaf: user, the bits that software may use, protection keys and what the processor
  /// ignores or reserves; not bit 58, in which newer kernels keep the dirty bit of what is
  /// read-only. Rare in a table: cache control, large at levels that have no such pages, global,
  /// software bits, execution.
  private static final EntryFlags FLAGS =
      new EntryFlags(
          (1 << 2) | (7 << 9) | ((0xfbfL << 52) & Long.MAX_VALUE),
          0,
          (3 << 3) | (0x1f << 7) | (0xfffL << 52),
          1 << 1,
          0,
          1L << 63);

  @Override
  public EntryFlags flags() {
    return FLAGS;
  }

  @Override
  public boolean isCanonical(long vaddr) {
    int shift = 64 - (levels == 5 ? 57 : 48);
    return vaddr << shift >> shift == vaddr;
  }

  @Override
  public long canonical(long vaddr) {
    int shift = 64 - (12 + 9 * levels);
    return vaddr << shift >> shift;
  }

  @Override
  public int shift(int level) {
    return 12 + 9 * (level - 1);
  }

  @Override
  public int firstSlot(int level) {
    return level == levels ? 256 : 0;
  }

  @Override
  public int endSlot(int level) {
    return 512;
  }

  @Override
  public boolean isPresent(long entry, int level) {
    return (entry & PRESENT) != 0;
  }

  /// Bit 7 of a last-level entry is PAT, not "large".
  @Override
  public boolean isLeaf(long entry, int level) {
    return level == 1 || (level <= 3 && (entry & LARGE) != 0);
  }

  @Override
  public long target(long entry, int level) {
    long frame = entry & FRAME & ~encryptionMask;
    return isLeaf(entry, level) ? frame & -(1L << shift(level)) : frame;
  }

  @Override
  public Translated translate(long vaddr) {
    if (!isCanonical(vaddr)) {
      return new Translated.NotMapped(4096, "not a canonical address");
    }
    long table = root;
    for (int level = levels; level >= 1; level--) {
      int shift = 12 + 9 * (level - 1);
      PageRead read = memory.read(table >>> 12);
      if (!(read instanceof PageRead.Present(MemorySegment bytes))) {
        return new Translated.TableMissing(table, read);
      }
      long entry = bytes.get(ENTRY, (vaddr >>> shift & 511) * 8) & ~encryptionMask;
      if ((entry & PRESENT) == 0) {
        return new Translated.NotMapped(1L << shift, "no page-table entry at level " + level);
      }
      long frame = entry & FRAME;
      // Bit 7 of a last-level entry is PAT, not "large".
      if (level == 1 || ((level == 2 || level == 3) && (entry & LARGE) != 0)) {
        long offsetMask = (1L << shift) - 1;
        return new Translated.At((frame & ~offsetMask) | (vaddr & offsetMask));
      }
      table = frame;
    }
    throw new AssertionError("the last level always returns");
  }
}
