package org.vmcheck.report;

import java.time.Instant;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.archive.BatchScanner;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.archive.CrashGroup;
import org.vmcheck.archive.Regressions;
import org.vmcheck.archive.Tally;
import org.vmcheck.archive.Trend;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.Note;
import org.vmcheck.io.Printable;

/// The catalogue and a scan for a person at a terminal, and as CSV.
public final class CatalogueText {
  private static final long DAY_SECONDS = 86_400;

  /// Columns of a kernel's release: those of distributions fit.
  private static final int RELEASE = 30;

  private CatalogueText() {}

  public static String listHead() {
    return "ID            VERDICT         CRASHED (UTC)     %s ORIGIN:PATH\n"
        .formatted("KERNEL" + " ".repeat(RELEASE - "KERNEL".length()));
  }

  /// One line an incident.
  public static String line(Catalogue.Line line) {
    StringBuilder out = new StringBuilder(160);
    pad(out, line.id(), 13);
    pad(out, Printable.of(line.verdict()), 15);
    pad(out, time(line.crashTime()), 17);
    pad(out, line.release().isEmpty() ? "-" : Printable.of(line.release()), RELEASE);
    return out.append(Printable.of(line.key().origin()))
        .append(':')
        .append(Printable.path(line.path()))
        .append(marks(line.state(), line.vanished(), line.duplicateOf()))
        .append('\n')
        .toString();
  }

  /// A million lines: faster than a format.
  private static void pad(StringBuilder out, String word, int width) {
    out.append(word);
    out.repeat(' ', Math.max(0, width - word.length()) + 1);
  }

  /// Minutes are enough to tell crashes apart; in UTC.
  static String time(long seconds) {
    if (seconds <= 0) {
      return "-";
    }
    // A million lines: faster than a formatter.
    long day = seconds / DAY_SECONDS;
    int minute = (int) (seconds % DAY_SECONDS) / 60;
    StringBuilder out = new StringBuilder(16).append(LocalDate.ofEpochDay(day)).append(' ');
    twoDigits(out, minute / 60);
    out.append(':');
    twoDigits(out, minute % 60);
    return out.toString();
  }

  private static void twoDigits(StringBuilder out, int number) {
    out.append((char) ('0' + number / 10)).append((char) ('0' + number % 10));
  }

  /// How it lies there, where that is not as it should be; with two blanks before it.
  static String marks(CatalogueEntry entry) {
    return marks(entry.state(), entry.vanished(), entry.duplicateOf());
  }

  private static String marks(CatalogueEntry.State state, boolean vanished, String duplicateOf) {
    if (state == CatalogueEntry.State.COMPLETE && !vanished && duplicateOf.isEmpty()) {
      return "";
    }
    List<String> marks = new ArrayList<>();
    if (state != CatalogueEntry.State.COMPLETE) {
      marks.add(state.word());
    }
    if (vanished) {
      marks.add("vanished");
    }
    if (!duplicateOf.isEmpty()) {
      marks.add("same as " + duplicateOf);
    }
    return "  (" + String.join(", ", marks) + ")";
  }

  /// The line of one incident while a scan runs.
  public static String judged(CatalogueEntry entry) {
    return "%s: %s: %s%s%n"
        .formatted(
            entry.verdict(),
            Printable.path(entry.path()),
            Printable.of(entry.summary()),
            marks(entry));
  }

  /// The block at the end of a scan.
  public static String summary(BatchScanner.Summary summary) {
    StringBuilder out = new StringBuilder("\n");
    field(out, "incidents", "%,d".formatted(summary.incidents()));
    field(
        out,
        "judged",
        "%,d (%,d unchanged, %,d vanished)"
            .formatted(summary.judged(), summary.unchanged(), summary.vanished()));
    new TreeMap<>(summary.verdicts())
        .forEach((verdict, count) -> field(out, verdict, "%,d".formatted(count)));
    if (summary.withoutDump() > 0) {
      field(out, "without dump", "%,d".formatted(summary.withoutDump()));
    }
    if (summary.problems() > 0) {
      field(out, "not looked at", Counted.of(summary.problems(), "places"));
    }
    field(
        out,
        "time",
        String.format(
            Locale.ROOT, "%.1f s, %,d MiB of dumps", summary.seconds(), summary.bytes() >> 20));
    return out.toString();
  }

