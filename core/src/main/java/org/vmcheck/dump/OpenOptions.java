package org.vmcheck.dump;

import java.nio.file.Path;

/// How files are unpacked on the way in.
///
/// @param spoolDirectory where the unpacked bytes of a compressed file are kept while it is open
/// @param spoolLimit most bytes that may be unpacked of one file, of members that are passed over
///   too
/// @param inTree whether the files are of a tree that is scanned, where links are not followed
/// @param progress told now and then while unpacking
/// @param raw whether the file is flat memory from physical address 0, without a header
public record OpenOptions(
    Path spoolDirectory, long spoolLimit, boolean inTree, Progress progress, boolean raw) {
  /// Spools to the system's directory for temporary files, up to 64 GiB, silently.
  public static final OpenOptions DEFAULT =
      new OpenOptions(
          Path.of(System.getProperty("java.io.tmpdir")), 64L << 30, (what, done, total) -> {});

  /// Of files that a user names.
  public OpenOptions(Path spoolDirectory, long spoolLimit, Progress progress) {
    this(spoolDirectory, spoolLimit, false, progress, false);
  }

  public OpenOptions withRaw(boolean value) {
    return new OpenOptions(spoolDirectory, spoolLimit, inTree, progress, value);
  }

  /// Told how far a long step is.
  @FunctionalInterface
  public interface Progress {
    /// @param what the step, for example `unpacking web7.gz`
    /// @param done bytes or pages done
    /// @param total of how many; 0 if not known
    void at(String what, long done, long total);
  }
}
