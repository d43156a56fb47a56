package org.vmcheck.attribution;

import org.vmcheck.slab.Words;

/// A word that differs from the right one by one bit.
public final class FlippedBit {
  private FlippedBit() {}

  public static boolean isOne(long word, long right) {
    return Long.bitCount(word ^ right) == 1;
  }

  /// Whether a pointer differs from the right one by one bit, and that is no chance: one that is
  /// off by a few words, into what it should lead to, often is.
  ///
  /// @param least bytes of that
  public static boolean isTelling(long pointer, long right, long least) {
    return isOne(pointer, right) && Long.compareUnsigned(pointer ^ right, least) >= 0;
  }

  /// How two words differ: where the bit is, if it is one.
  ///
  /// @param physical address of the word
  public static String words(long word, long right, long physical) {
    int bit = Long.numberOfTrailingZeros(word ^ right);
    return isOne(word, right)
        ? "bit %d is flipped (bit %d of the byte at physical 0x%x)"
            .formatted(bit, bit & 7, physical + bit / 8)
        : Words.plural(Long.bitCount(word ^ right), "bit differs", "bits differ");
  }
}
