package org.vmcheck.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.CacheUse;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Verdict;
import org.vmcheck.io.Cancellation;
import org.vmcheck.json.ReportReader;
import org.vmcheck.json.ReportWriter;
import org.vmcheck.testing.SampleReports;

/// A report is written within the deadline of what it is of, and says what it leaves out.
class InTimeTest {
  private static final int MANY = 3000;
  private static final String OVER = "left out of this report, which was ended by the deadline of";

  record Form(String name, Function<DumpReport, String> render) {
    @Override
    public String toString() {
      return name;
    }
  }

  static Stream<Form> forms() {
    return Stream.of(
        new Form("text", report -> TextReport.render(report, false, true)),
        new Form("json", ReportWriter::line),
        new Form("pretty json", ReportWriter::pretty),
        new Form("html", HtmlReport::render),
        new Form("sarif", report -> SarifReport.render(List.of(report))),
        new Form("junit", report -> JUnitReport.render(List.of(report))));
  }

  /// One with as many findings as asked for, the last of them the only one that is certain, and as
  /// many facts, notes and gaps.
  private static DumpReport large(int count) {
    DumpReport base = SampleReports.damaged("vmcore");
    CheckOutcome.Ran ran = (CheckOutcome.Ran) base.checks().getFirst();
    Finding one = ran.findings().getFirst();
    Evidence fact = new Evidence.WhatIf("nothing", "one of many facts");
    List<Finding> findings = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      boolean isLast = i == count - 1;
      findings.add(
          new Finding(
              one.check(),
              one.layer(),
              isLast ? Severity.CORRUPT : Severity.SUSPECT,
              one.cause(),
              isLast ? "the certain one" : "finding number " + i,
              one.subject(),
              i == 0 || isLast ? Collections.nCopies(count, fact) : List.of(fact),
              List.of(),
              one.fingerprint()));
    }
    List<String> gaps = Collections.nCopies(count, "a gap");
    List<Note> notes = Collections.nCopies(count, new Note("topic", "a note"));
    Coverage coverage = new Coverage(Map.of("slabs", 10L), Map.of(), gaps);
    return new DumpReport(
        base.tool(),
        base.dump(),
        base.kernel()
            .map(
                kernel ->
                    kernel.withContents(
                        Optional.of(Collections.nCopies(count, "ext4")),
                        Optional.of(
                            Collections.nCopies(count, new CacheUse("dentry", 192, 1, 2, true))))),
        Collections.nCopies(count, base.kernels().getFirst()),
        List.of(
            new CheckOutcome.Ran("slab.freelist", "broken", Map.of(), findings, notes, coverage),
            new CheckOutcome.NothingToLookAt("slab.poison", "none", Map.of(), notes, coverage),
            new CheckOutcome.Skipped("list.known", Collections.nCopies(count, "unmet"))),
        new Verdict.KernelDamaged("corrupt", Collections.nCopies(count, "a reason"), coverage),
        1,
        Optional.empty(),
        Optional.empty());
  }

  private static Cancellation expired() throws InterruptedException {
    Cancellation token = Cancellation.after(Optional.of(Duration.ofNanos(1)));
    while (!token.isOver()) {
      Thread.sleep(1);
    }
    return token;
  }

  @ParameterizedTest
  @MethodSource("forms")
  void withinItsTimeNothingIsLeftOut(Form form) {
    DumpReport report = large(MANY);
    Cancellation token = Cancellation.after(Optional.of(Duration.ofHours(1)));

    String text = token.run(() -> InTime.render(report, form.render()));

    assertThat(text).isEqualTo(form.render().apply(report)).doesNotContain(OVER);
    // Each finding is a step at least: so the deadline ends it in the middle too.
    assertThat(token.steps()).isGreaterThan(form.name().equals("html") ? 200 : MANY);
  }

  @ParameterizedTest
  @MethodSource("forms")
  void pastItsTimeItIsShortWhateverItHolds(Form form) throws Exception {
    Cancellation token = expired();

    String text = token.run(() -> InTime.render(large(MANY), form.render()));
    String larger = token.run(() -> InTime.render(large(2 * MANY), form.render()));

    assertThat(text.length()).isLessThan(200_000);
    assertThat(larger.length()).isCloseTo(text.length(), org.assertj.core.data.Offset.offset(500));
    assertThat(text)
        .contains(
            "2,950 more findings, 5,980 more facts of those shown, 2,950 more notes, 2,950 more"
                + " gaps left out of this report, which was ended by the deadline of 0 ms");
    // The weightiest is kept, wherever it stands.
    assertThat(text).contains("the certain one");
  }

  /// Much is written, and the time runs out while it is.
  @ParameterizedTest
  @MethodSource("forms")
  void timeThatRunsOutInTheMiddleEndsIt(Form form) {
    Cancellation token = Cancellation.after(Optional.of(Duration.ofHours(1)));
    int[] calls = {0};

    String text =
        token.run(
            () ->
                InTime.render(
                    large(MANY),
                    report -> {
                      if (calls[0]++ == 0) {
                        token.cancel();
                      }
                      return form.render().apply(report);
                    }));

    assertThat(calls[0]).isEqualTo(2);
    assertThat(text).contains("more findings", OVER).contains("the certain one");
  }

  @Test
  void shortenedReportSaysWhatItLeavesOut() throws Exception {
    DumpReport report = large(51).shortened("the deadline of 5 s");

    CheckOutcome.Ran ran = (CheckOutcome.Ran) report.checks().getFirst();
    assertThat(ran.findings()).hasSize(50);
    assertThat(ran.findings().getFirst().claim()).isEqualTo("the certain one");
    assertThat(ran.findings().getFirst().evidence()).hasSize(10);
    String left =
        "1 more findings, 82 more facts of those shown, 1 more notes, 1 more gaps left out of this"
            + " report, which was ended by the deadline of 5 s";
    assertThat(ran.notes()).hasSize(51);
    assertThat(ran.notes().getLast()).isEqualTo(new Note(Note.NOT_SHOWN, left));
    assertThat(ran.coverage().gaps()).hasSize(51).endsWith(left);
    CheckOutcome.NothingToLookAt nothing = (CheckOutcome.NothingToLookAt) report.checks().get(1);
    assertThat(nothing.notes()).hasSize(51);
    assertThat(nothing.notes().getLast().text()).startsWith("1 more notes, 1 more gaps left out");
    // No finding of it is missing: its coverage is what it was.
    assertThat(nothing.coverage().gaps()).hasSize(50).containsOnly("a gap");
    assertThat(report.kernels()).hasSize(50);
    assertThat(report.kernel().orElseThrow().modules().orElseThrow()).hasSize(50);
    assertThat(report.kernel().orElseThrow().caches().orElseThrow()).hasSize(50);
    assertThat(report.verdict()).isInstanceOf(Verdict.KernelDamaged.class);
    assertThat(report.verdict().reasons())
        .hasSize(55)
        .contains(
            "slab.freelist: " + left,
            "1 more modules left out of this report, which was ended by the deadline of 5 s");
    String line = ReportWriter.line(report);
    assertThat(ReportWriter.line(ReportReader.read("short", line))).isEqualTo(line);
  }

  @Test
  void whatIsShortAnywayStaysAsItIs() {
    for (DumpReport report :
        List.of(
            SampleReports.damaged(), SampleReports.intact("a"), SampleReports.undetermined("b"))) {
      assertThat(report.shortened("the deadline of 5 s")).isEqualTo(report);
    }
    assertThat(large(50).shortened("x").findings()).hasSize(50);
    assertThat(large(10).shortened("x")).isEqualTo(large(10));
  }
}
