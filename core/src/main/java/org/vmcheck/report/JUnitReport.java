package org.vmcheck.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Verdict;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.Printable;

/// JUnit XML as CI systems read it: a suite a dump, a case a check, and one for the verdict. A
/// finding is a failure, a check that could not run, or had nothing to look at, is skipped with its
/// reason, a check that broke is an error.
public final class JUnitReport {
  /// A test case: what became of it is at most one of the three.
  ///
  /// @param kind `failure`, `error`, `skipped`, or empty if it passed
  /// @param type of the failure: a cause
  public record Case(
      String suite, String name, String kind, String type, String message, String text) {
    public static Case passed(String suite, String name) {
      return new Case(suite, name, "", "", "", "");
    }

    public static Case failure(
        String suite, String name, String type, String message, String text) {
      return new Case(suite, name, "failure", type, message, text);
    }

    public static Case skipped(String suite, String name, String message) {
      return new Case(suite, name, "skipped", "", message, "");
    }

    public static Case error(String suite, String name, String message) {
      return new Case(suite, name, "error", "bug", message, "");
    }
  }

  /// Cases under one name.
  public record Suite(String name, double seconds, List<Case> cases) {
    public Suite {
      cases = List.copyOf(cases);
    }
  }

  private JUnitReport() {}

  public static String render(List<DumpReport> reports) {
    return render(reports, List.of());
  }

  /// @param unopened dumps without a report: each an error of its own suite
  public static String render(List<DumpReport> reports, List<Unopened> unopened) {
    return xml(
        Stream.concat(
                reports.stream().map(JUnitReport::suite), unopened.stream().map(JUnitReport::suite))
            .toList());
  }

  private static Suite suite(Unopened dump) {
    return new Suite(
        dump.dump(),
        0,
        List.of(new Case(dump.dump(), "open", "error", "unreadable", dump.reason(), "")));
  }

  private static Suite suite(DumpReport report) {
    String name = report.dump().path();
    List<Case> cases = new ArrayList<>();
    String summary = report.verdict().kind() + ": " + report.verdict().summary();
    String reasons =
        report.verdict().reasons().stream().map(Printable::of).collect(Collectors.joining("\n"));
    cases.add(
        switch (report.verdict()) {
          case Verdict.Intact _ -> Case.passed(name, "verdict");
          case Verdict.KernelDamaged damaged ->
              Case.failure(name, "verdict", damaged.kind(), summary, reasons);
          case Verdict.DumpDamaged damaged ->
              Case.failure(name, "verdict", damaged.kind(), summary, reasons);
          case Verdict.Undetermined _ -> Case.skipped(name, "verdict", summary);
        });
    for (CheckOutcome outcome : report.checks()) {
      cases.add(
          switch (outcome) {
            case CheckOutcome.Ran ran when ran.findings().isEmpty() -> Case.passed(name, ran.id());
            case CheckOutcome.Ran ran -> failure(name, ran);
            case CheckOutcome.NothingToLookAt nothing ->
                Case.skipped(name, nothing.id(), "nothing to look at: " + nothing.why());
            case CheckOutcome.Skipped skipped ->
                Case.skipped(name, skipped.id(), String.join("; ", skipped.unmet()));
            case CheckOutcome.Declined declined ->
                Case.skipped(name, declined.id(), "declined: " + declined.why());
            case CheckOutcome.Failed failed -> Case.error(name, failed.id(), failed.reason());
          });
    }
    return new Suite(name, report.seconds(), cases);
  }

  private static Case failure(String suite, CheckOutcome.Ran ran) {
    StringBuilder text = new StringBuilder();
    for (Finding finding : ran.findings()) {
      Cancellation.check();
      text.append(finding.cause().id())
          .append(": ")
          .append(Printable.of(finding.claim()))
          .append('\n');
      for (Evidence evidence : finding.evidence()) {
        text.append("  + ").append(Printable.of(evidence.sentence())).append('\n');
      }
      for (Evidence evidence : finding.against()) {
        text.append("  - ").append(Printable.of(evidence.sentence())).append('\n');
      }
    }
    for (Note note : ran.notes()) {
      if (note.topic().equals(Note.NOT_SHOWN)) {
        text.append(Printable.of(note.text())).append('\n');
      }
    }
    return Case.failure(
        suite,
        ran.id(),
        ran.findings().getFirst().cause().id(),
        ran.findings().getFirst().claim(),
        text.toString());
  }

  /// Any suites as XML.
  public static String xml(List<Suite> suites) {
    Markup out = new Markup();
    out.raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (Suite suite : suites) {
      out.open(
          "testsuite",
          "name",
          suite.name(),
          "tests",
          "" + suite.cases().size(),
          "failures",
          count(suite, "failure"),
          "errors",
          count(suite, "error"),
          "skipped",
          count(suite, "skipped"),
          "time",
          String.format(Locale.ROOT, "%.3f", suite.seconds()));
      out.newline();
      suite.cases().forEach(test -> test(out, test));
      out.raw("</testsuite>\n");
    }
    return out.raw("</testsuites>\n").toString();
  }

  private static String count(Suite suite, String kind) {
    return "" + suite.cases().stream().filter(test -> test.kind().equals(kind)).count();
  }

  private static void test(Markup out, Case test) {
    String[] names = {"classname", test.suite(), "name", test.name()};
    if (test.kind().isEmpty()) {
      out.empty("testcase", names).newline();
      return;
    }
    out.open("testcase", names);
    if (test.kind().equals("skipped")) {
      out.empty("skipped", "message", test.message());
    } else {
      out.open(test.kind(), "message", test.message(), "type", test.type());
      test.text().lines().forEach(line -> out.text(line).newline());
      out.close(test.kind());
    }
    out.close("testcase").newline();
  }
}
