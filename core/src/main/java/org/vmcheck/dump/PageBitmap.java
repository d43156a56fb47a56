package org.vmcheck.dump;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// One bitmap of a kdump-compressed file with fast ranks. Bit p is bit p mod 8 of byte p / 8 on
/// every architecture, so words are read little endian whatever the dump's order.
final class PageBitmap {
  private static final ValueLayout.OfLong WORD =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final int BLOCK_SHIFT = 9;
  private static final int WORDS_IN_BLOCK = 1 << (BLOCK_SHIFT - 6);

  private final MemorySegment bits;
  private final long bitCount;

  /// Set bits before each block of 512.
  private final long[] before;

  /// @param bitCount how many bits count; those beyond are ignored
  PageBitmap(MemorySegment bits, long bitCount) {
    this.bits = bits;
    this.bitCount = Math.min(bitCount, bits.byteSize() * 8);
    int blocks = Math.toIntExact((this.bitCount + (1 << BLOCK_SHIFT) - 1) >>> BLOCK_SHIFT);
    before = new long[blocks + 1];
    for (int block = 0; block < blocks; block++) {
      long sum = before[block];
      for (int i = 0; i < WORDS_IN_BLOCK; i++) {
        sum += Long.bitCount(word((long) block * WORDS_IN_BLOCK + i));
      }
      before[block + 1] = sum;
    }
  }

  long bitCount() {
    return bitCount;
  }

  long setCount() {
    return before[before.length - 1];
  }

  boolean get(long bit) {
    return bit >= 0 && bit < bitCount && (word(bit >>> 6) >>> (bit & 63) & 1) != 0;
  }

  /// Set bits below `bit`.
  long rank(long bit) {
    long limited = Math.clamp(bit, 0, bitCount);
    int block = (int) (limited >>> BLOCK_SHIFT);
    long sum = before[block];
    long wordIndex = (long) block * WORDS_IN_BLOCK;
    for (; wordIndex < limited >>> 6; wordIndex++) {
      sum += Long.bitCount(word(wordIndex));
    }
    if ((limited & 63) != 0) {
      sum += Long.bitCount(word(wordIndex) & ((1L << (limited & 63)) - 1));
    }
    return sum;
  }

  /// The first set bit at or after `bit`, or -1.
  long nextSet(long bit) {
    long at = Math.max(0, bit);
    while (at < bitCount) {
      int block = (int) (at >>> BLOCK_SHIFT);
      if ((at & ((1 << BLOCK_SHIFT) - 1)) == 0 && before[block] == before[block + 1]) {
        at += 1 << BLOCK_SHIFT;
        continue;
      }
      long rest = word(at >>> 6) >>> (at & 63);
      if (rest != 0) {
        long found = at + Long.numberOfTrailingZeros(rest);
        return found < bitCount ? found : -1;
      }
      at = (at | 63) + 1;
    }
    return -1;
  }

  /// Set bits of this map that are clear in `other`.
  long countNotIn(PageBitmap other) {
    long count = 0;
    for (long i = 0; i << 6 < bitCount; i++) {
      count += Long.bitCount(word(i) & ~other.word(i));
    }
    return count;
  }

  /// 64 bits, those beyond the end as zeros.
  private long word(long index) {
    long at = index << 3;
    long firstBit = index << 6;
    if (firstBit >= bitCount) {
      return 0;
    }
    long value;
    if (at + 8 <= bits.byteSize()) {
      value = bits.get(WORD, at);
    } else {
      value = 0;
      for (long i = at; i < bits.byteSize(); i++) {
        value |= (bits.get(ValueLayout.JAVA_BYTE, i) & 0xffL) << (8 * (i - at));
      }
    }
    long rest = bitCount - firstBit;
    return rest >= 64 ? value : value & ((1L << rest) - 1);
  }
}
