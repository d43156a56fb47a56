package org.vmcheck.finding;

import java.util.List;
import java.util.Optional;

/// All that a renderer needs to know of one dump.
///
/// @param tool name and version of the program that made it
/// @param kernel empty when no kernel could be found in the dump
/// @param seconds wall time of the analysis
public record DumpReport(
    String tool,
    DumpFacts dump,
    Optional<KernelFacts> kernel,
    List<CheckOutcome> checks,
    Verdict verdict,
    double seconds) {
  public DumpReport {
    checks = List.copyOf(checks);
  }

  /// The findings of all checks, the most important first; where nothing tells two apart, in the
  /// order of the checks.
  public List<Finding> findings() {
    return checks.stream()
        .flatMap(outcome -> outcome.findingsIfRan().stream())
        .sorted(Finding.BY_IMPORTANCE)
        .toList();
  }
}
