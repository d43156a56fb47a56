package org.vmcheck.report;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.vmcheck.archive.Comparison;
import org.vmcheck.archive.Comparison.CheckChange;
import org.vmcheck.archive.Comparison.Regression;
import org.vmcheck.archive.Policy;

/// A comparison as JUnit XML: a case for every rule of the policy that can make a regression, and
/// one for every check.
public final class ComparisonJUnit {
  private ComparisonJUnit() {}

  public static String render(Comparison comparison) {
    String suite = comparison.base().words() + " -> " + comparison.next().words();
    List<JUnitReport.Case> cases = new ArrayList<>();
    for (Policy.Rule rule : Policy.Rule.values()) {
      List<Regression> reasons =
          comparison.regressions().stream().filter(reason -> reason.rule() == rule).toList();
      cases.add(
          reasons.isEmpty()
              ? JUnitReport.Case.passed(suite, rule.word())
              : JUnitReport.Case.failure(
                  suite,
                  rule.word(),
                  rule.word(),
                  reasons.getFirst().sentence(),
                  reasons.stream().map(Regression::sentence).collect(Collectors.joining("\n"))));
    }
    for (CheckChange check : comparison.checks()) {
      cases.add(
          switch (check.next()) {
            case PASSED, FOUND -> JUnitReport.Case.passed(suite, check.id());
            case NOTHING ->
                JUnitReport.Case.skipped(
                    suite, check.id(), "nothing to look at: " + check.nextWords());
            case SKIPPED, ABSENT -> JUnitReport.Case.skipped(suite, check.id(), check.nextWords());
            case FAILED -> JUnitReport.Case.error(suite, check.id(), check.nextWords());
          });
    }
    return JUnitReport.xml(List.of(new JUnitReport.Suite(suite, 0, cases)));
  }
}
