package org.vmcheck.cli;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;

/// Runs the common commands once in one process, for the one purpose of recording which classes
/// they load: the JVM makes its AOT cache of one run (`-XX:AOTCacheOutput`). Not for users.
final class Rehearsal {
  private Rehearsal() {}

  /// @param args a dump
  public static void main(String[] args) {
    for (List<String> words :
        List.of(
            List.of("--version"),
            List.of("--help"),
            List.of("info", args[0]),
            List.of("check", args[0]),
            List.of("check", "--format", "json", args[0]),
            List.of("slabs", args[0]),
            List.of("dmesg", args[0]),
            List.of("explain", "slab.freelist"),
            List.of("compare", args[0], args[0]))) {
      PrintWriter nowhere = new PrintWriter(new StringWriter());
      int code = Main.run(nowhere, nowhere, words.toArray(String[]::new));
      if (code != ExitCode.INTACT) {
        System.err.println("vmcheck: the rehearsal of " + words + " ended with " + code);
        System.exit(code);
      }
    }
  }
}
