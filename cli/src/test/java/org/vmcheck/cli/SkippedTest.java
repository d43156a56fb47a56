package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.testing.TestData;

/// What `scripts/test` makes of tests that were skipped, and of those that `-Dquick` leaves out.
class SkippedTest {
  private static final Path SCRIPTS = TestData.root().resolve("scripts");

  @TempDir private Path dir;

  private String said;

  private int run(String... cases) throws Exception {
    Files.writeString(
        dir.resolve("TEST-org.vmcheck.FooTest.xml"),
        "<testsuite name=\"org.vmcheck.FooTest\">\n"
            + String.join("\n", cases)
            + "\n</testsuite>\n");
    Process process =
        new ProcessBuilder(SCRIPTS.resolve("skipped").toString(), dir.toString())
            .redirectErrorStream(true)
            .start();
    said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return process.waitFor();
  }

  private static String skipped(String type, String method) {
    return """
    <testcase name="%s" classname="org.vmcheck.%s" time="0.1">
      <skipped message="a tool is not installed"/>
    </testcase>\
    """
        .formatted(method, type);
  }

  @Test
  void aSkippedTestFailsUnlessItIsListed() throws Exception {
    String passed = "  <testcase name=\"works\" classname=\"org.vmcheck.FooTest\" time=\"0.1\"/>";

    assertThat(run(passed)).as(said).isEqualTo(0);
    assertThat(run(passed, skipped("search.KernelFinderRealDumpTest", "allSymbolsAreDecoded")))
        .as(said)
        .isEqualTo(0);
    assertThat(run(passed, skipped("search.DebugFilesTest", "realVmlinuzStandsInForKallsyms")))
        .as(said)
        .isEqualTo(0);
    assertThat(run(skipped("FooTest", "comparesWithCrash(String)[1]"))).isEqualTo(1);
    assertThat(said).contains("FooTest#comparesWithCrash: a tool is not installed");
    // Another method of a class of which one is listed.
    assertThat(run(skipped("search.DebugFilesTest", "another"))).isEqualTo(1);
  }

  private static List<String> names(String list) throws Exception {
    return Files.readAllLines(SCRIPTS.resolve(list)).stream()
        .filter(line -> !line.startsWith("#"))
        .toList();
  }

  /// A name that no test has any more would hide nothing, and tell readers wrong.
  @Test
  void theListsNameTestsThatThereAre() throws Exception {
    for (String line : names("skipped-tests")) {
      String[] parts = line.split("\t");
      assertThat(parts).as(line).hasSize(2);
      assertThat(classes(parts[0].split("#")[0] + ".java")).as(line).isTrue();
    }
    for (String line : names("slow-tests")) {
      assertThat(classes(line.replace("**/", ""))).as(line).isTrue();
    }
  }

  private static boolean classes(String file) throws Exception {
    for (String module : List.of("core", "cli")) {
      try (Stream<Path> all = Files.walk(TestData.root().resolve(module).resolve("src/test"))) {
        if (all.anyMatch(path -> path.endsWith(file))) {
          return true;
        }
      }
    }
    return false;
  }
}
