package org.vmcheck.json;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.networknt.schema.InputFormat;
import com.networknt.schema.Schema;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.testing.SampleReports;
import org.vmcheck.testing.TestData;

/// The report's JSON: what is written fits the schema, and is read back to the same.
class ReportReaderTest {
  private static final String SCHEMA = resource("report.schema.json");

  private static String resource(String name) {
    try (InputStream in = ReportWriter.class.getResourceAsStream(name)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  private static Schema schema() {
    return SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12).getSchema(SCHEMA);
  }

  static Stream<DumpReport> reports() throws Exception {
    Stream.Builder<DumpReport> reports = Stream.builder();
    reports.add(SampleReports.damaged(SampleReports.HOSTILE));
    reports.add(SampleReports.intact("healthy"));
    reports.add(SampleReports.undetermined("unknown"));
    for (TestData data : TestData.small()) {
      try (Analyzer analyzer = Analyzer.open(data.dump(), AnalysisOptions.DEFAULT)) {
        reports.add(analyzer.check("test"));
      }
    }
    return reports.build();
  }

  @ParameterizedTest
  @MethodSource("reports")
  void whatIsWrittenFitsTheSchemaAndIsReadBackTheSame(DumpReport report) throws Exception {
    String line = ReportWriter.line(report);

    assertThat(schema().validate(line, InputFormat.JSON)).isEmpty();
    DumpReport read = ReportReader.read("report", line);
    assertThat(ReportWriter.line(read)).isEqualTo(line);
    assertThat(ReportWriter.line(ReportReader.read("report", ReportWriter.pretty(report))))
        .isEqualTo(line);
    assertThat(read.verdict().kind()).isEqualTo(report.verdict().kind());
    assertThat(read.findings()).hasSameSizeAs(report.findings());
  }

  @Test
  void theKernelsOfTheDumpAreReadBack() throws Exception {
    DumpReport report = SampleReports.damaged();
    DumpReport read = ReportReader.read("r", ReportWriter.line(report));

    assertThat(read.kernels()).hasSize(2);
    assertThat(read.kernels().getFirst().judged()).isTrue();
    assertThat(read.kernels().getLast().capture()).isTrue();
    assertThat(read.kernels().getLast().physBase()).isEqualTo(0x9000000);
    assertThat(ReportWriter.line(SampleReports.undetermined("x"))).doesNotContain("\"kernels\"");
  }

  /// Ids are printed as they are.
  @Test
  void anIdThatNoCheckCanHaveIsRefused() {
    String line = ReportWriter.line(SampleReports.damaged());
    String hostile = line.replace("\"id\":\"slab.freelist\"", "\"id\":\"slab\\u001b[2J\"");
    assertThat(hostile).isNotEqualTo(line);
    assertThatThrownBy(() -> ReportReader.read("r", hostile))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageContaining("the id of a check");
  }

  @Test
  void theVerdictSaysWhatWasLookedAt() throws Exception {
    try (Analyzer analyzer =
        Analyzer.open(TestData.named("healthy").dump(), AnalysisOptions.DEFAULT)) {
      JsonObject coverage =
          JsonValues.object("r", ReportWriter.line(analyzer.check("test")))
              .object("verdict")
              .object("coverage");
      JsonObject pages = coverage.object("pages");
      assertThat(pages.number("decoded")).isEqualTo(pages.number("stored")).isPositive();
      JsonObject slabs =
          coverage.objects("domains").stream()
              .filter(domain -> domain.toString().contains("caches"))
              .findFirst()
              .orElseThrow();
      assertThat(slabs.string("domain")).isEqualTo("slab allocator");
      assertThat(slabs.numberMap("lookedAt")).containsKeys("caches", "slabs", "objects");
    }
  }

  @Test
  void aVerdictThatClaimsMoreThanItsChecksIsRefused() {
    String line = ReportWriter.line(SampleReports.damaged());
    int verdict = line.indexOf("\"verdict\"");
    assertRefused(
        line.substring(0, verdict) + line.substring(verdict).replace("1000", "9000"),
        "[r] the report.verdict.coverage: expected what the checks looked at");
  }

  @Test
  void aReportFromBeforeThatMemberIsRead() throws Exception {
    String line = ReportWriter.line(SampleReports.intact("x"));
    String before = line.replaceFirst(",\"coverage\":\\{\"pages\".*?]}}", "}");
    assertThat(before).isNotEqualTo(line);
    assertThat(ReportReader.read("r", before).verdict().kind()).isEqualTo("intact");
  }

  @Test
  void schemaKnowsEveryCause() {
    for (Cause cause : Cause.values()) {
      assertThat(SCHEMA).contains('"' + cause.id() + '"');
    }
  }

  @Test
  void schemaRefusesWhatIsNoReport() {
    String line = ReportWriter.line(SampleReports.damaged());
    for (String broken :
        List.of(
            line.replace("\"schemaVersion\":1", "\"schemaVersion\":2"),
            line.replace("kernel-damaged", "fine"),
            line.replace("0xffff888000001040", "4097"),
            line.replaceFirst("\\{", "{\"more\":1,"))) {
      assertThat(broken).isNotEqualTo(line);
      assertThat(schema().validate(broken, InputFormat.JSON)).isNotEmpty();
    }
  }

  @Test
  void whatDoesNotFitIsNamed() {
    String line = ReportWriter.line(SampleReports.damaged());
    assertRefused("{}", "[r] the report.schemaVersion: expected a whole number, got nothing");
    assertRefused("[1]", "[r] the report: expected an object, got an array");
    assertRefused("{\"schemaVersion\":9}", "[r] schemaVersion: expected 1, got 9");
    assertRefused(
        line.replace("use-after-free-write\"", "gremlins\""),
        "[r] the report.checks[0].findings[0].cause: expected a known cause, got \"gremlins\"");
    assertRefused(line + line, "[r] more than one JSON value");
    assertRefused(
        line.replace("41424300", "4142430"),
        "[r] the report.checks[0].findings[0].evidence[2].hex: expected pairs of digits");
    assertRefused("[".repeat(100_000), "[r] not JSON");
    assertRefused("", "[r] the report: expected an object, got nothing");
  }

  private static void assertRefused(String text, String message) {
    assertThatThrownBy(() -> ReportReader.read("r", text))
        .isInstanceOf(MalformedFileException.class)
        .hasMessageStartingWith(message);
  }

  @Test
  void everyPrefixAndManyFlippedCharactersAreReadOrRefused() {
    String line = ReportWriter.line(SampleReports.damaged());
    for (int length = 0; length < line.length(); length++) {
      readOrRefuse(line.substring(0, length));
    }
    Random random = new Random(42);
    for (int round = 0; round < 5000; round++) {
      StringBuilder text = new StringBuilder(line);
      text.setCharAt(random.nextInt(text.length()), (char) random.nextInt(0x80));
      readOrRefuse(text.toString());
    }
  }

  private static void readOrRefuse(String text) {
    try {
      assertThat(ReportReader.read("r", text)).isNotNull();
    } catch (MalformedFileException refused) {
      assertThat(refused).hasMessageStartingWith("[r] ");
    }
  }

  /// A report is a file that anybody may have written: the names of its counts reach a terminal.
  @Test
  void namesOfCountsAreEscapedWhenRead() throws MalformedFileException {
    String hostile =
        ReportWriter.line(SampleReports.damaged("web"))
            .replace("\"objects\":", "\"\\u001b[2Jobjects\":")
            .replace("\"slabs\":", "\"sl\u009babs\":");
    DumpReport report = ReportReader.read("report", hostile);
    assertThat(report.toString()).contains("\\x1b[2Jobjects").doesNotContain("\u001b", "\u009b");
  }
}
