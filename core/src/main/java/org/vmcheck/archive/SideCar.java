package org.vmcheck.archive;

import java.nio.file.Path;
import java.util.Optional;
import java.util.regex.Pattern;

/// A file that a dumper left beside a dump.
public record SideCar(Kind kind, Path path, long bytes) {
  /// What such a file is, by the name that its dumper gives it.
  public enum Kind {
    /// The crashed kernel's log, saved before the dump (`vmcore-dmesg.txt`, `dmesg.TS`, `dmesg`).
    DMESG("vmcore-dmesg(-incomplete)?\\.txt|dmesg(\\.\\d{12})?"),
    /// The capture kernel's own log.
    CAPTURE_LOG("kexec-dmesg\\.log"),
    /// SUSE's account of how the dump went.
    README("README\\.txt"),
    /// Whether a self-test of kdump worked.
    STATUS("vmcore-creation\\.status"),
    /// SUSE's mark that someone was told.
    NOTIFIED("\\.notified");

    private final Pattern name;

    Kind(String name) {
      this.name = Pattern.compile(name);
    }

    static Optional<Kind> byName(String fileName) {
      for (Kind kind : values()) {
        if (kind.name.matcher(fileName).matches()) {
          return Optional.of(kind);
        }
      }
      return Optional.empty();
    }
  }
}
