package org.vmcheck.report;

import java.util.ArrayList;
import java.util.List;
import org.vmcheck.archive.Comparison;
import org.vmcheck.archive.Comparison.FindingChange;
import org.vmcheck.finding.DumpReport;

/// A comparison as SARIF: each finding with its `baselineState`. What vanished is `absent` and
/// stands in the report of the base.
public final class ComparisonSarif {
  private ComparisonSarif() {}

  public static String render(Comparison comparison) {
    List<SarifReport.Result> results = new ArrayList<>();
    List<DumpReport> reports = new ArrayList<>(comparison.next().reports());
    for (FindingChange change : comparison.findings()) {
      SarifReport.Baseline baseline =
          switch (change.state()) {
            case NEW -> SarifReport.Baseline.NEW;
            case UNCHANGED -> SarifReport.Baseline.UNCHANGED;
            case VANISHED -> SarifReport.Baseline.ABSENT;
          };
      results.add(
          new SarifReport.Result(change.report(), change.finding(), baseline, change.accepted()));
    }
    return SarifReport.render(reports, List.of(), results);
  }
}
