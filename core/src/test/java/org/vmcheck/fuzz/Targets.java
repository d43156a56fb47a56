package org.vmcheck.fuzz;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.vmcheck.archive.ArchiveTargets;
import org.vmcheck.evidence.EvidenceTargets;

/// Everything that reads what others wrote.
final class Targets {
  private Targets() {}

  /// @param directory for the files that are read
  /// @param kept what the seeds of an earlier process were made with
  static List<Target> all(Path directory, Path kept) {
    List<Target> targets = new ArrayList<>(new ReaderTargets(directory).all());
    targets.addAll(ReportTargets.all());
    targets.addAll(ArchiveTargets.all(directory));
    targets.addAll(EvidenceTargets.all(directory, kept));
    targets.addAll(MemoryTargets.all(directory));
    return targets;
  }

  static Target named(Path directory, Path kept, String name) {
    return all(directory, kept).stream()
        .filter(target -> target.name().equals(name))
        .findAny()
        .orElseThrow(() -> new IllegalArgumentException("no target " + name));
  }
}
