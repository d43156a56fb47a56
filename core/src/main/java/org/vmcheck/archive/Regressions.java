package org.vmcheck.archive;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// What kernels of one release suffer that those of another did not: panics, damage and causes that
/// are new, more frequent than chance explains, or gone.
///
/// @param incidentsBefore of the first release that count
/// @param incidentsNow of the second
public record Regressions(
    String from, String to, long incidentsBefore, long incidentsNow, List<Change> changes) {
  /// Of each kind of group so many are compared, the largest.
  private static final int MAX_GROUPS = 2000;

  /// The chance of at most this that the same kernel would show as many more.
  private static final double UNLIKELY = 0.01;

  public Regressions {
    changes = List.copyOf(changes);
  }

  /// How something changed.
  public enum Kind {
    NEW,
    MORE_FREQUENT,
    GONE;

    public String word() {
      return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
  }

  /// One of them.
  ///
  /// @param key signature or cause, with its text
  /// @param before incidents of the first release
  /// @param now incidents of the second
  /// @param newest ids of the second's latest incidents
  public record Change(
      Kind kind,
      CrashGroup.By by,
      String key,
      String text,
      long before,
      long now,
      List<String> newest) {
    public Change {
      newest = List.copyOf(newest);
    }
  }

  /// Whether anything is new or more frequent.
  public boolean isWorse() {
    return changes.stream().anyMatch(change -> change.kind() != Kind.GONE);
  }

  /// Compares the incidents of two releases.
  ///
  /// @throws SelectionException if the catalogue has none of either
  public static Regressions of(Catalogue catalogue, Selection selection, String from, String to)
      throws IOException, SelectionException {
    Selection before = selection.ofRelease(from);
    Selection now = selection.ofRelease(to);
    long incidentsBefore = catalogue.tally(before).counted();
    long incidentsNow = catalogue.tally(now).counted();
    if (incidentsBefore == 0 || incidentsNow == 0) {
      throw new SelectionException(
          "no incident of kernel %s counts".formatted(incidentsBefore == 0 ? from : to));
    }
    List<Change> changes = new ArrayList<>();
    for (CrashGroup.By by :
        List.of(CrashGroup.By.DAMAGE, CrashGroup.By.PANIC, CrashGroup.By.CAUSE)) {
      Map<String, CrashGroup> old = new HashMap<>();
      for (CrashGroup group : catalogue.groups(before, by, MAX_GROUPS).groups()) {
        old.put(group.key(), group);
      }
      for (CrashGroup group : catalogue.groups(now, by, MAX_GROUPS).groups()) {
        CrashGroup same = old.remove(group.key());
        long then = same == null ? 0 : same.count();
        if (then == 0) {
          changes.add(change(Kind.NEW, by, group, 0, group.count()));
        } else if (chance(then, incidentsBefore, group.count(), incidentsNow) <= UNLIKELY) {
          changes.add(change(Kind.MORE_FREQUENT, by, group, then, group.count()));
        }
      }
      old.values().forEach(group -> changes.add(change(Kind.GONE, by, group, group.count(), 0)));
    }
    changes.sort(
        Comparator.comparing(Change::kind)
            .thenComparing(Comparator.comparingLong(Change::now).reversed())
            .thenComparing(Comparator.comparingLong(Change::before).reversed())
            .thenComparing(Change::by)
            .thenComparing(Change::key));
    return new Regressions(from, to, incidentsBefore, incidentsNow, changes);
  }

  private static Change change(
      Kind kind, CrashGroup.By by, CrashGroup group, long before, long now) {
    return new Change(
        kind,
        by,
        group.key(),
        group.text(),
        before,
        now,
        kind == Kind.GONE ? List.of() : group.newest());
  }

  /// The chance that of all incidents that show something, the second release has at least `now` if
  /// both releases show it alike: Fisher's exact test, one-sided.
  static double chance(long before, long allBefore, long now, long allNow) {
    long shown = before + now;
    double sum = 0;
    long most = Math.min(shown, allNow);
    for (long k = now; k <= most; k++) {
      if (shown - k <= allBefore) {
        double term =
            Math.exp(
                choose(allNow, k)
                    + choose(allBefore, shown - k)
                    - choose(allBefore + allNow, shown));
        sum += term;
        if (term < 1e-12 * sum) {
          break;
        }
      }
    }
    return Math.min(1, sum);
  }

  /// The logarithm of n over k.
  private static double choose(long n, long k) {
    return logFactorial(n) - logFactorial(k) - logFactorial(n - k);
  }

  /// Exact for small numbers, by Stirling's series for others, which is as good there.
  private static double logFactorial(long n) {
    if (n < 32) {
      double sum = 0;
      for (long i = 2; i <= n; i++) {
        sum += Math.log((double) i);
      }
      return sum;
    }
    double x = (double) n;
    return x * Math.log(x)
        - x
        + 0.5 * Math.log(2 * Math.PI * x)
        + 1 / (12 * x)
        - 1 / (360 * x * x * x);
  }
}
