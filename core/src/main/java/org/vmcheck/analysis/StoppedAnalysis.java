package org.vmcheck.analysis;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.vmcheck.check.Check;
import org.vmcheck.check.Checks;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpFacts;
import org.vmcheck.finding.DumpReport;

/// The report of a dump whose deadline came while it was opened: nothing of it is known, and that
/// is an answer too.
public final class StoppedAnalysis {
  private StoppedAnalysis() {}

  /// An undetermined verdict.
  ///
  /// @param files of the dump
  /// @param only ids of the checks that were asked for; empty for all
  /// @param over the words of what ended it
  /// @param tool name and version to write into the report
  /// @param seconds until the deadline
  public static DumpReport report(
      List<Path> files, List<String> only, String over, String tool, double seconds) {
    String why = "the opening of the dump was ended by " + over;
    List<CheckOutcome> outcomes =
        Checks.all().stream()
            .map(Check::id)
            .filter(id -> only.isEmpty() || only.contains(id))
            .<CheckOutcome>map(id -> new CheckOutcome.Skipped(id, List.of(why)))
            .toList();
    return new DumpReport(
        tool,
        new DumpFacts(
            files.getFirst().toString(),
            files.stream().mapToLong(StoppedAnalysis::size).sum(),
            "not known",
            0,
            false,
            List.of(),
            -1,
            new DumpFacts.PageTotals(0, 0, 0, 0, 0),
            true),
        Optional.empty(),
        outcomes,
        VerdictRule.judge(outcomes, List.of(why), !only.isEmpty()),
        seconds);
  }

  private static long size(Path file) {
    try {
      return Files.size(file);
    } catch (IOException _) {
      return 0;
    }
  }
}
