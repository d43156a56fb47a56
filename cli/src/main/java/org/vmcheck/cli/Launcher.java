package org.vmcheck.cli;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/// The script that started this program (`scripts/run-java`), and waits for its exit code.
///
/// Java's own exit codes are verdicts to whoever reads them as vmcheck's: 1 where it cannot start,
/// 0 where an option only has it print its help. So each code goes to the launcher with 100 added,
/// and what comes without is Java's. Without a launcher codes go as they are.
final class Launcher {
  /// Holds the launcher's process id.
  private static final String PROPERTY = "vmcheck.launcher";

  private static final int OWN = 100;

  /// As after SIGKILL: whoever killed the launcher meant this program.
  private static final int KILLED = 137;

  private Launcher() {}

  /// What to exit with, so that the launcher exits with this code.
  static int code(int code) {
    return System.getProperty(PROPERTY) == null ? code : OWN + code;
  }

  /// Ends this process soon after its launcher was killed: a killed scan goes on otherwise.
  static void watch() {
    String launcher = System.getProperty(PROPERTY);
    if (launcher != null) {
      Thread.ofPlatform().daemon().name("launcher").start(() -> watch(launcher));
    }
  }

  private static void watch(String launcher) {
    try {
      String parent;
      do {
        TimeUnit.SECONDS.sleep(1);
        parent = parent(Files.readString(Path.of("/proc/self/stat"), StandardCharsets.ISO_8859_1));
      } while (parent.equals(launcher));
      Runtime.getRuntime().halt(KILLED);
    } catch (IOException _) {
      // Without /proc nobody knows its parent: the program goes on.
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
  }

  /// The fourth field, behind the name in parentheses, which may hold anything (proc(5)).
  private static String parent(String stat) {
    return stat.substring(stat.lastIndexOf(')') + 2).split(" ", 3)[1];
  }
}
