package org.vmcheck.finding;

import java.util.List;

/// Everything that a 64-bit word can be.
///
/// @param value the word
/// @param readings the best first; never empty
public record WordAnswer(long value, List<Reading> readings) {
  public WordAnswer {
    readings = List.copyOf(readings);
  }

  public Reading best() {
    return readings.getFirst();
  }
}
