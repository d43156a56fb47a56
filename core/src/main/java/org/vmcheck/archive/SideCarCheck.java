package org.vmcheck.archive;

import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.finding.Note;
import org.vmcheck.io.Lines;
import org.vmcheck.io.Printable;
import org.vmcheck.io.TreeFile;

/// Compares what lies beside a dump, and its names, with what is in the dump: swapped and stale
/// files are common in archives.
final class SideCarCheck {
  /// A kernel log is at most a few MiB; of a longer file, the end is read.
  private static final int MAX_BYTES = 16 << 20;

  private static final int LAST_LINES = 20;
  private static final Pattern README_KERNEL =
      Pattern.compile("(?i)\\s*+kernel version\\s*+:\\s*+(\\S++).*");

  private SideCarCheck() {}

  /// The lines of a side-car, cut ([Lines]); bytes above ASCII as they are.
  static List<String> lines(Path file) throws IOException {
    byte[] bytes;
    try (FileChannel channel = TreeFile.open(file);
        InputStream in = Channels.newInputStream(channel)) {
      channel.position(Math.max(0, channel.size() - MAX_BYTES));
      bytes = in.readNBytes(MAX_BYTES);
    }
    return Lines.of(new String(bytes, StandardCharsets.ISO_8859_1));
  }

  /// Which side-cars cannot be read, and why; empty if all can be.
  static String unread(Incident incident) {
    List<String> unread = new ArrayList<>();
    for (SideCar sideCar : incident.sideCars()) {
      try (InputStream in = TreeFile.stream(sideCar.path())) {
        in.read();
      } catch (IOException failure) {
        unread.add(name(sideCar) + " cannot be read: " + Incidents.words(failure));
      }
    }
    return String.join("; ", unread);
  }

  private static String name(SideCar sideCar) {
    return FileUri.of(sideCar.path()).words().replaceFirst(".*/", "");
  }

  /// @param log lines of the log in the dump; empty if it has none
  /// @param release of the dumped kernel, empty if not known
  /// @param crashTime seconds since 1970, 0 if not known
  static List<Note> compare(Incident incident, List<String> log, String release, long crashTime) {
    List<Note> remarks = new ArrayList<>();
    for (SideCar sideCar : incident.sideCars()) {
      String name = name(sideCar);
      try {
        switch (sideCar.kind()) {
          case DMESG -> dmesg(name, lines(sideCar.path()), log).ifPresent(remarks::add);
          case README -> readme(name, lines(sideCar.path()), release, remarks);
          case STATUS -> {
            List<String> lines = lines(sideCar.path());
            if (!lines.isEmpty() && lines.getFirst().startsWith("fail")) {
              remarks.add(new Note("status", name + " says that the dump failed"));
            }
          }
          case CAPTURE_LOG, NOTIFIED -> {}
        }
      } catch (IOException failure) {
        remarks.add(new Note("side-car", name + " cannot be read: " + Incidents.words(failure)));
      }
    }
    time(incident.namedTime(), crashTime).ifPresent(remarks::add);
    return remarks;
  }

  /// The last lines of the saved log must be in the dump's own.
  private static Optional<Note> dmesg(String name, List<String> saved, List<String> log) {
    if (log.isEmpty() || saved.isEmpty()) {
      return saved.isEmpty()
          ? Optional.of(new Note("dmesg", name + " is empty"))
          : Optional.empty();
    }
    Set<String> known = new HashSet<>();
    for (String record : log) {
      Lines.of(record).forEach(line -> known.add(CrashSignature.withoutStamp(line).strip()));
    }
    int asked = 0;
    int found = 0;
    for (int i = saved.size() - 1; i >= 0 && asked < LAST_LINES; i--) {
      String line = CrashSignature.withoutStamp(saved.get(i)).strip();
      // Escaped bytes are spelt differently by each dumper.
      if (!line.isEmpty() && !line.contains("\\x")) {
        asked++;
        found += known.contains(line) ? 1 : 0;
      }
    }
    if (asked == found) {
      return Optional.empty();
    }
    return Optional.of(
        new Note(
            "dmesg",
            found == 0
                ? name + " is of another crash: none of its last lines is in the dump's log"
                : "%s differs from the dump's log: %d of its last %d lines are not in it"
                    .formatted(name, asked - found, asked)));
  }

  private static void readme(String name, List<String> lines, String release, List<Note> remarks) {
    if (lines.stream().anyMatch(line -> line.contains("incomplete"))) {
      remarks.add(new Note("readme", name + " calls the dump incomplete"));
    }
    for (String line : lines) {
      Matcher kernel = README_KERNEL.matcher(line);
      if (kernel.matches()) {
        if (!release.isEmpty() && !kernel.group(1).equals(release)) {
          remarks.add(
              new Note(
                  "readme",
                  "%s names kernel %s, the dump is of %s"
                      .formatted(name, Printable.of(kernel.group(1), 80), release)));
        }
        return;
      }
    }
  }

  /// Names hold local time, so a day's difference means nothing.
  private static Optional<Note> time(String named, long crashTime) {
    String digits = named.replaceAll("\\D", "");
    if (crashTime == 0 || digits.length() < 12) {
      return Optional.empty();
    }
    try {
      Instant then =
          LocalDateTime.of(
                  Integer.parseInt(digits, 0, 4, 10),
                  Integer.parseInt(digits, 4, 6, 10),
                  Integer.parseInt(digits, 6, 8, 10),
                  Integer.parseInt(digits, 8, 10, 10),
                  Integer.parseInt(digits, 10, 12, 10))
              .toInstant(ZoneOffset.UTC);
      Duration apart = Duration.between(then, Instant.ofEpochSecond(crashTime)).abs();
      return apart.toHours() <= 24
          ? Optional.empty()
          : Optional.of(
              new Note(
                  "time",
                  "the name says %s, the dump %s: %d days apart"
                      .formatted(named, Instant.ofEpochSecond(crashTime), apart.toDays())));
    } catch (DateTimeException _) {
      return Optional.empty();
    }
  }
}
