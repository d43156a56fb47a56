package org.vmcheck.fuzz;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// What Jazzer drives: the target that `-Dvmcheck.fuzz.target` names. `scripts/fuzz` starts it, a
/// process a target; an ordinary run of the tests leaves it out ([TargetsTest] is what it has).
class AnyReaderFuzz {
  private static final Target TARGET = target();

  private static Target target() {
    String name = System.getProperty("vmcheck.fuzz.target", "vmcoreinfo");
    Path kept = Path.of(System.getProperty("vmcheck.fuzz.kept", "target/fuzz"));
    try {
      return Targets.named(Files.createTempDirectory("vmcheck-fuzz-"), kept, name);
    } catch (IOException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  @FuzzTest
  void read(byte[] input) {
    Feeder.feed(TARGET, input);
  }

  /// Writes each target's seeds into a directory of its own, for the fuzzer to start from.
  ///
  /// @param arguments the directory for all
  public static void main(String[] arguments) throws Exception {
    Path all = Path.of(arguments[0]);
    for (Target target : Targets.all(all, all)) {
      Path folder = Files.createDirectories(all.resolve(target.name()).resolve("seeds"));
      int number = 0;
      for (byte[] seed : target.seeds().make()) {
        Files.write(folder.resolve("seed-" + number++), seed);
      }
      System.out.println(target);
    }
  }
}
