package org.vmcheck.analysis;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.vmcheck.debuginfo.DebugSources;
import org.vmcheck.dump.OpenOptions;

/// What the user asked for.
///
/// @param only ids of the checks to run; empty for all
/// @param full whether to decode every stored page
/// @param deadline after which the analysis ends early
/// @param threads how many threads may work
/// @param debug where symbols and types may come from, besides the dump
/// @param spool how packed files are unpacked
public record AnalysisOptions(
    List<String> only,
    boolean full,
    Optional<Duration> deadline,
    int threads,
    Debug debug,
    Spool spool) {
  public static final AnalysisOptions DEFAULT =
      new AnalysisOptions(
          List.of(),
          false,
          Optional.empty(),
          Runtime.getRuntime().availableProcessors(),
          Debug.DEFAULT,
          Spool.DEFAULT);

  /// Files with debug information.
  ///
  /// @param vmlinux a file that the user names
  /// @param directories looked through before the places of the distributions
  /// @param force whether a named file of another kernel is used all the same
  public record Debug(Optional<Path> vmlinux, List<Path> directories, boolean force) {
    public static final Debug DEFAULT = new Debug(Optional.empty(), List.of(), false);

    public Debug {
      directories = List.copyOf(directories);
    }

    DebugSources sources() {
      return new DebugSources(vmlinux, directories, force, Set.of());
    }
  }

  /// @param directory where unpacked bytes are kept while a dump is open; empty for the system's
  /// @param limit most bytes that one dump may unpack to
  public record Spool(Optional<Path> directory, long limit) {
    public static final Spool DEFAULT = new Spool(Optional.empty(), 64L << 30);

    OpenOptions openOptions() {
      return new OpenOptions(
          directory.orElse(OpenOptions.DEFAULT.spoolDirectory()),
          limit,
          OpenOptions.DEFAULT.progress());
    }
  }

  public AnalysisOptions {
    only = List.copyOf(only);
  }

  public AnalysisOptions withThreads(int newThreads) {
    return new AnalysisOptions(only, full, deadline, newThreads, debug, spool);
  }
}
