package org.vmcheck.lowmem;

/// The chi-square distribution: how likely chance alone gives a value so small or so large.
///
/// The tails are the regularised incomplete gamma functions, by series below the mean and by
/// continued fraction above it; relative error below 1e-9 for the degrees of freedom used here.
final class ChiSquare {
  private static final double TINY = 1e-300;
  private static final int MAX_TERMS = 20_000;

  private ChiSquare() {}

  /// Probability of a value of at most `value`.
  static double below(double value, int degreesOfFreedom) {
    double a = degreesOfFreedom / 2.0;
    double x = value / 2;
    return x <= 0 ? 0 : x < a + 1 ? series(a, x) : 1 - fraction(a, x);
  }

  /// Probability of a value of at least `value`.
  static double above(double value, int degreesOfFreedom) {
    double a = degreesOfFreedom / 2.0;
    double x = value / 2;
    return x <= 0 ? 1 : x < a + 1 ? 1 - series(a, x) : fraction(a, x);
  }

  private static double series(double a, double x) {
    double term = 1 / a;
    double sum = term;
    for (int n = 1; n < MAX_TERMS && term > sum * 1e-15; n++) {
      term *= x / (a + n);
      sum += term;
    }
    return sum * Math.exp(a * Math.log(x) - x - logGamma(a));
  }

  /// Lentz's method.
  private static double fraction(double a, double x) {
    double b = x + 1 - a;
    double c = 1 / TINY;
    double d = 1 / b;
    double h = d;
    for (int n = 1; n < MAX_TERMS; n++) {
      double an = -n * (n - a);
      b += 2;
      d = an * d + b;
      d = 1 / (Math.abs(d) < TINY ? TINY : d);
      c = b + an / c;
      c = Math.abs(c) < TINY ? TINY : c;
      double delta = d * c;
      h *= delta;
      if (Math.abs(delta - 1) < 1e-15) {
        break;
      }
    }
    return h * Math.exp(a * Math.log(x) - x - logGamma(a));
  }

  /// Stirling's series, moved up to where it is exact to the last digits.
  static double logGamma(double x) {
    double shift = 0;
    double y = x;
    while (y < 20) {
      shift += Math.log(y);
      y++;
    }
    double inverse = 1 / y;
    double square = inverse * inverse;
    double tail = inverse * (1.0 / 12 - square * (1.0 / 360 - square * (1.0 / 1260)));
    return (y - 0.5) * Math.log(y) - y + 0.5 * Math.log(2 * Math.PI) + tail - shift;
  }
}
