package org.vmcheck.report;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.Printable;

/// Findings as CSV (RFC 4180): a header, then a row a finding; a dump without findings has one row
/// with its verdict.
public final class CsvReport {
  private static final List<String> HEADER =
      List.of(
          "dump",
          "verdict",
          "check",
          "cause",
          "layer",
          "severity",
          "cache",
          "slab",
          "object",
          "address",
          "physical",
          "raw",
          "decoded",
          "claim",
          "fingerprint");

  private CsvReport() {}

  public static String render(List<DumpReport> reports) {
    StringBuilder out = new StringBuilder(row(HEADER));
    for (DumpReport report : reports) {
      List<String> start = List.of(report.dump().path(), report.verdict().kind());
      if (report.findings().isEmpty()) {
        List<String> cells = new ArrayList<>(start);
        while (cells.size() < HEADER.size()) {
          cells.add("");
        }
        out.append(row(cells));
      }
      for (Finding finding : report.findings()) {
        List<String> cells = new ArrayList<>(start);
        Subject subject = finding.subject();
        cells.addAll(
            List.of(
                finding.check(),
                finding.cause().id(),
                finding.layer().name(),
                finding.severity().name(),
                subject.cache(),
                hex(subject.slab()),
                hex(subject.object()),
                hex(subject.address()),
                hex(subject.physical()),
                hex(subject.raw()),
                hex(subject.decoded()),
                finding.claim(),
                finding.fingerprint()));
        out.append(row(cells));
      }
    }
    return out.toString();
  }

  /// One record with its line end; every cell escaped and neutralised.
  public static String row(List<String> cells) {
    return cells.stream()
        .map(cell -> Csv.cell(Printable.of(cell)))
        .collect(Collectors.joining(",", "", "\r\n"));
  }

  private static String hex(long value) {
    return value == Evidence.UNKNOWN ? "" : "0x" + Long.toHexString(value);
  }
}
