package org.vmcheck.memory;

/// The kernel's page tables of one architecture: what a walk over them has to know.
///
/// Levels count from 1, the last, whose entries map pages, to the top. Entries have eight bytes,
/// little-endian.
public interface Paging {
  /// Physical address of the top table.
  long root();

  int levels();

  /// Bits of an entry that mark encrypted memory and are no address; 0 for none.
  long encryptionMask();

  /// Bits of an entry that are bits of an address at their own place.
  long frameMask();

  EntryFlags flags();

  /// Whether the bits above the translated ones all equal the highest translated one.
  boolean isCanonical(long vaddr);

  /// An address of the kernel's half with the bits above those that are translated.
  long canonical(long vaddr);

  /// Walks the tables. Bounded by the number of levels.
  Translated translate(long vaddr);

  /// Bits of an address that an entry of a level leaves to the levels below it, and to the page.
  int shift(int level);

  /// The first entry of a table of a level that is of the kernel's half.
  int firstSlot(int level);

  /// One more than the last entry of such a table.
  int endSlot(int level);

  /// Whether an entry leads anywhere.
  boolean isPresent(long entry, int level);

  /// Whether an entry that is present maps memory, and leads to no table.
  boolean isLeaf(long entry, int level);

  /// Physical address of the table that an entry leads to, or of the first byte that it maps.
  long target(long entry, int level);
}
