package org.vmcheck.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/// Runs the common commands once in one process, for the one purpose of recording which classes
/// they load: the JVM makes its AOT cache of one run (`-XX:AOTCacheOutput`). Not for users.
final class Rehearsal {
  private Rehearsal() {}

  /// @param args dumps; of the first, all common commands are run, of the others `check`
  public static void main(String[] args) throws IOException {
    Path folder = Files.createTempDirectory("vmcheck-rehearsal-");
    int code;
    try {
      code = run(Path.of(args[0]).toRealPath(), folder);
      for (int i = 1; i < args.length && code == ExitCode.INTACT; i++) {
        code = run(List.of("check", Path.of(args[i]).toRealPath().toString()));
      }
    } finally {
      try (Stream<Path> files = Files.list(folder)) {
        for (Path file : files.toList()) {
          Files.delete(file);
        }
      }
      Files.delete(folder);
    }
    System.exit(code);
  }

  private static int run(Path path, Path folder) {
    String dump = path.toString();
    String catalogue = folder.resolve("catalogue").toString();
    for (List<String> words :
        List.of(
            List.of("--version"),
            List.of("--help"),
            List.of("info", dump),
            List.of("check", dump),
            List.of("check", "--format", "json", dump),
            List.of("slabs", dump),
            List.of("dmesg", dump),
            List.of("explain", "slab.freelist"),
            List.of("compare", dump, dump),
            List.of("scan", path.getParent().toString(), "--catalogue", catalogue, "--jobs", "2"),
            List.of("catalogue", "--catalogue", catalogue, "list"))) {
      int code = run(words);
      if (code != ExitCode.INTACT) {
        return code;
      }
    }
    return ExitCode.INTACT;
  }

  private static int run(List<String> words) {
    PrintWriter nowhere = new PrintWriter(new StringWriter());
    int code = Main.run(nowhere, nowhere, words.toArray(String[]::new));
    if (code != ExitCode.INTACT) {
      System.err.println("vmcheck: the rehearsal of " + words + " ended with " + code);
    }
    return code;
  }
}
