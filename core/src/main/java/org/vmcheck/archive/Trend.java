package org.vmcheck.archive;

import java.time.LocalDate;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/// The crashes of one kernel in one week. Copies of one dump count once, and kdump's own tests not
/// at all.
///
/// @param week its Monday (UTC); 1970-01-01, which is none, for crashes of which no time is known
/// @param kernel release; [#OTHERS] for all but the most frequent, empty if not known
/// @param count of its crashes
/// @param verdicts counts by verdict
/// @param causes counts of crashes with a finding of a cause
public record Trend(
    LocalDate week,
    String kernel,
    long count,
    SortedMap<String, Long> verdicts,
    SortedMap<String, Long> causes) {
  public static final String OTHERS = "others";
  public static final LocalDate UNKNOWN = LocalDate.EPOCH;

  /// Kernels that are told apart.
  static final int MAX_KERNELS = 20;

  public Trend {
    verdicts = new TreeMap<>(verdicts);
    causes = new TreeMap<>(causes);
  }

  static Trend of(
      LocalDate week, String kernel, Map<String, Long> verdicts, Map<String, Long> causes) {
    return new Trend(
        week,
        kernel,
        verdicts.values().stream().mapToLong(Long::longValue).sum(),
        new TreeMap<>(verdicts),
        new TreeMap<>(causes));
  }
}
