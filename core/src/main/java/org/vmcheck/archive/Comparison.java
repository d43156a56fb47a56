package org.vmcheck.archive;

import java.util.List;
import java.util.Locale;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Finding;

/// What became better, worse or other from one side to the next.
///
/// @param findings new ones first, then unchanged, then vanished
/// @param checks every check of either side
/// @param changes facts that differ
/// @param caches that grew or shrank, most growth first
/// @param regressions why the new side is worse; empty if it is not
/// @param notes what limits the comparison
public record Comparison(
    Side base,
    Side next,
    String policy,
    List<FindingChange> findings,
    List<CheckChange> checks,
    List<Change> changes,
    List<CacheChange> caches,
    List<Regression> regressions,
    List<String> notes) {
  public Comparison {
    findings = List.copyOf(findings);
    checks = List.copyOf(checks);
    changes = List.copyOf(changes);
    caches = List.copyOf(caches);
    regressions = List.copyOf(regressions);
    notes = List.copyOf(notes);
  }

  public boolean isRegression() {
    return !regressions.isEmpty();
  }

  /// Where a finding is.
  public enum State {
    NEW,
    UNCHANGED,
    VANISHED
  }

  /// A fault of either side; the same fault has the same fingerprint.
  ///
  /// @param finding the first with this fingerprint: of the new side, or of the base if it vanished
  /// @param report that it stands in
  /// @param baseCount findings with this fingerprint in all reports of the base
  /// @param baseDumps reports of the base that have it
  /// @param accepted the reason why it is accepted; empty if it is not
  public record FindingChange(
      State state,
      Finding finding,
      DumpReport report,
      int baseCount,
      int baseDumps,
      int nextCount,
      int nextDumps,
      String accepted) {}

  /// What became of a check on one side.
  public enum CheckState {
    /// Ran, without a finding.
    PASSED,
    /// Ran, with a finding.
    FOUND,
    /// Ran, and had nothing to look at.
    NOTHING,
    /// Could not run.
    SKIPPED,
    /// Broke.
    FAILED,
    /// Was not asked for.
    ABSENT;

    /// Whether it looked at something.
    public boolean ran() {
      return this == PASSED || this == FOUND;
    }

    /// The word in reports.
    public String word() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  /// A check on both sides. Of several dumps the side has the state of the one in which the check
  /// came furthest: found, passed, failed, nothing, skipped, absent.
  ///
  /// @param baseWords its answer, or why it did not run
  /// @param baseRan in how many dumps it looked at something
  public record CheckChange(
      String id,
      CheckState base,
      CheckState next,
      String baseWords,
      String nextWords,
      int baseRan,
      int nextRan) {
    /// Ran before, and now does not, or has nothing to look at.
    public boolean isLost() {
      return base.ran() && !next.ran();
    }

    /// Did not run before and does now.
    public boolean isGained() {
      return !base.ran() && next.ran();
    }
  }

  /// A fact that differs.
  ///
  /// @param subject what it is about, for example `taint`
  public record Change(String subject, String before, String after) {}

  /// One slab cache on both sides; of several dumps the median of each number.
  ///
  /// @param baseObjects objects in use
  /// @param baseBytes their bytes
  /// @param isLeak whether it is the likely leak ([Policy.Growth])
  public record CacheChange(
      String name,
      long baseObjects,
      long nextObjects,
      long baseBytes,
      long nextBytes,
      boolean reclaimable,
      boolean isLeak) {
    public long growth() {
      return nextBytes - baseBytes;
    }
  }

  /// One reason.
  ///
  /// @param subject what it is about: a fingerprint, a check, a cache
  public record Regression(Policy.Rule rule, String subject, String sentence) {}
}