  /// All that is known of one incident, without its report.
  public static String show(CatalogueEntry entry) {
    StringBuilder out = new StringBuilder();
    field(out, "id", entry.id());
    field(out, "origin", entry.origin());
    field(out, "path", entry.path());
    for (String file : entry.files()) {
      if (!file.equals(entry.path())) {
        field(out, "file", file);
      }
    }
    field(out, "state", entry.state().word() + (entry.vanished() ? ", vanished" : ""));
    if (!entry.duplicateOf().isEmpty()) {
      field(out, "same as", entry.duplicateOf());
    }
    field(out, "verdict", entry.verdict() + ": " + entry.summary());
    field(out, "host", entry.host());
    field(out, "named time", entry.namedTime());
    field(out, "panic", entry.panic());
    field(out, "panic sig.", (entry.panicSignature().id() + " " + entry.panicSignature().text()));
    field(
        out, "damage sig.", (entry.damageSignature().id() + " " + entry.damageSignature().text()));
    for (Note remark : entry.remarks()) {
      field(out, "remark", remark.text());
    }
    field(out, "judged", judgement(entry));
    return out.toString();
  }

  /// When, by whom, and how long it took.
  static String judgement(CatalogueEntry entry) {
    return "%s by %s, %.1f s"
        .formatted(Instant.ofEpochSecond(entry.judgedAt()), entry.tool(), entry.seconds());
  }

  /// What the incidents have in common, and what of them is not shown.
  public static String groups(Tally.Groups groups, Tally tally) {
    StringBuilder out = new StringBuilder();
    for (CrashGroup group : groups.groups()) {
      out.append(
          "%6d  %s%s%n"
              .formatted(
                  group.count(),
                  Printable.of(group.key()),
                  group.text().isEmpty() ? "" : "  " + Printable.of(group.text())));
      out.append(
          "        %s; kernels %s; last %s, %s%n"
              .formatted(
                  String.join(", ", group.verdicts()),
                  group.kernels().isEmpty()
                      ? "not known"
                      : Printable.of(String.join(", ", group.kernels()), 120),
                  time(group.lastCrash()),
                  group.newest().getFirst()));
    }
    int shown = groups.groups().size();
    out.append(
        "%,d in %s%s; %s%n"
            .formatted(
                groups.shown(),
                Counted.of(shown, "groups"),
                groups.all() > shown
                    ? " (%,d more in %,d smaller ones: --top)"
                        .formatted(groups.keyed() - groups.shown(), groups.all() - shown)
                    : "",
                counted(tally)));
    return out.toString();
  }

  /// How many incidents count, and why the others do not.
  static String counted(Tally tally) {
    List<String> others = new ArrayList<>();
    if (tally.copies() > 0) {
      others.add(Counted.of(tally.copies(), "copies"));
    }
    if (tally.selfTests() > 0) {
      others.add(Counted.of(tally.selfTests(), "self-tests"));
    }
    return Counted.of(tally.selected(), "incidents")
        + (others.isEmpty()
            ? ""
            : ", of which %,d count (not %s)"
                .formatted(tally.counted(), String.join(", ", others)));
  }

