package org.vmcheck;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.analysis.Explanations;
import org.vmcheck.arch.Architecture;
import org.vmcheck.arch.Architectures;
import org.vmcheck.check.Check;
import org.vmcheck.check.CheckContext;
import org.vmcheck.check.Checks;
import org.vmcheck.codec.Codecs;
import org.vmcheck.codec.PageCodec;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Finding;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.TestData;

/// Every list of the house, walked: a member has its contract's test, its `explain` text, and its
/// list a row in the recipes; a new member that lacks one fails here and not in a review.
class ListsTest {
  private static final Path ROOT = TestData.root();

  /// The classes that the recipes call lists.
  private static final Set<String> LISTS =
      Set.of(
          "Architectures",
          "Checks",
          "Codecs",
          "Commands",
          "ComparisonForm",
          "Dumps",
          "FreelistDiagnosis",
          "LayersTest",
          "ReportForm");

  private static Map<Path, String> sources(String tree) throws IOException {
    Map<Path, String> texts = new java.util.TreeMap<>();
    for (String module : List.of("core", "cli")) {
      Path root = ROOT.resolve(module).resolve("src").resolve(tree).resolve("java");
      try (Stream<Path> files = Files.walk(root)) {
        for (Path file : files.filter(path -> path.toString().endsWith(".java")).toList()) {
          texts.put(root.relativize(file), Files.readString(file));
        }
      }
    }
    return texts;
  }

  /// Names of the tests that extend a contract.
  private static List<String> keeping(String contract) throws IOException {
    Pattern extending = Pattern.compile("class (\\w+) extends " + contract + "\\b");
    List<String> names = new ArrayList<>();
    for (String text : sources("test").values()) {
      Matcher matcher = extending.matcher(text);
      while (matcher.find()) {
        names.add(matcher.group(1));
      }
    }
    return names;
  }

  private static Predicate<String> isTestOf(Object member) {
    return name -> name.equals(member.getClass().getSimpleName() + "Test");
  }

  @Test
  void everyCodecKeepsTheContractOfCodecs() throws IOException {
    List<String> tests = keeping("PageCodecContract");
    for (PageCodec codec : Codecs.all()) {
      assertThat(tests).as(codec.name()).anyMatch(isTestOf(codec));
    }
  }

  @Test
  void everyFormatKeepsTheContractOfFormats() throws IOException {
    Map<Path, String> tests = sources("test");
    for (String format : Dumps.formatNames()) {
      assertThat(tests.values())
          .as(format)
          .anyMatch(
              text ->
                  text.contains("extends DumpFormatContract")
                      && Pattern.compile("String format\\(\\) \\{\\s+return \"%s".formatted(format))
                          .matcher(text)
                          .find());
    }
  }

  @Test
  void everyArchitectureHasATestOfItsPageTables() throws IOException {
    Set<Path> tests = sources("test").keySet();
    for (Architecture architecture : Architectures.all()) {
      String name = architecture.getClass().getSimpleName() + "PagingTest.java";
      assertThat(tests).as(architecture.name()).anyMatch(file -> file.endsWith(name));
    }
  }

  @Test
  void everyCheckIsExplainedAndTested() throws IOException {
    Map<Path, String> tests = sources("test");
    tests.keySet().removeIf(file -> file.endsWith("ListsTest.java"));
    Set<String> ids = new TreeSet<>();
    for (Check check : Checks.all()) {
      assertThat(ids.add(check.id())).as(check.id() + " is there once").isTrue();
      assertThat(check.id()).matches("[a-z]+\\.[a-z]+");
      assertThat(check.question()).as(check.id()).endsWith("?").doesNotContain("\n");
      assertThat(check.explanation())
          .as(check.id())
          .contains("It can mislead: ")
          .contains("Next: ");
      assertThat(Explanations.of(check.id(), true)).isPresent();
      assertThat(tests.values())
          .as("a test that names " + check.id())
          .anyMatch(
              text ->
                  text.contains(check.getClass().getSimpleName())
                      || text.contains('"' + check.id() + '"'));
    }
  }

