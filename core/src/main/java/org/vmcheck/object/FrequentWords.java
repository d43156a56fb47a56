package org.vmcheck.object;

import java.util.Arrays;

/// The words that are met most often in a row of words, in little memory: each word that makes up
/// more than a ninth of the row is among the eight kept (the counting of Misra and Gries, 1982). A
/// count is a lower bound.
final class FrequentWords {
  private static final int KEPT = 8;

  private final long[] words = new long[KEPT];
  private final int[] counts = new int[KEPT];

  void add(long word) {
    int empty = -1;
    for (int i = 0; i < KEPT; i++) {
      if (counts[i] == 0) {
        empty = i;
      } else if (words[i] == word) {
        counts[i]++;
        return;
      }
    }
    if (empty >= 0) {
      words[empty] = word;
      counts[empty] = 1;
      return;
    }
    for (int i = 0; i < KEPT; i++) {
      counts[i]--;
    }
  }

  /// Those met at least so often.
  long[] atLeast(int times) {
    long[] kept = new long[KEPT];
    int n = 0;
    for (int i = 0; i < KEPT; i++) {
      if (counts[i] >= times) {
        kept[n++] = words[i];
      }
    }
    return Arrays.copyOf(kept, n);
  }
}
