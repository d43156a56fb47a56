package org.vmcheck.finding;

import java.util.ArrayList;
import java.util.List;

/// A report cut to what is written at once, for when the time is over: of each check the most
/// important findings, of each of them the strongest evidence. What is left out is counted, in a
/// note, in the check's coverage (so that nobody who compares takes it for gone) and among the
/// verdict's reasons.
final class ShortReport {
  /// Findings, notes and gaps that stay of each check, and kernels, modules and caches of a report.
  static final int MOST = 50;

  /// Facts that stay of each finding, for and against it.
  static final int MOST_FACTS = 10;

  private final String why;
  private final List<String> reasons = new ArrayList<>();

  private ShortReport(String why) {
    this.why = why;
  }

  static DumpReport of(DumpReport report, String why) {
    ShortReport cut = new ShortReport(why);
    List<CheckOutcome> checks = report.checks().stream().map(cut::outcome).toList();
    return new DumpReport(
        report.tool(),
        report.dump(),
        report.kernel().map(cut::kernel),
        cut.most("kernels", report.kernels()),
        checks,
        cut.verdict(report.verdict()),
        report.seconds(),
        report.state(),
        report.origin());
  }

  private KernelFacts kernel(KernelFacts kernel) {
    return kernel.withContents(
        kernel.modules().map(all -> most("modules", all)),
        kernel.caches().map(all -> most("caches", all)));
  }

  private <T> List<T> most(String what, List<T> all) {
    if (all.size() > MOST) {
      reasons.add(said("%,d more %s".formatted(all.size() - MOST, what)));
    }
    return first(all, MOST);
  }

  private static <T> List<T> first(List<T> all, int most) {
    return all.subList(0, Math.min(most, all.size()));
  }

  private String said(String what) {
    return what + " left out of this report, which was ended by " + why;
  }

  private CheckOutcome outcome(CheckOutcome outcome) {
    return switch (outcome) {
      case CheckOutcome.Ran ran -> ran(ran);
      case CheckOutcome.NothingToLookAt nothing -> {
        List<String> left = left(0, 0, nothing.notes(), nothing.coverage());
        yield new CheckOutcome.NothingToLookAt(
            nothing.id(),
            nothing.why(),
            nothing.facts(),
            notes(nothing.id(), nothing.notes(), left),
            coverage(nothing.coverage(), List.of()));
      }
      case CheckOutcome.Skipped(String id, List<String> unmet) ->
          new CheckOutcome.Skipped(id, first(unmet, MOST));
      case CheckOutcome.Declined declined -> declined;
      case CheckOutcome.Failed failed -> failed;
    };
  }

  private CheckOutcome ran(CheckOutcome.Ran ran) {
    int count = ran.findings().size();
    List<Finding> whole =
        count <= MOST
            ? ran.findings()
            : ran.findings().stream().sorted(Finding.BY_IMPORTANCE).limit(MOST).toList();
    List<Finding> findings = whole.stream().map(ShortReport::finding).toList();
    List<String> left =
        left(count - MOST, facts(whole) - facts(findings), ran.notes(), ran.coverage());
    return new CheckOutcome.Ran(
        ran.id(),
        ran.answer(),
        ran.facts(),
        findings,
        notes(ran.id(), ran.notes(), left),
        coverage(ran.coverage(), count > MOST ? left : List.of()));
  }

  private static Finding finding(Finding finding) {
    return finding
        .withEvidence(first(finding.evidence(), MOST_FACTS))
        .withAgainst(first(finding.against(), MOST_FACTS));
  }

  /// What is left out of a check, in words; empty if nothing is.
  private List<String> left(int findings, int facts, List<Note> notes, Coverage coverage) {
    List<String> left = new ArrayList<>();
    add(left, "findings", findings);
    add(left, "facts of those shown", facts);
    add(left, "notes", notes.size() - MOST);
    add(left, "gaps", coverage.gaps().size() - MOST);
    return left.isEmpty() ? left : List.of(said(String.join(", ", left)));
  }

  private static int facts(List<Finding> findings) {
    return findings.stream().mapToInt(f -> f.evidence().size() + f.against().size()).sum();
  }

  private static void add(List<String> left, String what, int count) {
    if (count > 0) {
      left.add("%,d more %s".formatted(count, what));
    }
  }

  private List<Note> notes(String id, List<Note> notes, List<String> left) {
    List<Note> kept = new ArrayList<>(first(notes, MOST));
    for (String words : left) {
      kept.add(new Note(Note.NOT_SHOWN, words));
      reasons.add(id + ": " + words);
    }
    return kept;
  }

  private static Coverage coverage(Coverage coverage, List<String> more) {
    List<String> gaps = new ArrayList<>(first(coverage.gaps(), MOST));
    gaps.addAll(more);
    return new Coverage(coverage.lookedAt(), coverage.notRead(), gaps);
  }

  private Verdict verdict(Verdict verdict) {
    List<String> all = new ArrayList<>(first(verdict.reasons(), MOST));
    all.addAll(reasons);
    Coverage coverage = coverage(verdict.coverage(), List.of());
    return switch (verdict) {
      case Verdict.Intact v -> new Verdict.Intact(v.summary(), all, coverage);
      case Verdict.KernelDamaged v -> new Verdict.KernelDamaged(v.summary(), all, coverage);
      case Verdict.DumpDamaged v -> new Verdict.DumpDamaged(v.summary(), all, coverage);
      case Verdict.Undetermined v -> new Verdict.Undetermined(v.summary(), all, coverage);
    };
  }
}
