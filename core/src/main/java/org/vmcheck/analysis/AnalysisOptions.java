package org.vmcheck.analysis;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.vmcheck.check.Check;
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
/// @param reading what the file is, where it does not say so itself
/// @param deep whether checks run that go through much memory
public record AnalysisOptions(
    List<String> only,
    boolean full,
    Optional<Duration> deadline,
    int threads,
    Debug debug,
    Spool spool,
    Reading reading,
    Deep deep) {
  public static final AnalysisOptions DEFAULT =
      new AnalysisOptions(
          List.of(),
          false,
          Optional.empty(),
          Runtime.getRuntime().availableProcessors(),
          Debug.DEFAULT,
          Spool.DEFAULT,
          Reading.DEFAULT,
          Deep.AUTO);

  public AnalysisOptions(
      List<String> only,
      boolean full,
      Optional<Duration> deadline,
      int threads,
      Debug debug,
      Spool spool) {
    this(only, full, deadline, threads, debug, spool, Reading.DEFAULT, Deep.AUTO);
  }

  /// Whether checks run that go through much memory ([Check#seconds]). One that is asked for by its
  /// id always does.
  public enum Deep {
    /// Those whose estimated work is under five seconds.
    AUTO,
    ALWAYS,
    NEVER
  }

  /// @param raw whether the file is flat memory from physical address 0, without a header
  /// @param kernel which of the kernels in the memory is looked at, from 1 on; 0 for the crashed
  ///   one
  public record Reading(boolean raw, int kernel) {
    public static final Reading DEFAULT = new Reading(false, 0);
  }

  /// Files with debug information.
  ///
  /// @param vmlinux a file that the user names
  /// @param directories looked through before the places of the distributions
  /// @param force whether a named file of another kernel is used all the same
  /// @param known tables of dumps read before this one
  public record Debug(
      Optional<Path> vmlinux, List<Path> directories, boolean force, SharedTables known) {
    public static final Debug DEFAULT = new Debug(Optional.empty(), List.of(), false);

    public Debug(Optional<Path> vmlinux, List<Path> directories, boolean force) {
      this(vmlinux, directories, force, SharedTables.NONE);
    }

    public Debug {
      directories = List.copyOf(directories);
    }

    DebugSources sources() {
      return new DebugSources(vmlinux, directories, force, Set.of(), known.tables());
    }
  }

  /// Told how far a long step is.
  @FunctionalInterface
  public interface Progress {
    /// @param what the step, unescaped, for example `unpacking web7.gz`
    /// @param done bytes done
    /// @param total of how many; 0 if not known
    void at(String what, long done, long total);
  }

  /// @param directory where unpacked bytes are kept while a dump is open; empty for the system's
  /// @param limit most bytes that one dump may unpack to
  /// @param inTree whether dumps are of a tree that is scanned, where links are not followed
  /// @param progress told now and then how far the unpacking is
  public record Spool(Optional<Path> directory, long limit, boolean inTree, Progress progress) {
    public static final Spool DEFAULT =
        new Spool(Optional.empty(), 64L << 30, (what, done, total) -> {});

    /// Of dumps that a user names.
    public Spool(Optional<Path> directory, long limit, Progress progress) {
      this(directory, limit, false, progress);
    }

    OpenOptions openOptions() {
      return new OpenOptions(
          directory.orElse(OpenOptions.DEFAULT.spoolDirectory()),
          limit,
          inTree,
          progress::at,
          false);
    }
  }

  public AnalysisOptions {
    only = List.copyOf(only);
  }

  public AnalysisOptions withThreads(int newThreads) {
    return new AnalysisOptions(only, full, deadline, newThreads, debug, spool, reading, deep);
  }

  public AnalysisOptions withReading(Reading other) {
    return new AnalysisOptions(only, full, deadline, threads, debug, spool, other, deep);
  }

  public AnalysisOptions withDeep(Deep other) {
    return new AnalysisOptions(only, full, deadline, threads, debug, spool, reading, other);
  }

  OpenOptions openOptions() {
    return spool.openOptions().withRaw(reading.raw());
  }

  /// For the analyses of the dumps of a tree: what was read of a kernel's tables serves for the
  /// next dump that has the same, and links are not followed.
  public AnalysisOptions forManyDumps() {
    return new AnalysisOptions(
        only,
        full,
        deadline,
        threads,
        new Debug(debug.vmlinux, debug.directories, debug.force, SharedTables.of(2)),
        new Spool(spool.directory, spool.limit, true, spool.progress),
        reading,
        deep);
  }
}