  /// Crashes by week and kernel; the last line has the sums.
  public static String trend(List<Trend> trends, Tally tally) {
    StringBuilder out =
        new StringBuilder(
            "WEEK OF    CRASHES  INTACT  KERNEL-DAMAGED  DUMP-DAMAGED  UNDETERMINED  UNREADABLE"
                + "  KERNEL, CAUSES\n");
    SortedMap<String, Long> verdicts = new TreeMap<>();
    for (Trend trend : trends) {
      trend.verdicts().forEach((verdict, count) -> verdicts.merge(verdict, count, Long::sum));
      out.append(
          trend(
              trend.week().equals(Trend.UNKNOWN) ? "not known" : trend.week().toString(),
              trend.verdicts(),
              (trend.kernel().isEmpty() ? "-" : trend.kernel()) + causes(trend)));
    }
    out.append(trend("all", verdicts, ""));
    return out.append(counted(tally)).append('\n').toString();
  }

  private static String causes(Trend trend) {
    List<String> causes = new ArrayList<>();
    trend.causes().forEach((cause, count) -> causes.add(cause + " " + count));
    return causes.isEmpty() ? "" : ": " + String.join(", ", causes);
  }

  private static String trend(String week, SortedMap<String, Long> verdicts, String words) {
    long all = verdicts.values().stream().mapToLong(Long::longValue).sum();
    return "%-10s %7d  %6d  %14d  %12d  %12d  %10d  %s"
            .formatted(
                week,
                all,
                verdicts.getOrDefault("intact", 0L),
                verdicts.getOrDefault("kernel-damaged", 0L),
                verdicts.getOrDefault("dump-damaged", 0L),
                verdicts.getOrDefault("undetermined", 0L),
                verdicts.getOrDefault("unreadable", 0L),
                Printable.of(words))
            .stripTrailing()
        + "\n";
  }

  /// What is new, more frequent or gone.
  public static String regressions(Regressions regressions) {
    StringBuilder out = new StringBuilder();
    out.append(
        "%s: %s; %s: %s%n"
            .formatted(
                Printable.of(regressions.from()),
                Counted.of(regressions.incidentsBefore(), "incidents"),
                Printable.of(regressions.to()),
                Counted.of(regressions.incidentsNow(), "incidents")));
    for (Regressions.Change change : regressions.changes()) {
      out.append(
          "%-13s %-6s %s%s: %,d before, %,d now%s%n"
              .formatted(
                  change.kind().word(),
                  change.by().name().toLowerCase(Locale.ROOT),
                  Printable.of(change.key()),
                  change.text().isEmpty() ? "" : "  " + Printable.of(change.text()),
                  change.before(),
                  change.now(),
                  change.newest().isEmpty() ? "" : "; " + change.newest().getFirst()));
    }
    if (regressions.changes().isEmpty()) {
      out.append("nothing is new, more frequent or gone\n");
    }
    return out.toString();
  }

  public static String csvHead() {
    return CsvReport.row(
        List.of(
            "id",
            "origin",
            "path",
            "state",
            "verdict",
            "summary",
            "causes",
            "problem",
            "kernel",
            "machine",
            "nodename",
            "host",
            "named time",
            "crash time",
            "panic",
            "panic signature",
            "damage signature",
            "bytes",
            "vanished",
            "duplicate of",
            "tool"));
  }

  /// One row an incident.
  public static String csv(CatalogueEntry entry) {
    return CsvReport.row(
        List.of(
            entry.id(),
            entry.origin(),
            entry.path(),
            entry.state().word(),
            entry.verdict(),
            entry.summary(),
            String.join(" ", entry.causes()),
            entry.problem(),
            entry.release(),
            entry.machine(),
            entry.nodename(),
            entry.host(),
            entry.namedTime(),
            entry.crashTime() > 0 ? Instant.ofEpochSecond(entry.crashTime()).toString() : "",
            entry.panic(),
            entry.panicSignature().id(),
            entry.damageSignature().id(),
            "" + entry.bytes(),
            entry.vanished() ? "yes" : "",
            entry.duplicateOf(),
            entry.tool()));
  }

  private static void field(StringBuilder out, String name, String value) {
    if (!value.isBlank()) {
      out.append("%-13s %s%n".formatted(name, Printable.of(value)));
    }
  }
}
