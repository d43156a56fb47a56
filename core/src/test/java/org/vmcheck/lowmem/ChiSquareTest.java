package org.vmcheck.lowmem;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vmcheck.memory.PageMask;

/// The distribution at values that mpmath gives with 30 digits, and the limits that rest on it.
class ChiSquareTest {
  private static final double EXACT = 1e-9;

  @ParameterizedTest
  @CsvSource({
    "255, 170, 1.0297962640922867e-5, 0.99998970203735908",
    "255, 255, 0.51177747822959366, 0.48822252177040634",
    // The two methods meet where half the value is half the degrees and one.
    "255, 256.9, 0.54515641503898934, 0.45484358496101066",
    "255, 257.1, 0.54864607068514031, 0.45135392931485969",
    "255, 340, 0.99970987516368728, 0.00029012483631272345",
    "3, 0.5, 0.081108588345324141, 0.91889141165467586",
    "3, 5.1, 0.83538059591804684, 0.16461940408195316",
    "3, 30, 0.99999861994296871, 1.3800570312932547e-6",
    "7, 100, 1, 1.0787979671702883e-18",
  })
  void bothTailsAreThoseOfTheDistribution(int degrees, double value, double below, double above) {
    assertThat(ChiSquare.below(value, degrees) / below).isCloseTo(1, within(EXACT));
    assertThat(ChiSquare.above(value, degrees) / above).isCloseTo(1, within(EXACT));
  }

  /// Of two degrees the distribution is the exponential one.
  @ParameterizedTest
  @CsvSource({"1e-9", "0.1", "1", "3.9", "4", "4.1", "50", "600", "1300"})
  void ofTwoDegreesItIsExponential(double value) {
    assertThat(ChiSquare.above(value, 2) / Math.exp(-value / 2)).isCloseTo(1, within(EXACT));
    assertThat(ChiSquare.below(value, 2) / -Math.expm1(-value / 2)).isCloseTo(1, within(EXACT));
  }

  @Test
  void nothingIsBelowZero() {
    for (double value : new double[] {0, -0.0, -5}) {
      assertThat(ChiSquare.below(value, 255)).isZero();
      assertThat(ChiSquare.above(value, 255)).isEqualTo(1);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "0.5, 0.5723649429247004",
    "3.5, 1.2009736023470738",
    "10, 12.801827480081467",
    "19.5, 37.8610865089611",
    "20, 39.339884187199495",
    "25.5, 56.389167643719944",
    "127.5, 489.1303704306428",
  })
  void logarithmsOfTheGammaFunction(double x, double expected) {
    assertThat(ChiSquare.logGamma(x) / expected).isCloseTo(1, within(1e-12));
  }

  @Test
  void theGammaFunctionOfOneAndTwoIsOne() {
    assertThat(ChiSquare.logGamma(1)).isCloseTo(0, within(1e-12));
    assertThat(ChiSquare.logGamma(2)).isCloseTo(0, within(1e-12));
  }

  private static PageStatistics page(double chiSquare, int bytes, int blocks, double correlation) {
    return new PageStatistics(
        chiSquare, 7.95, bytes, blocks, 256, correlation, 0, 16, 1500, 0, new PageMask(0, 0), 1);
  }

  @Test
  void eachLimitOfARandomPageIsOne() {
    assertThat(page(255, 254, 256, 0.1239).looksRandom()).isTrue();
    assertThat(page(255, 254, 256, -0.1239).looksRandom()).isTrue();
    assertThat(page(255, 253, 256, 0).looksRandom()).isFalse();
    assertThat(page(255, 254, 255, 0).looksRandom()).isFalse();
    assertThat(page(255, 254, 256, 0.124).looksRandom()).isFalse();
    assertThat(page(255, 254, 256, -0.124).looksRandom()).isFalse();
    // One in 10^15 to either side: 114.6 and 477.7 by published tables.
    assertThat(page(114.9, 254, 256, 0).looksRandom()).isTrue();
    assertThat(page(114.3, 254, 256, 0).looksRandom()).isFalse();
    assertThat(page(477.4, 254, 256, 0).looksRandom()).isTrue();
    assertThat(page(478.0, 254, 256, 0).looksRandom()).isFalse();
  }

  /// The tails of 255 degrees at 0.001 are 190.9 and 330.5; at 0.00001 169.9 and 363.0.
  @Test
  void aFamilyOfPagesSharesItsProbability() {
    for (double inside : new double[] {191.2, 330.2}) {
      assertThat(page(inside, 256, 256, 0).looksRandom(1, 0.002)).isTrue();
    }
    for (double outside : new double[] {190.6, 330.9}) {
      assertThat(page(outside, 256, 256, 0).looksRandom(1, 0.002)).isFalse();
      assertThat(page(outside, 256, 256, 0).looksRandom(0, 0.002)).isFalse();
      assertThat(page(outside, 256, 256, 0).looksRandom(100, 0.002)).isTrue();
      assertThat(page(outside, 256, 256, 0.2).looksRandom(100, 0.002)).isFalse();
    }
    assertThat(page(169.7, 256, 256, 0).looksRandom(100, 0.002)).isFalse();
    assertThat(page(170.2, 256, 256, 0).looksRandom(100, 0.002)).isTrue();
  }
}
