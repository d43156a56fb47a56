package org.vmcheck.attribution;

import org.vmcheck.slab.Freelist;

/// The word at which a freelist goes wrong.
///
/// @param holder index of the object that holds it, [Freelist#HEAD] for the list's head
/// @param slot its address
/// @param raw what it holds
/// @param decoded where it leads
public record BadWord(int holder, long slot, long raw, long decoded) {
  boolean isHead() {
    return holder == Freelist.HEAD;
  }

  /// `the head` or `the free pointer of object 3`.
  String name() {
    return isHead() ? "the head" : "the free pointer of object " + holder;
  }

  /// The bytes that a store wrote which left the rest of the word: the lowest, or the highest.
  ///
  /// @param from first byte, 0 to 7
  /// @param length 1, 2 or 4
  record Part(int from, int length) {
    long mask() {
      return ((1L << (8 * length)) - 1) << (8 * from);
    }

    long of(long word) {
      return (word & mask()) >>> (8 * from);
    }
  }
}
