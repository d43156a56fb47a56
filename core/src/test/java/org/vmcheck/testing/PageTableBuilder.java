package org.vmcheck.testing;

/// Builds the page tables of x86_64 in a [SparseMemory], tables one after the other from a given
/// place on.
public final class PageTableBuilder {
  public static final long SIZE_4K = 1L << 12;
  public static final long SIZE_2M = 1L << 21;
  public static final long SIZE_1G = 1L << 30;

  private static final long PRESENT_WRITABLE_ACCESSED_DIRTY = 0x63;
  private static final long LARGE = 1 << 7;
  private static final long FRAME = 0x000f_ffff_ffff_f000L;

  private final SparseMemory memory;
  private final int levels;
  private final long encryptionMask;
  private final long root;
  private long nextTable;

  /// @param root physical address of the top table; the others follow it
  /// @param levels 4 or 5
  /// @param encryptionMask set in every entry
  public PageTableBuilder(SparseMemory memory, long root, int levels, long encryptionMask) {
    this.memory = memory;
    this.levels = levels;
    this.encryptionMask = encryptionMask;
    this.root = root;
    this.nextTable = root;
    newTable();
  }

  public long root() {
    return root;
  }

  /// Where the next table would be put: the end of what the tables take so far.
  public long end() {
    return nextTable;
  }

  /// Maps one page of 4 KiB, 2 MiB or 1 GiB.
  public PageTableBuilder map(long vaddr, long paddr, long pageBytes) {
    return map(vaddr, paddr, pageBytes, 0);
  }

  /// @param moreBits set in the last entry besides the usual ones: PAT, NX, a protection key
  public PageTableBuilder map(long vaddr, long paddr, long pageBytes, long moreBits) {
    int leaf = pageBytes == SIZE_4K ? 1 : pageBytes == SIZE_2M ? 2 : 3;
    long entry = paddr | PRESENT_WRITABLE_ACCESSED_DIRTY | encryptionMask | moreBits;
    return entry(vaddr, leaf, leaf == 1 ? entry : entry | LARGE);
  }

  /// Maps a run of pages of one size.
  public PageTableBuilder mapRange(long vaddr, long paddr, long byteCount, long pageBytes) {
    for (long at = 0; at < byteCount; at += pageBytes) {
      map(vaddr + at, paddr + at, pageBytes);
    }
    return this;
  }

  /// Sets the entry of an address at one level as it is, the tables above it made as needed.
  public PageTableBuilder entry(long vaddr, int level, long value) {
    memory.writeU64(tableOf(vaddr, level) + index(vaddr, level) * 8, value);
    return this;
  }

  /// Physical address of the table of that level on the way to an address.
  public long tableOf(long vaddr, int level) {
    long table = root;
    for (int at = levels; at > level; at--) {
      long slot = table + index(vaddr, at) * 8;
      long entry = memory.readU64(slot);
      if ((entry & 1) == 0) {
        entry = newTable() | PRESENT_WRITABLE_ACCESSED_DIRTY | encryptionMask;
        memory.writeU64(slot, entry);
      }
      table = entry & FRAME & ~encryptionMask;
    }
    return table;
  }

  private static long index(long vaddr, int level) {
    return (vaddr >>> (12 + 9 * (level - 1))) & 511;
  }

  private long newTable() {
    long table = nextTable;
    memory.touch(table);
    nextTable += 4096;
    return table;
  }
}
