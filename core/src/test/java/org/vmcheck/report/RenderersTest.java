package org.vmcheck.report;

import static org.assertj.core.api.Assertions.assertThat;

import com.networknt.schema.InputFormat;
import com.networknt.schema.Schema;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import java.io.InputStream;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import javax.xml.XMLConstants;
import javax.xml.transform.stream.StreamSource;
import javax.xml.validation.SchemaFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.PageMap;
import org.vmcheck.json.ReportReader;
import org.vmcheck.json.ReportWriter;
import org.vmcheck.testing.SampleReports;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// Every form of the report: fit for its readers, and nothing in it can act.
class RenderersTest {
  static List<DumpReport> reports() {
    return List.of(
        SampleReports.damaged(),
        SampleReports.damaged(SampleReports.HOSTILE),
        SampleReports.intact("a/b c%.vmcore"),
        SampleReports.undetermined("x"));
  }

  private static Schema sarifSchema() throws Exception {
    try (InputStream in =
        RenderersTest.class.getResourceAsStream("/schema/sarif-schema-2.1.0.json")) {
      return SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_7)
          .getSchema(new String(in.readAllBytes(), StandardCharsets.UTF_8));
    }
  }

  /// No form lets a dump's words act on a terminal, and each draws one dump and many.
  @ParameterizedTest
  @EnumSource(ReportForm.class)
  void everyFormDrawsWhateverADumpSays(ReportForm form) {
    for (DumpReport report : reports()) {
      for (ReportForm.Detail detail : ReportForm.Detail.values()) {
        for (boolean isAlone : new boolean[] {true, false}) {
          String text =
              form.render(
                  report,
                  new ReportForm.Wishes(detail, false, isAlone, List.of("a b"), Optional.empty()));
          assertThat(text).endsWith("\n");
          assertThat(text.chars().filter(c -> c < ' ' && c != '\n' && c != '\t')).isEmpty();
        }
      }
    }
    if (form.isOneDocument()) {
      assertThat(form.document(reports(), List.of(new Unopened("x\u001b[2J", "y"))))
          .doesNotContain("\u001b");
    }
  }

  @Test
  void sarifFitsItsSchema() throws Exception {
    String sarif = SarifReport.render(reports());

    assertThat(sarifSchema().validate(sarif, InputFormat.JSON)).isEmpty();
    JsonNode run = JsonMapper.shared().readTree(sarif).get("runs").get(0);
    assertThat(run.get("results").size()).isEqualTo(2);
    JsonNode result = run.get("results").get(0);
    assertThat(result.get("ruleId").asString()).isEqualTo("use-after-free-write");
    assertThat(result.get("level").asString()).isEqualTo("error");
    assertThat(result.at("/partialFingerprints/vmcheck~1v1").asString())
        .isEqualTo("slab.freelist/use-after-free-write/kmalloc-64");
    assertThat(result.at("/locations/0/physicalLocation/address/absoluteAddress").asLong())
        .isEqualTo(0x1040);
    assertThat(result.at("/locations/0/physicalLocation/artifactLocation/uri").asString())
        .isEqualTo("file:///var/crash/127.0.0.1-2026-11-22-10%3A00%3A00/vmcore");
    assertThat(run.at("/tool/driver/rules/0/id").asString()).isEqualTo("use-after-free-write");
    JsonNode notice = run.at("/invocations/0/toolExecutionNotifications/0");
    assertThat(notice.get("level").asString()).isEqualTo("note");
    assertThat(notice.at("/message/text").asString())
        .startsWith("slab.poison had nothing to look at: no debug cache: ");
  }

  /// A dump that could not be opened is part of what was asked: a CI system must see it.
  @Test
  void dumpsThatCouldNotBeOpenedAreErrors() throws Exception {
    List<Unopened> unopened = List.of(new Unopened("<bad>", "[bad] no known dump format"));
    String sarif = SarifReport.render(List.of(), unopened);
    String xml = JUnitReport.render(reports(), unopened);

    assertThat(sarifSchema().validate(sarif, InputFormat.JSON)).isEmpty();
    JsonNode invocation = JsonMapper.shared().readTree(sarif).at("/runs/0/invocations/0");
    assertThat(invocation.get("executionSuccessful").asBoolean()).isFalse();
    assertThat(invocation.at("/toolExecutionNotifications/0/message/text").asString())
        .isEqualTo("[bad] no known dump format");
    validateJUnit(xml);
    assertThat(xml)
        .contains("<testsuite name=\"&lt;bad&gt;\" tests=\"1\" failures=\"0\" errors=\"1\"")
        .contains("<error message=\"[bad] no known dump format\" type=\"unreadable\">");
  }

  @Test
  void sarifOfAComparisonFitsItsSchema() throws Exception {
    DumpReport report = SampleReports.damaged();
    List<SarifReport.Result> results = new ArrayList<>();
    for (SarifReport.Baseline baseline : SarifReport.Baseline.values()) {
      results.add(
          new SarifReport.Result(report, report.findings().getFirst(), baseline, "known, CASE-1"));
    }

    String sarif = SarifReport.render(List.of(report), List.of(), results);

    assertThat(sarifSchema().validate(sarif, InputFormat.JSON)).isEmpty();
    assertThat(sarif).contains("\"baselineState\" : \"unchanged\"", "\"justification\"");
  }

  @Test
  void sarifSchemaRefusesWhatIsNotSarif() throws Exception {
    String sarif = SarifReport.render(reports()).replace("\"ruleIndex\" : 0", "\"ruleIndex\" : -7");

    assertThat(sarifSchema().validate(sarif, InputFormat.JSON)).isNotEmpty();
  }

  @Test
  void junitFitsItsSchema() throws Exception {
    String xml = JUnitReport.render(reports());

    validateJUnit(xml);
    assertThat(xml)
        .contains("tests=\"5\" failures=\"2\" errors=\"1\" skipped=\"2\"")
        .contains("<failure message=\"a free object of cache =cmd|&#39;/c calc")
        .contains("<testcase classname=\"a/b c%.vmcore\" name=\"verdict\"/>")
        .contains("<skipped message=\"no kernel\"/>")
        .contains("name=\"slab.poison\"><skipped message=\"nothing to look at: no debug cache: =");
  }

  @Test
  void checkThatHadNothingToLookAtIsToldFromOneThatPassedOrWasSkipped() {
    DumpReport report = SampleReports.damaged();

    assertThat(TextReport.render(report, false, false).lines())
        .anyMatch(line -> line.matches("  slab.poison +nothing to look at: no debug cache: .*"))
        .anyMatch(line -> line.matches("  lowmem.backup +skipped: .*"));
    assertThat(HtmlReport.render(report)).contains(">nothing to look at: no debug cache: =cmd");
    assertThat(ReportWriter.line(report))
        .contains("\"id\":\"slab.poison\",\"status\":\"nothing\",\"why\":\"no debug cache: =");
  }

  @Test
  void coverageIsToldByDomain() {
    DumpReport report = SampleReports.damaged();

    assertThat(report.coverageByDomain().keySet())
        .containsExactly("slab allocator", "low memory", "kernel log");
    assertThat(TextReport.render(report, false, false))
        .contains(
            "looked at  slab allocator: 10 caches, 1,000 objects, 10 slabs\n"
                + "not read   excluded: 2");
    assertThat(HtmlReport.render(report)).contains(">slab allocator: objects</th><td>1,000<");
    assertThat(TextReport.render(SampleReports.undetermined("x"), false, false))
        .contains("looked at  nothing\n");
  }

  private static void validateJUnit(String xml) throws Exception {
    SchemaFactory.newInstance(XMLConstants.W3C_XML_SCHEMA_NS_URI)
        .newSchema(RenderersTest.class.getResource("/junit.xsd"))
        .newValidator()
        .validate(new StreamSource(new StringReader(xml)));
  }

  @Test
  void csvHasARowAFindingAndNoFormulas() {
    String csv = CsvReport.render(reports());

    assertThat(csv.lines()).hasSize(5);
    assertThat(csv).endsWith("\r\n").contains("\r\na/b c%.vmcore,intact,,,");
    assertThat(csv.lines().toList().get(2)).startsWith("\"'=cmd|");
    for (String line : csv.lines().toList()) {
      assertThat(cells(line)).as(line).hasSize(15).noneMatch(cell -> cell.matches("[=+\\-@].*"));
    }
  }

  /// Splits one record as RFC 4180 says.
  private static List<String> cells(String line) {
    List<String> cells = new ArrayList<>();
    StringBuilder cell = new StringBuilder();
    boolean quoted = false;
    for (int i = 0; i < line.length(); i++) {
      char c = line.charAt(i);
      if (c == '"') {
        quoted = !quoted;
      } else if (c == ',' && !quoted) {
        cells.add(cell.toString());
        cell.setLength(0);
      } else {
        cell.append(c);
      }
    }
    cells.add(cell.toString());
    return cells;
  }

  @ParameterizedTest
  @MethodSource("reports")
  void htmlIsOneOfflinePageWithoutScripts(DumpReport report) {
    String html = HtmlReport.render(report);

    assertThat(html)
        .startsWith("<!DOCTYPE html>")
        .endsWith("</html>\n")
        .contains("default-src 'none'")
        .contains(">" + report.verdict().kind() + "</span>")
        .doesNotContain("<script", "<img", "http://", "https://", "onerror=alert(1)>", "\u001b");
    assertThat(html.chars().allMatch(c -> c == '\n' || (c >= 0x20 && c < 0x7f))).isTrue();
    assertTagsBalance(html);
  }

  private static void assertTagsBalance(String html) {
    List<String> open = new ArrayList<>();
    var tags = Pattern.compile("<(/?)([a-z0-9]+)([^>]*)>").matcher(html);
    while (tags.find()) {
      String tag = tags.group(2);
      if (tag.equals("meta") || tags.group(3).endsWith("/")) {
        continue;
      }
      if (tags.group(1).isEmpty()) {
        open.add(tag);
      } else {
        assertThat(open.removeLast()).isEqualTo(tag);
      }
    }
    assertThat(open).isEmpty();
  }

  @ParameterizedTest
  @MethodSource("reports")
  void aReportThatWasReadBackRendersTheSame(DumpReport report) throws Exception {
    DumpReport read = ReportReader.read("r", ReportWriter.line(report));

    assertThat(HtmlReport.render(read)).isEqualTo(HtmlReport.render(report));
    assertThat(SarifReport.render(List.of(read))).isEqualTo(SarifReport.render(List.of(report)));
    assertThat(JUnitReport.render(List.of(read))).isEqualTo(JUnitReport.render(List.of(report)));
    assertThat(CsvReport.render(List.of(read))).isEqualTo(CsvReport.render(List.of(report)));
    assertThat(TextReport.render(read, false, true))
        .isEqualTo(TextReport.render(report, false, true));
  }

  /// Each check has a sign, a colour and a word, and what needs a look stands first.
  @Test
  void htmlShowsTheChecksThatFailedFirst() {
    String html = HtmlReport.render(SampleReports.damaged());
    assertThat(html)
        .contains("<td class=\"status kernel-damaged\"><span class=\"word\">&#10007; damage</span>")
        .contains("<td class=\"status unreadable\"><span class=\"word\">! bug</span>")
        .contains("<td class=\"status none\"><span class=\"word\">&#8211; nothing</span>");
    List<String> order = List.of("damage</span>", "bug</span>", "skipped</span>", "nothing</span>");
    assertThat(order.stream().map(html::indexOf).toList()).doesNotContain(-1).isSorted();
    assertThat(HtmlReport.render(SampleReports.intact("x"))).contains("&#10003; fine</span>");
  }

  /// Each link of the contents leads somewhere in the page.
  @Test
  void theContentsLeadToWhatThereIs() {
    for (DumpReport report :
        List.of(
            SampleReports.damaged(), SampleReports.intact("x"), SampleReports.undetermined("y"))) {
      String html = HtmlReport.render(report);
      var links = Pattern.compile("href=\"#([a-z-]+)\"").matcher(html);
      int count = 0;
      while (links.find()) {
        count++;
        assertThat(html).contains("id=\"" + links.group(1) + "\"");
      }
      assertThat(count).isGreaterThan(2);
    }
  }

  /// Half a page of empty cells says nothing: a sentence does.
  @Test
  void anEmptyPictureOfMemoryIsASentence() {
    PageMap.Cell absent =
        new PageMap.Cell(
            0, "excluded", PageMap.Use.RESERVED, "reserved", PageMap.Looks.NOT_STORED, List.of());
    PageMap.Cell there =
        new PageMap.Cell(1, "stored", PageMap.Use.SLAB, "slab", PageMap.Looks.TEXT, List.of());
    String empty =
        HtmlReport.render(
            SampleReports.intact("x"), Optional.of(new PageMap(0, 1, 4096, List.of(absent))));
    String drawn =
        HtmlReport.render(
            SampleReports.intact("x"),
            Optional.of(new PageMap(0, 1, 4096, List.of(absent, there))));

    assertThat(empty).contains("No page of the low 1 MiB is in the dump").doesNotContain("<svg");
    // The legend has what occurs, and no more.
    assertThat(drawn).contains("<svg", ">slab: 1<", ">text<").doesNotContain(">page table: ");
  }
}
