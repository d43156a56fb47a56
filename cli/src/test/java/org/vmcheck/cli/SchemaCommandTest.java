package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.networknt.schema.InputFormat;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.vmcheck.json.Schema;
import org.vmcheck.testing.TestData;

/// The schemas that are printed, and what is printed beside them.
class SchemaCommandTest {
  @TempDir private Path dir;

  private record Result(int code, String out, String err) {}

  private static Result run(Object... args) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    String[] words = List.of(args).stream().map(Object::toString).toArray(String[]::new);
    int code = Main.run(new PrintWriter(out), new PrintWriter(err), words);
    return new Result(code, out.toString(), err.toString());
  }

  /// Each line of what was printed is what the schema that is printed says.
  private static void fits(Schema schema, String printed) {
    com.networknt.schema.Schema read =
        SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12)
            .getSchema(run("schema", schema.word()).out);
    assertThat(printed.lines()).as(schema.word()).isNotEmpty();
    printed
        .lines()
        .forEach(line -> assertThat(read.validate(line, InputFormat.JSON)).as(line).isEmpty());
  }

  @ParameterizedTest
  @EnumSource(Schema.class)
  void eachIsPrintedAsItIsPublished(Schema schema) throws Exception {
    Result result = run("schema", schema.word());

    assertThat(result.code).isEqualTo(ExitCode.INTACT);
    assertThat(result.out)
        .startsWith("{\n")
        .contains("\"$id\": \"urn:vmcheck:" + schema.word() + ":1\"")
        .isEqualTo(
            Files.readString(
                TestData.root()
                    .resolve("core/src/main/resources/org/vmcheck/json")
                    .resolve(schema.word() + ".schema.json")));
    assertThat(Files.readString(TestData.root().resolve("README.md")))
        .contains("org/vmcheck/json/" + schema.word() + ".schema.json");
  }

  @Test
  void anUnknownOneIsAWrongCommandLine() {
    Result result = run("schema", "verdict");

    assertThat(result.code).isEqualTo(ExitCode.USAGE);
    assertThat(result.err).contains("report, catalogue, progress, answers, comparison");
  }

  @Test
  void reportsAndComparisonsFit() throws Exception {
    Path healthy = TestData.named("healthy").dump();
    Path damaged = TestData.named("use-after-free").dump();

    fits(Schema.REPORT, run("check", healthy, damaged, "--format", "json").out);
    String comparison = run("compare", healthy, damaged, "--format", "json").out;
    fits(Schema.COMPARISON, comparison.replace("\n", " "));
  }

  @Test
  void linesOfScansAndCataloguesFit() throws Exception {
    for (String name : List.of("bit-flip", "use-after-free")) {
      Path incident = Files.createDirectories(dir.resolve("crash").resolve(name));
      Files.copy(TestData.named(name).dump(), incident.resolve("vmcore"));
    }
    Path copy = Files.createDirectories(dir.resolve("crash/copy"));
    Files.copy(TestData.named("bit-flip").dump(), copy.resolve("vmcore"));
    Path broken = Files.createDirectories(dir.resolve("crash/broken"));
    Files.write(broken.resolve("vmcore"), new byte[] {0x7f, 'E', 'L', 'F', 0, 0, 0, 0});
    Path log = Files.createDirectories(dir.resolve("crash/log"));
    Files.writeString(log.resolve("vmcore-dmesg.txt"), "[    1.0] Kernel panic - not syncing: x\n");
    Path catalogue = dir.resolve("c.sqlite");

    Result scan = run("scan", dir.resolve("crash"), "--catalogue", catalogue, "--progress", "json");
    assertThat(scan.out).contains("\"event\":\"incident\"", "\"event\":\"summary\"");
    fits(Schema.PROGRESS, scan.out);
    for (List<String> question :
        List.of(
            List.of("list"),
            List.of("groups", "--by", "damage"),
            List.of("trend"),
            List.of("hardware"),
            List.of("export"))) {
      List<Object> words =
          new java.util.ArrayList<>(List.of("catalogue", "--catalogue", catalogue));
      words.addAll(question);
      words.addAll(List.of("--format", "json"));
      fits(Schema.CATALOGUE, run(words.toArray()).out);
    }
  }

  /// A line that says more than its schema, or less, does not fit.
  @Test
  void aSchemaRefusesWhatItDoesNotKnow() {
    com.networknt.schema.Schema progress =
        SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12)
            .getSchema(Schema.PROGRESS.text());

    String problem = "{\"event\":\"problem\",\"path\":\"/x\",\"location\":\"file:///x\"%s}";
    assertThat(progress.validate(problem.formatted(",\"problem\":\"y\""), InputFormat.JSON))
        .isEmpty();
    assertThat(progress.validate(problem.formatted(""), InputFormat.JSON)).isNotEmpty();
    assertThat(
            progress.validate(problem.formatted(",\"problem\":\"y\",\"more\":1"), InputFormat.JSON))
        .isNotEmpty();
  }
}
