package org.vmcheck.lowmem;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.lang.foreign.MemorySegment;
import java.util.Random;
import java.util.zip.Deflater;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What random bytes look like in a page, simulated, and what does not look like them.
class PageStatisticsTest {
  private static final int PAGES = 20_000;

  private static PageStatistics random(Random random) {
    byte[] page = new byte[4096];
    random.nextBytes(page);
    return PageStatistics.of(MemorySegment.ofArray(page));
  }

  /// Limits of chi-square with 255 degrees of freedom, from published tables and simulation.
  @ParameterizedTest
  @CsvSource({
    "1e-3, 190.9, 330.5",
    "1e-5, 169.9, 363.0",
    "1e-6, 161.7, 377.1",
    "1e-9, 141.9, 414.5",
    "1e-12, 126.8, 447.5",
    "1e-15, 114.6, 477.7"
  })
  void tailsAreThoseOfChiSquare(double probability, double low, double high) {
    assertThat(ChiSquare.below(low, 255) / probability).isCloseTo(1, within(0.12));
    assertThat(ChiSquare.above(high, 255) / probability).isCloseTo(1, within(0.12));
  }

  @Test
  void knownValuesOfTheDistribution() {
    assertThat(ChiSquare.above(2, 2)).isCloseTo(Math.exp(-1), within(1e-12));
    assertThat(ChiSquare.below(2, 2)).isCloseTo(1 - Math.exp(-1), within(1e-12));
    assertThat(ChiSquare.logGamma(0.5)).isCloseTo(Math.log(Math.sqrt(Math.PI)), within(1e-10));
    assertThat(ChiSquare.logGamma(10)).isCloseTo(Math.log(362880), within(1e-10));
  }

  @Test
  void chanceOfRandomPagesIsUniform() {
    Random random = new Random(204793);
    int[] tenths = new int[10];
    double sum = 0;
    for (int i = 0; i < PAGES; i++) {
      PageStatistics page = random(random);
      assertThat(page.looksRandom()).isTrue();
      sum += page.chiSquare();
      tenths[(int) Math.min(9, 10 * ChiSquare.above(page.chiSquare(), 255))]++;
    }
    assertThat(PageStatistics.deviation(sum, PAGES)).isBetween(-4.5, 4.5);
    double error = 4.5 * Math.sqrt(PAGES * 0.09);
    for (int count : tenths) {
      assertThat((double) count).isCloseTo(PAGES / 10.0, within(error));
    }
  }

  /// Limits of the references, from four million simulated pages.
  @Test
  void theOtherStatisticsKeepToTheirNullDistributions() {
    Random random = new Random(2047);
    double entropies = 0;
    double entropySquares = 0;
    double correlationSquares = 0;
    int outside = 0;
    for (int i = 0; i < PAGES; i++) {
      PageStatistics page = random(random);
      entropies += page.entropy();
      entropySquares += (page.entropy() - 7.95459) * (page.entropy() - 7.95459);
      correlationSquares += page.serialCorrelation() * page.serialCorrelation();
      outside += page.entropy() < 7.9412 || page.entropy() > 7.9660 ? 1 : 0;
      assertThat(page.distinctBlocks()).isEqualTo(256);
      assertThat(page.distinctBytes()).isGreaterThanOrEqualTo(254);
    }
    assertThat(entropies / PAGES).isCloseTo(7.95459, within(4.5 * 0.00402 / Math.sqrt(PAGES)));
    assertThat(Math.sqrt(entropySquares / PAGES)).isCloseTo(0.00402, within(0.0001));
    assertThat(Math.sqrt(correlationSquares / PAGES)).isCloseTo(0.01562, within(0.0004));
    // Two tails of one in a thousand each: 40 of 20,000.
    assertThat(outside).isBetween(15, 70);
  }

  /// Corrected for their number, all pages of a family stay within the limits but once in a
  /// hundred.
  @Test
  void aFamilyOfPagesStaysWithinItsLimits() {
    Random random = new Random(1);
    int families = PAGES / 160;
    int outside = 0;
    for (int family = 0; family < families; family++) {
      boolean all = true;
      for (int i = 0; i < 160; i++) {
        all &= random(random).looksRandom(160, 0.01);
      }
      outside += all ? 0 : 1;
    }
    assertThat(outside).isLessThanOrEqualTo(6);
  }

  @Test
  void packedDataPassesAlmostAlwaysPageByPageAndNotTogether() {
    byte[] plain = new byte[1 << 22];
    Random random = new Random(2);
    for (int i = 0; i < plain.length; i++) {
      plain[i] = (byte) "etaoin shrdlu".charAt(random.nextInt(13));
    }
    byte[] packed = new byte[1 << 21];
    Deflater deflater = new Deflater(9, true);
    deflater.setInput(plain);
    deflater.finish();
    int length = deflater.deflate(packed);
    deflater.end();
    int pages = 0;
    double sum = 0;
    for (int at = 0; at + 4096 <= length; at += 4096) {
      pages++;
      sum += PageStatistics.of(MemorySegment.ofArray(packed).asSlice(at, 4096)).chiSquare();
    }
    assertThat(pages).isGreaterThan(100);
    assertThat(Math.abs(PageStatistics.deviation(sum, pages))).isGreaterThan(4.5);
  }

  @Test
  void everyByteEquallyOftenIsNotRandom() {
    byte[] page = new byte[4096];
    for (int i = 0; i < 4096; i++) {
      page[i] = (byte) (i * 197 + (i >>> 8) * 31);
    }
    assertThat(PageStatistics.of(MemorySegment.ofArray(page)).looksRandom()).isFalse();
  }
}
