package org.vmcheck.check;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;
import org.vmcheck.finding.PageMap;
import org.vmcheck.memory.PageMask;

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
/// @param serialCorrelation of each byte with the one before, circular
/// @param zeroBlocks aligned 16-byte blocks that are all zero
/// @param zeroBytes bytes that are zero
/// @param printableBytes bytes of text: 0x20 to 0x7e, tab, line feed, carriage return
/// @param addresses aligned words whose top 16 bits are all ones, as those of kernel addresses
/// @param commonest the aligned 16-byte block met most often, zero ones left out
/// @param commonestCount how often; 0 if all blocks are zero
record PageStatistics(
    double chiSquare,
    int distinctBytes,
    int distinctBlocks,
    int blocks,
    double serialCorrelation,
    int zeroBlocks,
    int zeroBytes,
    int printableBytes,
    int addresses,
    PageMask commonest,
    int commonestCount) {
  /// Probability with which a random page leaves either limit of [#looksRandom].
  private static final double WIDE = 1e-15;

  private static final double MAX_CORRELATION = 0.124;
  private static final int MIN_DISTINCT_BYTES = 254;
  private static final int DEGREES = 255;

  private static final ValueLayout.OfLong WORD =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

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
    int printable = counts['\n'] + counts['\r'] + counts['\t'];
    for (int value = 0; value < 256; value++) {
      chiSquare += (counts[value] - expected) * (counts[value] - expected) / expected;
      distinct += counts[value] > 0 ? 1 : 0;
      printable += value >= 0x20 && value < 0x7f ? counts[value] : 0;
    }
    Map<PageMask, Integer> blocks = new HashMap<>();
    PageMask commonest = new PageMask(0, 0);
    int commonestCount = 0;
    int addresses = 0;
    for (int at = 0; at + 16 <= size; at += 16) {
      PageMask block = new PageMask(page.get(WORD, at), page.get(WORD, at + 8L));
      int count = blocks.merge(block, 1, Integer::sum);
      if (!block.isZero() && count > commonestCount) {
        commonest = block;
        commonestCount = count;
      }
      addresses += (block.low() >>> 48 == 0xffff ? 1 : 0) + (block.high() >>> 48 == 0xffff ? 1 : 0);
    }
    double variance = (double) size * squares - (double) sum * sum;
    double correlation =
        variance == 0 ? 1 : ((double) size * products - (double) sum * sum) / variance;
    return new PageStatistics(
        chiSquare,
        distinct,
        blocks.size(),
        size / 16,
        correlation,
        blocks.getOrDefault(new PageMask(0, 0), 0),
        counts[0],
        printable,
        addresses,
        commonest,
        commonestCount);
  }

  boolean isZero() {
    return zeroBlocks == blocks;
  }

  /// Whether nothing tells the page from uniformly random bytes: limits so wide that they hold for
  /// any number of pages. Well-packed data passes too.
  boolean looksRandom() {
    return distinctBlocks == blocks
        && distinctBytes >= MIN_DISTINCT_BYTES
        && Math.abs(serialCorrelation) < MAX_CORRELATION
        && chance() >= WIDE;
  }

  /// Whether the page stays within the limits that all of `pages` random pages together leave with
  /// the probability `family`: what most packed data does not.
  boolean looksRandom(int pages, double family) {
    return looksRandom() && chance() >= family / (2.0 * Math.max(1, pages));
  }

  /// The smaller of the two tails of chi-square.
  private double chance() {
    return Math.min(ChiSquare.below(chiSquare, DEGREES), ChiSquare.above(chiSquare, DEGREES));
  }

  /// Standard deviations that the sum of the chi-squares of `pages` pages lies from its mean if all
  /// are random.
  static double deviation(double sumOfChiSquares, int pages) {
    return (sumOfChiSquares - (double) DEGREES * pages) / Math.sqrt(2.0 * DEGREES * pages);
  }

  PageMap.Looks looks() {
    if (isZero()) {
      return PageMap.Looks.ZERO;
    }
    if (looksRandom()) {
      return PageMap.Looks.RANDOM;
    }
    if (commonestCount == blocks) {
      return PageMap.Looks.FILLED;
    }
    if (addresses * 4 >= blocks) {
      return PageMap.Looks.POINTERS;
    }
    int bytes = blocks * 16;
    boolean isText =
        (printableBytes + zeroBytes) * 10L >= bytes * 9L && printableBytes * 2L > bytes;
    return isText ? PageMap.Looks.TEXT : PageMap.Looks.DATA;
  }
}
