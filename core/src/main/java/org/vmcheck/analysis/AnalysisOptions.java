package org.vmcheck.analysis;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

/// What the user asked for.
///
/// @param only ids of the checks to run; empty for all
/// @param full whether to decode every stored page
/// @param deadline after which the analysis ends early
/// @param threads how many threads may work
public record AnalysisOptions(
    List<String> only, boolean full, Optional<Duration> deadline, int threads) {
  public static final AnalysisOptions DEFAULT =
      new AnalysisOptions(
          List.of(), false, Optional.empty(), Runtime.getRuntime().availableProcessors());

  public AnalysisOptions {
    only = List.copyOf(only);
  }
}