  @Test
  void everyCauseIsExplained() {
    for (Cause cause : Cause.values()) {
      assertThat(cause.explanation()).as(cause.id()).endsWith(".");
      assertThat(cause.whatToDo()).as(cause.id()).isNotBlank();
      assertThat(Explanations.of(cause.id(), false)).isPresent();
    }
  }

  static Stream<Layout> layouts() {
    return Stream.of(Layout.V5_10_SLAB, Layout.V6_1, Layout.ALL.getLast());
  }

  /// The twin that every check has, whatever it asks: a healthy kernel, and no kernel at all.
  @ParameterizedTest
  @MethodSource("layouts")
  void everyCheckIsSilentOnAHealthyKernelAndSkipsWhereThereIsNone(Layout layout) {
    FakeImage image =
        FakeKernel.of(layout)
            .seed(3)
            .cache(FakeCache.named("victim", 256).order(1).partial(3).full(2))
            .build();
    CheckContext context =
        new CheckContext(
            image.dump(), new KernelSearch.Found(image.kernel()), 1, false, () -> false);
    CheckContext without =
        new CheckContext(
            image.dump(),
            new KernelSearch.NotFound(List.of("nothing"), false),
            1,
            false,
            () -> false);
    for (Check check : Checks.all()) {
      if (check.needs().unmet(context).isEmpty()) {
        CheckOutcome outcome = check.run(context);
        assertThat(outcome).as(check.id()).isNotInstanceOf(CheckOutcome.Failed.class);
        assertThat(findings(outcome)).as(check.id()).isEmpty();
      }
      if (check.needs().unmet(without).isEmpty()) {
        assertThat(findings(check.run(without))).as(check.id()).isEmpty();
      }
    }
  }

  private static List<Finding> findings(CheckOutcome outcome) {
    return outcome instanceof CheckOutcome.Ran ran ? ran.findings() : List.of();
  }

  /// A test runs over all forms, so that a new one joins it.
  @Test
  void everyFormIsDrawnInATest() throws IOException {
    String tests = String.join("\n", sources("test").values());
    assertThat(tests).contains("@EnumSource(ReportForm.class)");
    assertThat(tests).contains("@EnumSource(ComparisonForm.class)");
  }

  /// A row of the recipes, `| a check | `check/FooCheck.java` | in `Checks` | `FooCheckTest` … |`.
  @Test
  void theRecipesNameWhatThereIs() throws IOException {
    Set<String> types = new TreeSet<>();
    for (String tree : List.of("main", "test")) {
      for (Path file : sources(tree).keySet()) {
        types.add(file.getFileName().toString().replace(".java", ""));
      }
    }
    Path packages = ROOT.resolve("core/src/main/java/org/vmcheck");
    Set<String> lists = new TreeSet<>();
    List<String> rows =
        Files.readAllLines(ROOT.resolve("core/README.md")).stream()
            .dropWhile(line -> !line.startsWith("| To add"))
            .skip(2)
            .takeWhile(line -> line.startsWith("|"))
            .toList();
    for (String row : rows) {
      String[] cells = row.split("\\|");
      assertThat(cells).as(row).hasSize(5);
      for (String file : names(cells[2], "([a-z]+)/\\w+\\.java")) {
        assertThat(Files.isDirectory(packages.resolve(file)) || file.equals("cli"))
            .as("%s: package %s", cells[1], file)
            .isTrue();
      }
      lists.addAll(names(cells[3], "`(\\w+)`"));
      for (String named : names(cells[2] + cells[3] + cells[4], "`(\\w+?)(?:\\.\\w+)?`")) {
        assertThat(named.startsWith("Foo") || types.contains(named))
            .as("%s: %s", cells[1], named)
            .isTrue();
      }
    }
    assertThat(lists).isEqualTo(LISTS);
  }

  private static List<String> names(String text, String pattern) {
    return Pattern.compile(pattern).matcher(text).results().map(match -> match.group(1)).toList();
  }
}
