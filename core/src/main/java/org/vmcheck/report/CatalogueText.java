package org.vmcheck.report;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;
import org.vmcheck.archive.BatchScanner;
import org.vmcheck.archive.CrashGroup;
import org.vmcheck.archive.Entry;
import org.vmcheck.finding.Note;
import org.vmcheck.io.Printable;

/// The catalogue and a scan for a person at a terminal, and as CSV.
public final class CatalogueText {
  private static final DateTimeFormatter TIME =
      DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm", Locale.ROOT).withZone(ZoneOffset.UTC);

  private CatalogueText() {}

  /// One line an incident.
  public static String list(List<Entry> entries) {
    StringBuilder out =
        new StringBuilder("ID            VERDICT         CRASHED (UTC)     KERNEL  ORIGIN:PATH\n");
    for (Entry entry : entries) {
      out.append(
          "%-13s %-15s %-17s %s  %s:%s%s%n"
              .formatted(
                  entry.id(),
                  entry.verdict(),
                  time(entry.crashTime()),
                  entry.release().isEmpty() ? "-" : Printable.of(entry.release()),
                  Printable.of(entry.origin()),
                  Printable.of(entry.path()),
                  marks(entry)));
    }
    return out.toString();
  }

  /// Minutes are enough to tell crashes apart.
  static String time(long seconds) {
    return seconds <= 0 ? "-" : TIME.format(Instant.ofEpochSecond(seconds));
  }

  private static String marks(Entry entry) {
    List<String> marks = new ArrayList<>();
    if (entry.state() != Entry.State.COMPLETE) {
      marks.add(entry.state().word());
    }
    if (entry.vanished()) {
      marks.add("vanished");
    }
    if (!entry.duplicateOf().isEmpty()) {
      marks.add("same as " + entry.duplicateOf());
    }
    return marks.isEmpty() ? "" : "  (" + String.join(", ", marks) + ")";
  }

  /// The line of one incident while a scan runs.
  public static String judged(Entry entry) {
    return "%s: %s: %s%s%n"
        .formatted(
            entry.verdict(),
            Printable.of(entry.path()),
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
      field(out, "not looked at", "%,d places".formatted(summary.problems()));
    }
    field(
        out,
        "time",
        String.format(
            Locale.ROOT, "%.1f s, %,d MiB of dumps", summary.seconds(), summary.bytes() >> 20));
    return out.toString();
  }

  /// All that is known of one incident, without its report.
  public static String show(Entry entry) {
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
    field(
        out,
        "judged",
        "%s by %s, %.1f s"
            .formatted(Instant.ofEpochSecond(entry.judgedAt()), entry.tool(), entry.seconds()));
    return out.toString();
  }

  public static String groups(List<CrashGroup> groups) {
    StringBuilder out = new StringBuilder();
    for (CrashGroup group : groups) {
      out.append(
          "%6d  %s%s%n"
              .formatted(
                  group.members().size(),
                  Printable.of(group.key()),
                  group.text().isEmpty() ? "" : "  " + Printable.of(group.text())));
      out.append(
          "        %s; kernels %s; last %s, %s%n"
              .formatted(
                  String.join(", ", group.verdicts()),
                  group.kernels().isEmpty()
                      ? "not known"
                      : Printable.of(String.join(", ", group.kernels()), 120),
                  time(group.members().getLast().crashTime()),
                  group.members().getLast().id()));
    }
    return out.toString();
  }

  /// One row an incident.
  public static String csv(List<Entry> entries) {
    StringBuilder out =
        new StringBuilder(
            CsvReport.row(
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
                    "tool")));
    for (Entry entry : entries) {
      out.append(
          CsvReport.row(
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
                  entry.tool())));
    }
    return out.toString();
  }

  private static void field(StringBuilder out, String name, String value) {
    if (!value.isBlank()) {
      out.append("%-13s %s%n".formatted(name, Printable.of(value)));
    }
  }
}
