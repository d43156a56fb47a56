package org.vmcheck.lowmem;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.vmcheck.finding.PageMap;
import org.vmcheck.memory.PageMask;

/// Byte statistics of one page, and whether they are those of uniformly random bytes.
///
/// The limits are those of the finite sample: 4096 random bytes have a chi-square of 255 ± 22.6
/// over the byte values and no two equal aligned blocks of 16 bytes (probability 2e-34). The
/// closest real slab page measured lies a hundred times outside them.
///
/// @param chiSquare over the 256 byte values, expected count `bytes / 256`
/// @param entropy of the bytes, in bits a byte; 4096 random bytes have 7.9546 ± 0.0040, not 8
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
public record PageStatistics(
    double chiSquare,
    double entropy,
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
  /// Probability with which a random page leaves either limit of [#looksRandom]. Bytes of the
  /// sample that the limits are for.
  public static final int SAMPLE_BYTES = 4096;

  private static final double WIDE = 1e-15;

  private static final double MAX_CORRELATION = 0.124;
  private static final int MIN_DISTINCT_BYTES = 254;
  private static final int DEGREES = 255;

  private static final ValueLayout.OfLong WORD =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  public static PageStatistics of(MemorySegment page) {
    int size = (int) page.byteSize();
    int[] counts = new int[256];
    Blocks blocks = Blocks.of(size / 16);
    long products = 0;
    int addresses = 0;
    int previous = page.get(ValueLayout.JAVA_BYTE, size - 1L) & 0xff;
    for (int at = 0; at + 16 <= size; at += 16) {
      long low = page.get(WORD, at);
      long high = page.get(WORD, at + 8L);
      blocks.add(low, high);
      addresses += (low >>> 48 == 0xffff ? 1 : 0) + (high >>> 48 == 0xffff ? 1 : 0);
      if (low == 0 && high == 0) {
        // The commonest block by far; the products are zero too.
        counts[0] += 16;
        previous = 0;
        continue;
      }
      for (int half = 0; half < 2; half++) {
        long word = half == 0 ? low : high;
        for (int shift = 0; shift < 64; shift += 8) {
          int value = (int) (word >>> shift) & 0xff;
          counts[value]++;
          products += (long) previous * value;
          previous = value;
        }
      }
    }
    double expected = size / 256.0;
    double chiSquare = 0;
    double entropy = 0;
    int distinct = 0;
    int printable = counts['\n'] + counts['\r'] + counts['\t'];
    long sum = 0;
    long squares = 0;
    for (int value = 0; value < 256; value++) {
      int count = counts[value];
      sum += (long) value * count;
      squares += (long) value * value * count;
      chiSquare += (count - expected) * (count - expected) / expected;
      entropy -= count == 0 ? 0 : count * Math.log((double) count / size);
      distinct += count > 0 ? 1 : 0;
      printable += value >= 0x20 && value < 0x7f ? count : 0;
    }
    double variance = (double) size * squares - (double) sum * sum;
    double correlation =
        variance == 0 ? 1 : ((double) size * products - (double) sum * sum) / variance;
    return new PageStatistics(
        chiSquare,
        entropy / size / Math.log(2),
        distinct,
        blocks.distinct(),
        size / 16,
        correlation,
        blocks.zero(),
        counts[0],
        printable,
        addresses,
        blocks.commonest(),
        blocks.commonestCount());
  }

  /// Counts of the different blocks of one page: a table of its own, as a map of objects costs more
  /// than all the rest.
  private static final class Blocks {
    private final long[] low;
    private final long[] high;
    private final int[] counts;
    private final int places;
    private int distinct;
    private int zero;
    private int best = -1;

    /// The table of the last page that this thread looked at: a scan looks at many.
    private static final ThreadLocal<Blocks> LAST = new ThreadLocal<>();

    static Blocks of(int blocks) {
      int places = Math.max(2, Integer.highestOneBit(Math.max(1, blocks)) * 4);
      Blocks table = LAST.get();
      if (table == null || table.places != places) {
        table = new Blocks(places);
        LAST.set(table);
      } else {
        Arrays.fill(table.counts, 0);
        table.distinct = 0;
        table.zero = 0;
        table.best = -1;
      }
      return table;
    }

    private Blocks(int places) {
      this.places = places;
      low = new long[places];
      high = new long[places];
      counts = new int[places];
    }

    void add(long first, long second) {
      if (first == 0 && second == 0) {
        distinct += zero++ == 0 ? 1 : 0;
        return;
      }
      long mixed = (first * 31 + second) * 0x9e37_79b9_7f4a_7c15L;
      int at = (int) (mixed >>> 40) & (places - 1);
      while (counts[at] != 0 && (low[at] != first || high[at] != second)) {
        at = (at + 1) & (places - 1);
      }
      if (counts[at]++ == 0) {
        low[at] = first;
        high[at] = second;
        distinct++;
      }
      if (best < 0 || counts[at] > counts[best]) {
        best = at;
      }
    }

    int distinct() {
      return distinct;
    }

    int zero() {
      return zero;
    }

    PageMask commonest() {
      return best < 0 ? new PageMask(0, 0) : new PageMask(low[best], high[best]);
    }

    int commonestCount() {
      return best < 0 ? 0 : counts[best];
    }
  }

  public boolean isZero() {
    return zeroBlocks == blocks;
  }

  /// Whether nothing tells the page from uniformly random bytes: limits so wide that they hold for
  /// any number of pages. Well-packed data passes too.
  public boolean looksRandom() {
    return distinctBlocks == blocks
        && distinctBytes >= MIN_DISTINCT_BYTES
        && Math.abs(serialCorrelation) < MAX_CORRELATION
        && chance() >= WIDE;
  }

  /// Whether the page stays within the limits that all of `pages` random pages together leave with
  /// the probability `family`: what most packed data does not.
  public boolean looksRandom(int pages, double family) {
    return looksRandom() && chance() >= family / (2.0 * Math.max(1, pages));
  }

  /// The smaller of the two tails of chi-square.
  private double chance() {
    return Math.min(ChiSquare.below(chiSquare, DEGREES), ChiSquare.above(chiSquare, DEGREES));
  }

  /// Standard deviations that the sum of the chi-squares of `pages` pages lies from its mean if all
  /// are random.
  public static double deviation(double sumOfChiSquares, int pages) {
    return (sumOfChiSquares - (double) DEGREES * pages) / Math.sqrt(2.0 * DEGREES * pages);
  }

  public PageMap.Looks looks() {
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
