package org.vmcheck.archive;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// One crash as it lies on disk: a dump with its side-cars, or a saved kernel log alone.
///
/// @param location of the dump (the first part of a split one), or of the log
/// @param parts the dump's files; empty if there is only a log
/// @param sideCars files that the dumper left beside it
/// @param bytes of the dump's files, or of the log
/// @param identity changes when any file of the incident changes: size, time of change of content
///   and of attributes
/// @param host the directory's name says it is from; empty if it does not
/// @param namedTime the time in the directory's or the file's name, as written there
/// @param selfTest whether the directory is one of kdump's own tests
/// @param namedIncomplete whether the dump's name says that it was not finished
/// @param link equal for hard links to one file
public record Incident(
    FileUri location,
    List<Path> parts,
    List<SideCar> sideCars,
    long bytes,
    String identity,
    String host,
    String namedTime,
    boolean selfTest,
    boolean namedIncomplete,
    String link) {
  public Incident {
    parts = List.copyOf(parts);
    sideCars = List.copyOf(sideCars);
  }

  /// Every file, for the record.
  List<String> files() {
    List<String> files = new ArrayList<>();
    parts.forEach(part -> files.add(FileUri.of(part).words()));
    sideCars.forEach(sideCar -> files.add(FileUri.of(sideCar.path()).words()));
    return files;
  }
}
