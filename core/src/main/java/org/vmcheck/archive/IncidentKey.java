package org.vmcheck.archive;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HexFormat;
import org.vmcheck.io.Sha256;

/// What tells an incident from all others, on all hosts: two that crash in the same minute have
/// dumps of the same name.
///
/// @param origin name of the host, or of the shared tree, whose file system the location is on
/// @param location of the dump there
public record IncidentKey(String origin, FileUri location) implements Comparable<IncidentKey> {
  /// Begins the origin of rows that a vmcheck wrote which kept none; the rest of it tells one such
  /// catalogue from another.
  public static final String UNRECORDED = "unrecorded-";

  private static final int MAX_ORIGIN = 255;
  private static final Path NODE_NAME = Path.of("/proc/sys/kernel/hostname");
  private static final Comparator<IncidentKey> ORDER =
      Comparator.comparing(IncidentKey::location).thenComparing(IncidentKey::origin);

  /// Twelve hexadecimal digits that name the incident on a command line.
  public String id() {
    return HexFormat.of().formatHex(Sha256.of(origin + '\n' + location.uri()), 0, 6);
  }

  /// Whether a user's name for an origin is one: some printable characters without blanks.
  public static boolean isOrigin(String name) {
    return !name.isEmpty()
        && name.length() <= MAX_ORIGIN
        && !name.startsWith(UNRECORDED)
        && name.chars().allMatch(c -> c > ' ' && c < 0x7f);
  }

  /// The name of this host, as `uname -n` says it.
  ///
  /// @throws IOException if it cannot be read, or is none
  public static String hostName() throws IOException {
    String name = Files.readString(NODE_NAME, StandardCharsets.ISO_8859_1).strip();
    if (!isOrigin(name)) {
      throw new IOException("this host has no name of its own: say --origin NAME");
    }
    return name;
  }

  @Override
  public int compareTo(IncidentKey other) {
    return ORDER.compare(this, other);
  }
}
