package org.vmcheck.testing;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// The rows of `scripts/mutate` name classes and tests that there are, and its survivors have
/// reasons.
class MutationRowsTest {
  private static final Path MUTATION = TestData.root().resolve("core/src/test/mutation");

  private static List<String[]> table(String name) throws Exception {
    return Files.readAllLines(MUTATION.resolve(name)).stream()
        .filter(line -> !line.isEmpty() && !line.startsWith("#"))
        .map(line -> line.split("\t"))
        .toList();
  }

  private static Set<String> classes(String tree) throws Exception {
    try (Stream<Path> files = Files.walk(TestData.root().resolve("core/src").resolve(tree))) {
      return files
          .map(file -> file.getFileName().toString())
          .filter(name -> name.endsWith(".java"))
          .map(name -> name.substring(0, name.length() - 5))
          .collect(Collectors.toSet());
    }
  }

  /// A name, or a pattern with `*`, and before a slash the package that it is of.
  private static Predicate<String> fits(String glob) {
    String name = glob.substring(glob.lastIndexOf('/') + 1);
    return Pattern.compile(name.replace("*", ".*")).asMatchPredicate();
  }

  @Test
  void rowsNameWhatThereIs() throws Exception {
    Set<String> judging = classes("main/java");
    Set<String> tests = classes("test/java");
    for (String[] row : table("rows.tsv")) {
      assertThat(row).as(row[0]).hasSize(5);
      for (String glob : row[1].split(" ")) {
        assertThat(judging).as("%s: %s", row[0], glob).anyMatch(fits(glob));
      }
      for (String glob : row[2].split(" ")) {
        assertThat(tests).as("%s: %s", row[0], glob).anyMatch(fits(glob));
      }
      assertThat(Double.parseDouble(row[4])).as(row[0]).isPositive();
    }
  }

  @Test
  void survivorsAreOfClassesThatThereAreAndSayWhy() throws Exception {
    Set<String> judging = classes("main/java");
    for (String[] survivor : table("survivors.tsv")) {
      String what = String.join(" ", survivor);
      assertThat(survivor).as(what).hasSize(5);
      assertThat(judging).as(what).contains(survivor[0].replaceFirst("\\$.*", ""));
      assertThat(survivor[4]).as(what).isNotBlank().isNotEqualTo("open");
    }
  }
}
