package org.vmcheck.desk;

import java.util.Random;
import org.vmcheck.finding.Place;

/// How often a random word looks like something in this dump: measured, so that a reading can be
/// weighed.
///
/// @param words random words that were tried, 8-aligned, within the memory that the dump speaks of
/// @param objectStarts of these, how many are the start of a slab object
/// @param oneBitOff how many are not, and are one flipped bit away from one
record Odds(int words, int objectStarts, int oneBitOff) {
  private static final int WORDS = 500;

  /// @param isStart whether an address is an object's
  static Odds measure(
      long directMapStart, long byteCount, java.util.function.LongPredicate isStart) {
    // The same words each time: an answer does not change from run to run.
    Random random = new Random(20_240_501);
    int starts = 0;
    int oneBit = 0;
    for (int i = 0; i < WORDS; i++) {
      long word = directMapStart + (random.nextLong(Math.max(8, byteCount)) & -8L);
      if (isStart.test(word)) {
        starts++;
        continue;
      }
      for (int bit = 3; bit < 48; bit++) {
        if (isStart.test(word ^ 1L << bit)) {
          oneBit++;
          break;
        }
      }
    }
    return new Odds(WORDS, starts, oneBit);
  }

  String ofStart(Place place) {
    return place.offset() == 0
        ? "%s of random aligned addresses of memory are the start of an object in this dump"
            .formatted(percent(objectStarts))
        : "";
  }

  String ofOneBit() {
    return "%s of random aligned addresses of memory are one bit away from the start of an object"
        .formatted(percent(oneBitOff));
  }

  private String percent(int count) {
    return count == 0
        ? "less than %.1f %%".formatted(100.0 / words)
        : "%.1f %%".formatted(100.0 * count / words);
  }
}
