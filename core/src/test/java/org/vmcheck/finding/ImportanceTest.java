package org.vmcheck.finding;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.vmcheck.json.ReportWriter;
import org.vmcheck.testing.SampleReports;

/// The order in which findings are shown.
class ImportanceTest {
  private static Finding finding(Severity severity, Cause cause, String claim) {
    return new Finding(
        "c",
        Layer.KERNEL,
        severity,
        cause,
        claim,
        Subject.NONE,
        List.of(new Evidence.CountMismatch("x", 1, 2, "x")),
        List.of(),
        claim);
  }

  private static DumpReport report(List<Finding> first, List<Finding> second) {
    DumpReport sample = SampleReports.intact("x");
    return new DumpReport(
        sample.tool(),
        sample.dump(),
        sample.kernel(),
        List.of(
            new CheckOutcome.Ran("a", "", Map.of(), first, List.of(), Coverage.NONE),
            new CheckOutcome.Ran("b", "", Map.of(), second, List.of(), Coverage.NONE)),
        sample.verdict(),
        1);
  }

  @Test
  void severityThenTheKernelThenTheCause() {
    List<Finding> expected =
        List.of(
            finding(Severity.CORRUPT, Cause.BIT_FLIP, "1"),
            finding(Severity.CORRUPT, Cause.USE_AFTER_FREE_WRITE, "2"),
            finding(Severity.CORRUPT, Cause.COUNTER_MISMATCH, "3"),
            finding(Severity.CORRUPT, Cause.UNKNOWN, "4"),
            finding(Severity.CORRUPT, Cause.DUMP_TRUNCATED, "5"),
            finding(Severity.CORRUPT, Cause.PAGE_EXCLUDED, "6"),
            finding(Severity.SUSPECT, Cause.BIT_FLIP, "7"),
            finding(Severity.SUSPECT, Cause.ERASED_BY_FILTER, "8"));
    for (int seed = 0; seed < 20; seed++) {
      List<Finding> mixed = new ArrayList<>(expected);
      Collections.shuffle(mixed, new Random(seed));

      assertThat(report(mixed.subList(0, 3), mixed.subList(3, 8)).findings()).isEqualTo(expected);
    }
  }

  @Test
  void equalOnesKeepTheOrderOfTheChecks() {
    List<Finding> first =
        List.of(
            finding(Severity.CORRUPT, Cause.BIT_FLIP, "z"),
            finding(Severity.CORRUPT, Cause.BIT_FLIP, "a"));
    List<Finding> second = List.of(finding(Severity.CORRUPT, Cause.BIT_FLIP, "m"));

    assertThat(report(first, second).findings())
        .extracting(Finding::claim)
        .containsExactly("z", "a", "m");
  }

  @Test
  void theJsonReportKeepsEachCheckAsItIs() throws Exception {
    String json =
        ReportWriter.line(
            report(
                List.of(finding(Severity.CORRUPT, Cause.UNKNOWN, "claim-one")),
                List.of(finding(Severity.CORRUPT, Cause.PAGE_WIPED, "claim-two"))));

    assertThat(json.indexOf("claim-one")).isLessThan(json.indexOf("claim-two"));
  }
}
