package org.vmcheck.cli;

import java.util.Collection;
import java.util.Optional;

/// The word that was probably meant.
final class Nearest {
  /// Letters that may be wrong, missing, too many or in the other order.
  private static final int MAX_ERRORS = 2;

  /// No command or option is longer; what somebody else typed may be.
  private static final int MAX_LENGTH = 40;

  private Nearest() {}

  /// The most similar of the words; empty if none is similar.
  static Optional<String> of(String typed, Collection<String> words) {
    String best = null;
    int least = MAX_ERRORS + 1;
    for (String word : words) {
      int errors = typed.length() > MAX_LENGTH ? least : errors(typed, word);
      // Of a short word two letters are nearly all.
      if (errors < least && 2 * errors < word.length()) {
        best = word;
        least = errors;
      }
    }
    return Optional.ofNullable(best);
  }

  /// The distance of Damerau and Levenshtein, of neighbours that changed places.
  private static int errors(String from, String to) {
    int[][] steps = new int[from.length() + 1][to.length() + 1];
    for (int i = 0; i <= from.length(); i++) {
      for (int j = 0; j <= to.length(); j++) {
        if (i == 0 || j == 0) {
          steps[i][j] = i + j;
          continue;
        }
        int replaced = steps[i - 1][j - 1] + (from.charAt(i - 1) == to.charAt(j - 1) ? 0 : 1);
        steps[i][j] = Math.min(replaced, 1 + Math.min(steps[i - 1][j], steps[i][j - 1]));
        if (i > 1
            && j > 1
            && from.charAt(i - 1) == to.charAt(j - 2)
            && from.charAt(i - 2) == to.charAt(j - 1)) {
          steps[i][j] = Math.min(steps[i][j], 1 + steps[i - 2][j - 2]);
        }
      }
    }
    return steps[from.length()][to.length()];
  }
}
