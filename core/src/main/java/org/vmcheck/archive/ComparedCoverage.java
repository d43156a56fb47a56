package org.vmcheck.archive;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeSet;
import java.util.function.ToLongFunction;
import org.vmcheck.archive.Comparison.Change;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;

/// What the checks of two sides looked at, where one looked at much more, or read less than it
/// should have. Two dumps of one kernel never have the same counts, so that a change is told from
/// twice as much on; what could not be read is told wherever it differs between none and some.
final class ComparedCoverage {
  private static final int FACTOR = 2;

  private ComparedCoverage() {}

  static List<Change> of(Side base, Side next) {
    List<Change> changes = new ArrayList<>();
    Set<String> ids = new LinkedHashSet<>();
    for (Side side : List.of(base, next)) {
      side.reports().forEach(report -> report.checks().forEach(check -> ids.add(check.id())));
    }
    for (String id : ids) {
      List<Coverage> before = coverages(base, id);
      List<Coverage> after = coverages(next, id);
      if (before.isEmpty() || after.isEmpty()) {
        continue; // That a check stopped to run is a change of its own.
      }
      for (String kind : kinds(before, after, Coverage::lookedAt)) {
        ToLongFunction<Coverage> count = c -> c.lookedAt().getOrDefault(kind, 0L);
        long then = median(before, count);
        long now = median(after, count);
        if (then > FACTOR * now || now > FACTOR * then) {
          changes.add(change(id + ", looked at: " + kind, then, now));
        }
      }
      for (String kind : kinds(before, after, Coverage::notRead)) {
        ToLongFunction<Coverage> count = c -> c.notRead().getOrDefault(kind, 0L);
        long then = median(before, count);
        long now = median(after, count);
        if (then == 0 != (now == 0)) {
          changes.add(change(id + ", not read: " + kind, then, now));
        }
      }
      long then = median(before, c -> c.gaps().size());
      long now = median(after, c -> c.gaps().size());
      if (then == 0 != (now == 0)) {
        changes.add(change(id + ", gaps", then, now));
      }
    }
    return changes;
  }

  private static Change change(String subject, long then, long now) {
    return new Change(subject, "%,d".formatted(then), "%,d".formatted(now));
  }

  private interface Counts {
    SortedMap<String, Long> of(Coverage coverage);
  }

  private static Set<String> kinds(List<Coverage> before, List<Coverage> after, Counts counts) {
    Set<String> kinds = new TreeSet<>();
    before.forEach(coverage -> kinds.addAll(counts.of(coverage).keySet()));
    after.forEach(coverage -> kinds.addAll(counts.of(coverage).keySet()));
    return kinds;
  }

  /// Of the reports in which the check ran.
  private static List<Coverage> coverages(Side side, String id) {
    return side.reports().stream()
        .flatMap(report -> report.checks().stream())
        .filter(outcome -> outcome.id().equals(id))
        .filter(
            outcome ->
                outcome instanceof CheckOutcome.Ran
                    || outcome instanceof CheckOutcome.NothingToLookAt)
        .map(CheckOutcome::coverageIfRan)
        .toList();
  }

  private static long median(List<Coverage> coverages, ToLongFunction<Coverage> count) {
    long[] sorted = coverages.stream().mapToLong(count).sorted().toArray();
    return sorted[(sorted.length - 1) / 2];
  }
}
