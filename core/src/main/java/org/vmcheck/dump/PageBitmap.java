package org.vmcheck.dump;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.vmcheck.io.Cancellation;

/// One bitmap of a kdump-compressed file with fast ranks. Bit p is bit p mod 8 of byte p / 8 on
/// every architecture, so words are read little endian whatever the dump's order.
final class PageBitmap {
  private static final ValueLayout.OfLong WORD =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final int LEAST_BLOCK_SHIFT = 9;
  private static final int LEAST_WORDS_IN_BLOCK = 1 << (LEAST_BLOCK_SHIFT - 6);

  /// Blocks that are counted, at most: 16 MiB, whatever the header claims. Blocks grow with a map
  /// of more than 2^30 bits.
  private static final int MAX_BLOCKS_SHIFT = 21;

  /// Words that are copied out of the map at a time: one copy costs less than as many checked
  /// reads, above all in a program that has only just started. A multiple of the least block's.
  private static final int WORDS_IN_COPY = 1024;

  private final MemorySegment bits;
  private final long bitCount;

  /// Bits of a block, as a power of two.
  private final int blockShift;

  /// Set bits before each block.
  private final long[] before;

  /// @param bitCount how many bits count; those beyond are ignored
  PageBitmap(MemorySegment bits, long bitCount) {
    this.bits = bits;
    this.bitCount = Math.min(bitCount, bits.byteSize() * 8);
    int bitsOfCount = Long.SIZE - Long.numberOfLeadingZeros(this.bitCount);
    blockShift = Math.max(LEAST_BLOCK_SHIFT, bitsOfCount - MAX_BLOCKS_SHIFT);
    int blocks = Math.toIntExact((this.bitCount + (1L << blockShift) - 1) >>> blockShift);
    before = new long[blocks + 1];
    long inBlock = wordsInBlock() - 1;
    long[] words = new long[WORDS_IN_COPY];
    long sum = 0;
    for (long first = 0; first << 6 < this.bitCount; first += WORDS_IN_COPY) {
      Cancellation.check();
      copy(first, words);
      for (int i = 0; i < WORDS_IN_COPY; ) {
        long word = first + i;
        if ((word & inBlock) == 0 && word << 6 < this.bitCount) {
          before[(int) (word << 6 >>> blockShift)] = sum;
        }
        for (int last = i + LEAST_WORDS_IN_BLOCK; i < last; i++) {
          sum += words[i] == 0 ? 0 : Long.bitCount(words[i]);
        }
      }
    }
    before[blocks] = sum;
  }

  private long wordsInBlock() {
    return 1L << (blockShift - 6);
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
    int block = (int) (limited >>> blockShift);
    long sum = before[block];
    long wordIndex = block * wordsInBlock();
    for (; wordIndex < limited >>> 6; wordIndex++) {
      sum += Long.bitCount(word(wordIndex));
    }
    if ((limited & 63) != 0) {
      sum += Long.bitCount(word(wordIndex) & ((1L << (limited & 63)) - 1));
    }
    return sum;
  }

  /// The set bit with `rank` set bits below it, or -1 if there are fewer.
  long select(long rank) {
    if (rank < 0 || rank >= setCount()) {
      return -1;
    }
    int low = 0;
    int high = before.length - 1;
    while (high - low > 1) {
      int middle = (low + high) >>> 1;
      if (before[middle] <= rank) {
        low = middle;
      } else {
        high = middle;
      }
    }
    long left = rank - before[low];
    long index = low * wordsInBlock();
    long word = word(index);
    while (left >= Long.bitCount(word)) {
      left -= Long.bitCount(word);
      word = word(++index);
    }
    for (; left > 0; left--) {
      word &= word - 1;
    }
    return (index << 6) + Long.numberOfTrailingZeros(word);
  }

  /// The first set bit at or after `bit`, or -1.
  long nextSet(long bit) {
    long at = Math.max(0, bit);
    while (at < bitCount) {
      int block = (int) (at >>> blockShift);
      if ((at & ((1L << blockShift) - 1)) == 0 && before[block] == before[block + 1]) {
        at += 1L << blockShift;
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
    long[] mine = new long[WORDS_IN_COPY];
    long[] others = new long[WORDS_IN_COPY];
    for (long first = 0; first << 6 < bitCount; first += WORDS_IN_COPY) {
      Cancellation.check();
      copy(first, mine);
      other.copy(first, others);
      for (int i = 0; i < WORDS_IN_COPY; i++) {
        long left = mine[i] & ~others[i];
        count += left == 0 ? 0 : Long.bitCount(left);
      }
    }
    return count;
  }

  /// As many words as `into` has room for, from word `first` on, those beyond the end as zeros.
  private void copy(long first, long[] into) {
    long whole = Math.clamp((bitCount >>> 6) - first, 0, into.length);
    if (whole > 0) {
      MemorySegment.copy(bits, WORD, first << 3, into, 0, (int) whole);
    }
    for (int i = (int) whole; i < into.length; i++) {
      into[i] = word(first + i);
    }
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
