package org.vmcheck.cli;

import java.util.List;
import org.vmcheck.archive.Selection;
import org.vmcheck.finding.Cause;
import picocli.CommandLine.Option;

/// Which incidents of a catalogue a question is about.
final class CatalogueFilter {
  private static final List<String> VERDICTS =
      List.of("intact", "kernel-damaged", "dump-damaged", "undetermined", "unreadable");

  @Option(names = "--verdict", paramLabel = "VERDICT", description = "Of this verdict.")
  private String verdict = "";

  @Option(names = "--cause", paramLabel = "ID", description = "With a finding of this cause.")
  private String cause = "";

  @Option(
      names = "--kernel",
      paramLabel = "RELEASE",
      description =
          "Of kernels whose release is or begins with this; 6.1.19 does not mean 6.1.190.")
  private String kernel = "";

  @Option(
      names = "--since",
      paramLabel = "DATE",
      converter = Moment.Converter.class,
      description =
          "Crashed on or after this day (2026-11-22) or time (2026-11-22T10:30, with or without"
              + " seconds and a zone such as Z or +01:00; without one it is UTC).")
  private Moment since;

  @Option(
      names = "--until",
      paramLabel = "DATE",
      converter = Moment.Converter.class,
      description = "Crashed on or before this day, which counts, or time.")
  private Moment until;

  @Option(
      names = "--host",
      paramLabel = "NAME",
      description =
          "Of this host: the dump's or its directory's name for it, or the origin of the scan.")
  private String host = "";

  @Option(
      names = "--signature",
      paramLabel = "SIG",
      description = "With this signature of panic or damage.")
  private String signature = "";

  @Option(names = "--vanished", description = "No longer found by the last scan.")
  private boolean vanished;

  static void requireVerdict(String option, String verdict) throws Failures.UsageException {
    if (!VERDICTS.contains(verdict)) {
      throw new Failures.UsageException(
          "%s %s: expected one of %s".formatted(option, verdict, String.join(", ", VERDICTS)));
    }
  }

  String kernel() {
    return kernel;
  }

  Selection selection() throws Failures.UsageException {
    if (!verdict.isEmpty()) {
      requireVerdict("--verdict", verdict);
    }
    if (!cause.isEmpty() && Cause.byId(cause).isEmpty()) {
      throw new Failures.UsageException(
          "--cause %s: no such cause ('vmcheck explain' lists them)".formatted(cause));
    }
    return new Selection(
        verdict,
        cause,
        kernel,
        host,
        since == null ? 0 : Math.max(1, since.first().getEpochSecond()),
        until == null ? 0 : Math.max(1, until.end().getEpochSecond()),
        signature,
        vanished);
  }
}
