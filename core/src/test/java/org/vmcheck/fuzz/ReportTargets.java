package org.vmcheck.fuzz;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.List;
import java.util.stream.Stream;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.json.ReportReader;
import org.vmcheck.json.ReportWriter;
import org.vmcheck.report.CsvReport;
import org.vmcheck.report.HtmlReport;
import org.vmcheck.report.JUnitReport;
import org.vmcheck.report.SarifReport;
import org.vmcheck.report.TextReport;
import org.vmcheck.testing.SampleReports;

/// Reports that anyone may have edited, and every form that is made of them.
final class ReportTargets {
  private ReportTargets() {}

  static List<Target> all() {
    return List.of(
        new Target("report-json", ReportTargets::seeds, ReportTargets::readBack),
        new Target("renderers", ReportTargets::seeds, ReportTargets::render));
  }

  private static List<byte[]> seeds() {
    return Stream.of(
            SampleReports.damaged(SampleReports.HOSTILE),
            SampleReports.intact("healthy"),
            SampleReports.undetermined("unknown"))
        .map(report -> ReportWriter.line(report).getBytes(UTF_8))
        .toList();
  }

  /// What is understood is written and read back the same.
  private static void readBack(byte[] input) throws MalformedFileException {
    String line = ReportWriter.line(ReportReader.read("report", new String(input, UTF_8)));
    String again;
    try {
      again = ReportWriter.line(ReportReader.read("report", line));
    } catch (MalformedFileException own) {
      throw new IllegalStateException("what was written is not read: " + own.getMessage(), own);
    }
    if (!again.equals(line)) {
      throw new IllegalStateException("read back as another: " + again);
    }
  }

  private static void render(byte[] input) throws MalformedFileException {
    DumpReport report = ReportReader.read("report", new String(input, UTF_8));
    List<DumpReport> reports = List.of(report);
    String text = TextReport.render(report, false, true);
    // A dump's text must not move the cursor or ring the bell.
    for (int at = 0; at < text.length(); at++) {
      char c = text.charAt(at);
      if ((c < ' ' && c != '\n') || (c >= 0x7f && c < 0xa0)) {
        int start = Math.max(0, at - 40);
        throw new IllegalStateException(
            "a control character in the text after \"" + text.substring(start, at) + '"');
      }
    }
    if (HtmlReport.render(report).contains("<script>alert")) {
      throw new IllegalStateException("a script of the dump's own in the HTML");
    }
    JUnitReport.render(reports);
    SarifReport.render(reports);
    CsvReport.render(reports);
  }
}
