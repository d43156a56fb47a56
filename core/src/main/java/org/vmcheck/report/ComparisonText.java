package org.vmcheck.report;

import java.util.List;
import java.util.Locale;
import org.vmcheck.archive.Comparison;
import org.vmcheck.archive.Comparison.CacheChange;
import org.vmcheck.archive.Comparison.Change;
import org.vmcheck.archive.Comparison.CheckChange;
import org.vmcheck.archive.Comparison.FindingChange;
import org.vmcheck.archive.Comparison.Regression;
import org.vmcheck.archive.Comparison.State;
import org.vmcheck.io.Printable;

/// A comparison for people, as plain text.
public final class ComparisonText {
  /// Caches shown unless all are asked for.
  private static final int CACHES = 10;

  private ComparisonText() {}

  /// @param verbose whether every cache and every check is listed
  public static String render(Comparison comparison, boolean verbose) {
    StringBuilder out = new StringBuilder();
    line(
        out,
        "%s: %s -> %s (policy %s)",
        comparison.isRegression() ? "regression" : "no regression",
        comparison.base().words(),
        comparison.next().words(),
        comparison.policy());
    for (Regression regression : comparison.regressions()) {
      line(out, "  ! %s: %s", regression.rule().word(), regression.sentence());
    }
    findings(out, comparison);
    checks(out, comparison, verbose);
    if (!comparison.changes().isEmpty()) {
      out.append("\nchanges\n");
      for (Change change : comparison.changes()) {
        line(out, "  %-18s %s", change.subject(), words(change));
      }
    }
    caches(out, comparison, verbose);
    if (!comparison.notes().isEmpty()) {
      out.append("\nnotes\n");
      comparison.notes().forEach(note -> line(out, "  %s", note));
    }
    return out.toString();
  }

  /// The change in one line: what was and what is, or what is gone and what is new.
  static String words(Change change) {
    if (change.before().isEmpty()) {
      return change.after();
    }
    if (change.after().isEmpty()) {
      return change.before();
    }
    return change.before().startsWith("gone: ")
        ? change.before() + "; " + change.after()
        : change.before() + " -> " + change.after();
  }

  private static void findings(StringBuilder out, Comparison comparison) {
    out.append("\nfindings   ");
    for (State state : State.values()) {
      long count = comparison.findings().stream().filter(f -> f.state() == state).count();
      out.append(state == State.NEW ? "" : ", ").append(count).append(' ').append(word(state));
    }
    out.append('\n');
    for (FindingChange change : comparison.findings()) {
      String sign =
          switch (change.state()) {
            case NEW -> "+";
            case UNCHANGED -> "=";
            case VANISHED -> "-";
          };
      line(out, "  %s %s", sign, change.finding().fingerprint());
      line(out, "      %s: %s", change.finding().cause().id(), change.finding().claim());
      String dumps = dumps(comparison, change);
      if (!dumps.isEmpty()) {
        line(out, "      %s", dumps);
      }
      if (!change.accepted().isEmpty()) {
        line(out, "      accepted: %s", change.accepted());
      }
    }
  }

  /// In how many dumps of each side; empty if each side is one dump.
  static String dumps(Comparison comparison, FindingChange change) {
    int base = comparison.base().reports().size();
    int next = comparison.next().reports().size();
    return base == 1 && next == 1
        ? ""
        : "in %d of %d dumps before, in %d of %d now"
            .formatted(change.baseDumps(), base, change.nextDumps(), next);
  }

  static String word(State state) {
    return state.name().toLowerCase(Locale.ROOT);
  }

  private static void checks(StringBuilder out, Comparison comparison, boolean verbose) {
    List<CheckChange> shown =
        comparison.checks().stream()
            .filter(check -> verbose || check.base() != check.next())
            .toList();
    out.append("\nchecks     ")
        .append(comparison.checks().stream().filter(check -> check.next().ran()).count())
        .append(" of ")
        .append(comparison.checks().size())
        .append(" ran on the new side\n");
    for (CheckChange check : shown) {
      line(
          out,
          "  %-18s %s -> %s%s",
          check.id(),
          check.base().word(),
          check.next().word(),
          check.nextWords().isEmpty() ? "" : ": " + check.nextWords());
    }
  }

  private static void caches(StringBuilder out, Comparison comparison, boolean verbose) {
    List<CacheChange> shown =
        comparison.caches().stream()
            .filter(cache -> verbose || cache.growth() > 0 || cache.isLeak())
            .toList();
    if (shown.isEmpty()) {
      return;
    }
    line(out, "\n%-26s %12s %12s %16s", "caches that grew", "objects", "now", "bytes");
    int limit = verbose ? shown.size() : Math.min(CACHES, shown.size());
    for (CacheChange cache : shown.subList(0, limit)) {
      line(
          out,
          "  %-24s %,12d %,12d %,+16d%s%s",
          cache.name(),
          cache.baseObjects(),
          cache.nextObjects(),
          cache.growth(),
          cache.isLeak() ? "  likely leak" : "",
          cache.reclaimable() ? "  reclaimable" : "");
    }
    // The leak is not always among the largest: reclaimable caches stand before it.
    shown.subList(limit, shown.size()).stream()
        .filter(CacheChange::isLeak)
        .forEach(
            cache ->
                line(
                    out,
                    "  %-24s %,12d %,12d %,+16d  likely leak",
                    cache.name(),
                    cache.baseObjects(),
                    cache.nextObjects(),
                    cache.growth()));
    if (limit < shown.size()) {
      line(out, "  and %d more; -v lists them", shown.size() - limit);
    }
  }

  private static void line(StringBuilder out, String format, Object... words) {
    Object[] safe = new Object[words.length];
    for (int i = 0; i < words.length; i++) {
      safe[i] = words[i] instanceof String text ? Printable.of(text) : words[i];
    }
    out.append(String.format(Locale.ROOT, format, safe)).append('\n');
  }
}
