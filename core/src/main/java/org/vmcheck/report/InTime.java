package org.vmcheck.report;

import java.util.List;
import java.util.function.Function;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.CancelledException;

/// Renders within the time of the work that the report is of. Where the deadline has passed, or
/// passes while much is written, the report is cut ([DumpReport#shortened]) and says so.
public final class InTime {
  private InTime() {}

  /// @param form a renderer, which calls [Cancellation#check] once for each finding
  public static String render(DumpReport report, Function<DumpReport, String> form) {
    return render(List.of(report), all -> form.apply(all.getFirst()));
  }

  /// One document of several reports.
  ///
  /// @param form a renderer, which calls [Cancellation#check] once for each finding
  public static String render(List<DumpReport> reports, Function<List<DumpReport>, String> form) {
    Cancellation token = Cancellation.current();
    if (!token.isOver()) {
      try {
        return form.apply(reports);
      } catch (CancelledException _) {
        // Begun anew with less.
      }
    }
    List<DumpReport> cut = reports.stream().map(report -> report.shortened(token.words())).toList();
    return Cancellation.NEVER.run(() -> form.apply(cut));
  }
}
