package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.vmcheck.check.Check;
import org.vmcheck.check.CheckContext;
import org.vmcheck.check.Checks;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Verdict;
import org.vmcheck.json.ReportReader;
import org.vmcheck.json.ReportWriter;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.testing.TestData;

/// Checks that go through much memory run where that is cheap, and say so where they do not.
class DeepChecksTest {
  private static final List<String> DEEP =
      List.of("memory.tables", "slab.objects", "task.stacks", "list.known", "image.text");

  private static DumpReport report(AnalysisOptions options) throws Exception {
    try (Analyzer analyzer = Analyzer.open(TestData.named("healthy").dump(), options)) {
      return analyzer.check("vmcheck test");
    }
  }

  private static List<String> declined(DumpReport report) {
    return report.checks().stream()
        .filter(CheckOutcome.Declined.class::isInstance)
        .map(CheckOutcome::id)
        .toList();
  }

  @Test
  void ofASmallDumpAllRun() throws Exception {
    DumpReport report = report(AnalysisOptions.DEFAULT);
    assertThat(declined(report)).isEmpty();
    assertThat(report.bytesHeld().keySet())
        .contains("memory.tables", "slab.freelist", "slab.objects", "task.stacks", "list.known");
  }

  @Test
  void whereNobodyWantsThemTheVerdictSaysThatTheyDidNotRun() throws Exception {
    DumpReport report = report(AnalysisOptions.DEFAULT.withDeep(AnalysisOptions.Deep.NEVER));
    assertThat(declined(report)).containsAll(DEEP);
    assertThat(report.verdict()).isInstanceOf(Verdict.Intact.class);
    assertThat(report.verdict().summary()).contains("declined: memory.tables, slab.objects");
    assertThat(declined(ReportReader.read("report", ReportWriter.line(report))))
        .isEqualTo(declined(report));
  }

  @Test
  void whatIsAskedForByItsIdRuns() throws Exception {
    AnalysisOptions never = AnalysisOptions.DEFAULT.withDeep(AnalysisOptions.Deep.NEVER);
    DumpReport report =
        report(
            new AnalysisOptions(
                List.of("slab.objects"),
                false,
                never.deadline(),
                1,
                never.debug(),
                never.spool(),
                never.reading(),
                never.deep()));
    assertThat(report.checks()).singleElement().isInstanceOf(CheckOutcome.Ran.class);
  }

  @Test
  void eachSaysWhatItCostsAndTheOthersAlwaysRun() throws Exception {
    try (Dump dump = Dumps.open(TestData.named("healthy").dump())) {
      CheckContext context = new CheckContext(dump, KernelFinder.find(dump), 1, false, () -> false);
      for (Check check : Checks.all()) {
        if (DEEP.contains(check.id())) {
          assertThat(check.seconds(context).orElseThrow()).isBetween(0.0, 2.0);
        } else if (!check.id().startsWith("page.")) {
          assertThat(check.seconds(context)).as(check.id()).isEmpty();
        }
      }
    }
  }
}
