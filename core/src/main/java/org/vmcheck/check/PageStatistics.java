package org.vmcheck.check;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.HashSet;
import java.util.Set;

/// Byte statistics of one page, and whether they are those of uniformly random bytes.
///
/// The limits are those of the finite sample: 4096 random bytes have a chi-square of 255 ± 22.6
/// over the byte values and no two equal aligned blocks of 16 bytes (probability 2e-34). The
/// closest real slab page measured lies a hundred times outside them.
///
/// @param chiSquare over the 256 byte values, expected count `bytes / 256`
/// @param distinctBytes different byte values
/// @param distinctBlocks different aligned 16-byte blocks
/// @param blocks aligned 16-byte blocks
/// @param zero whether every byte is zero
record PageStatistics(
    double chiSquare,
    int distinctBytes,
    int distinctBlocks,
    int blocks,
    double serialCorrelation,
    boolean zero) {
  /// Limits that a random page leaves once in 10^15, either way.
  private static final double MIN_CHI_SQUARE = 114.6;

  private static final double MAX_CHI_SQUARE = 477.7;
  private static final double MAX_CORRELATION = 0.124;
  private static final int MIN_DISTINCT_BYTES = 254;

  private static final ValueLayout.OfLong WORD =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private record Block(long low, long high) {}

  static PageStatistics of(MemorySegment page) {
    int size = (int) page.byteSize();
    int[] counts = new int[256];
    long sum = 0;
    long squares = 0;
    long products = 0;
    int previous = page.get(ValueLayout.JAVA_BYTE, size - 1L) & 0xff;
    for (int i = 0; i < size; i++) {
      int value = page.get(ValueLayout.JAVA_BYTE, i) & 0xff;
      counts[value]++;
      sum += value;
      squares += (long) value * value;
      products += (long) previous * value;
      previous = value;
    }
    double expected = size / 256.0;
    double chiSquare = 0;
    int distinct = 0;
    for (int count : counts) {
      chiSquare += (count - expected) * (count - expected) / expected;
      distinct += count > 0 ? 1 : 0;
    }
    Set<Block> blocks = new HashSet<>();
    for (int at = 0; at + 16 <= size; at += 16) {
      blocks.add(new Block(page.get(WORD, at), page.get(WORD, at + 8L)));
    }
    double variance = (double) size * squares - (double) sum * sum;
    double correlation =
        variance == 0 ? 1 : ((double) size * products - (double) sum * sum) / variance;
    return new PageStatistics(
        chiSquare, distinct, blocks.size(), size / 16, correlation, counts[0] == size);
  }

  /// Whether nothing tells the page from uniformly random bytes.
  boolean looksRandom() {
    return chiSquare >= MIN_CHI_SQUARE
        && chiSquare <= MAX_CHI_SQUARE
        && distinctBytes >= MIN_DISTINCT_BYTES
        && distinctBlocks == blocks
        && Math.abs(serialCorrelation) < MAX_CORRELATION;
  }

  /// `zero`, `random` or `data`.
  String looks() {
    return zero ? "zero" : looksRandom() ? "random" : "data";
  }
}
