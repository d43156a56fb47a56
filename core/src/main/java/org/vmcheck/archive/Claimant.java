package org.vmcheck.archive;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// One running scan, as other scans of the same catalogue know it: a claim of it is worth nothing
/// once it is dead.
///
/// @param id `boot/namespace/pid/start/number`: of the boot of this machine, the PID namespace, the
///   process there, its start in clock ticks, and which of its scans
record Claimant(String id) {
  /// A claim that its claimant does not renew runs out after so many milliseconds.
  static final long LEASE_MILLIS = 120_000;

  private static final Path PROC = Path.of("/proc");
  private static final Pattern ID =
      Pattern.compile("([^/]++)/([^/]++)/(\\d{1,10}+)/(\\d{1,20}+)/\\d++");
  private static final int START_FIELD = 22;
  private static final AtomicInteger SCANS = new AtomicInteger();

  static Claimant ofThisScan() {
    long pid = ProcessHandle.current().pid();
    return new Claimant(
        "%s/%s/%d/%s/%d"
            .formatted(boot(), namespace(), pid, start("" + pid), SCANS.incrementAndGet()));
  }

  /// Whether another claimant is known to be dead. One of another machine, boot or container is
  /// not: its claims run out.
  boolean isDead(String other) {
    Matcher own = ID.matcher(id);
    Matcher matcher = ID.matcher(other);
    return own.matches()
        && matcher.matches()
        && own.group(1).equals(matcher.group(1))
        && own.group(2).equals(matcher.group(2))
        // Where other users' processes are hidden, PID 1 is too.
        && Files.exists(PROC.resolve("1"))
        && !start(matcher.group(3)).equals(matcher.group(4));
  }

  private static String boot() {
    try {
      return Files.readString(Path.of("/proc/sys/kernel/random/boot_id")).strip();
    } catch (IOException _) {
      return "unknown boot of " + ProcessHandle.current().pid() + " at " + System.nanoTime();
    }
  }

  private static String namespace() {
    try {
      return Files.readSymbolicLink(PROC.resolve("self/ns/pid")).toString();
    } catch (IOException _) {
      return "unknown at " + System.nanoTime();
    }
  }

  /// When a process started, in clock ticks since boot; "0" if there is none.
  private static String start(String pid) {
    try {
      String stat =
          Files.readString(PROC.resolve(pid).resolve("stat"), StandardCharsets.ISO_8859_1);
      // The name, field 2, may hold blanks and parentheses.
      String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
      return fields[START_FIELD - 3];
    } catch (IOException | RuntimeException _) {
      return "0";
    }
  }
}
