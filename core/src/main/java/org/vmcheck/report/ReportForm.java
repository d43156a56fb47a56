package org.vmcheck.report;

import java.util.List;
import java.util.Optional;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.PageMap;
import org.vmcheck.json.ReportWriter;

/// The list of forms in which a report is drawn: adding one takes its file, a line here and the
/// lines of the switches without which this does not compile.
///
/// An enum, so that no renderer's class is loaded but the one that is asked for.
public enum ReportForm {
  TEXT,
  JSON,
  HTML,
  SARIF,
  JUNIT;

  /// How much is drawn, and for whom.
  public enum Detail {
    /// The verdict's line only.
    QUIET,
    NORMAL,
    VERBOSE
  }

  /// What a report's reader wants.
  ///
  /// @param colour whether a terminal shows it
  /// @param isAlone whether the report is the only one that is written
  /// @param given the words of the command line that name the dump and how to read it, for the
  ///   commands that the report proposes
  /// @param map the picture of low memory; empty if there is none
  public record Wishes(
      Detail detail, boolean colour, boolean isAlone, List<String> given, Optional<PageMap> map) {
    public Wishes {
      given = List.copyOf(given);
    }
  }

  /// Whether all dumps stand in one document, which is written at the end.
  public boolean isOneDocument() {
    return switch (this) {
      case SARIF, JUNIT -> true;
      case TEXT, JSON, HTML -> false;
    };
  }

  /// The report of one dump.
  public String render(DumpReport report, Wishes wishes) {
    return switch (this) {
      case TEXT ->
          wishes.detail == Detail.QUIET
              ? TextReport.verdictLine(report, wishes.colour)
              : TextReport.render(
                      report, wishes.colour, wishes.detail == Detail.VERBOSE, wishes.given)
                  + (wishes.isAlone ? "" : "\n");
      case JSON -> wishes.isAlone ? ReportWriter.pretty(report) : ReportWriter.line(report) + "\n";
      case HTML -> HtmlReport.render(report, wishes.map, wishes.given);
      case SARIF, JUNIT -> document(List.of(report), List.of());
    };
  }

  /// The document of several dumps.
  ///
  /// @param unopened files that could not be read as dumps
  public String document(List<DumpReport> reports, List<Unopened> unopened) {
    return switch (this) {
      case SARIF -> SarifReport.render(reports, unopened);
      case JUNIT -> JUnitReport.render(reports, unopened);
      case TEXT, JSON, HTML -> throw new IllegalStateException(this + ": one dump a report");
    };
  }
}
