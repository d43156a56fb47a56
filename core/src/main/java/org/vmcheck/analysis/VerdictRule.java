package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Fate;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Verdict;

/// The only place that judges: from the outcomes of all checks to one of four answers. A verdict
/// says no more than was looked at.
///
/// The worst that holds: real corruption on sound pages; else artefacts of the dump; else not
/// enough to say; else intact. A verdict that blames the dump says what of the kernel was examined,
/// and acquits it only if that was all, or all that the dump's faults left ([Examination]).
public final class VerdictRule {
  /// What these checks look at is in every kernel, so that a dump in which there is nothing of it
  /// was not looked at.
  private static final Set<String> ALWAYS_THERE =
      Set.of("memory.translation", "slab.freelist", "slab.lists");

  private VerdictRule() {}

  /// @param outcomes of every check that was asked to run
  /// @param kernelProblems why no kernel, or not all of it, could be read; empty if it could
  /// @param partial whether the user restricted the checks
  public static Verdict judge(
      List<CheckOutcome> outcomes, List<String> kernelProblems, boolean partial) {
    List<Finding> real = new ArrayList<>();
    List<Finding> artefacts = new ArrayList<>();
    List<String> doubts = new ArrayList<>(kernelProblems);
    List<String> nothings = new ArrayList<>();
    Coverage coverage = Coverage.NONE;
    for (CheckOutcome outcome : outcomes) {
      switch (outcome) {
        case CheckOutcome.Ran ran -> {
          for (Finding finding : ran.findings()) {
            (finding.cause().isArtefact() ? artefacts : real).add(finding);
          }
          coverage = coverage.plus(ran.coverage());
          ran.coverage().gaps().forEach(gap -> doubts.add(ran.id() + ": " + gap));
        }
        case CheckOutcome.NothingToLookAt nothing -> {
          coverage = coverage.plus(nothing.coverage());
          String words = nothing.id() + ": nothing to look at: " + nothing.why();
          (mayHaveNothing(nothing.id()) ? nothings : doubts).add(words);
          nothing.coverage().gaps().forEach(gap -> doubts.add(nothing.id() + ": " + gap));
        }
        case CheckOutcome.Skipped skipped -> {
          for (String need : skipped.unmet()) {
            if (!doubts.contains(need)) {
              doubts.add(need);
            }
          }
        }
        // The user's choice, as a sample of pages is.
        case CheckOutcome.Declined _ -> {}
        case CheckOutcome.Failed failed ->
            doubts.add("the check " + failed.id() + " failed: " + failed.reason());
      }
    }
    if (doubts.isEmpty() && coverage.isEmpty()) {
      doubts.addAll(nothings);
    }
    if (!real.isEmpty()) {
      List<String> reasons = claims(real);
      reasons.addAll(claims(artefacts));
      reasons.addAll(doubts);
      return new Verdict.KernelDamaged(
          headline(real)
              + (artefacts.isEmpty()
                  ? ""
                  : "; beside it, and not the kernel's fault, the dump: " + summary(artefacts))
              + sample(outcomes)
              + leads(outcomes),
          reasons,
          coverage);
    }
    if (!artefacts.isEmpty()) {
      List<String> reasons = claims(artefacts);
      for (Cause cause : EnumSet.copyOf(artefacts.stream().map(Finding::cause).toList())) {
        reasons.add(cause.id() + ", what happened: " + cause.explanation());
        reasons.add(cause.id() + ", what to do: " + cause.whatToDo());
      }
      reasons.addAll(doubts);
      Examination examined = Examination.of(outcomes, kernelProblems);
      boolean isAcquitted =
          examined.extent() == Examination.Extent.ALL
              || examined.extent() == Examination.Extent.REST;
      return new Verdict.DumpDamaged(
          "the dump is at fault%s: %s; %s%s"
              .formatted(
                  isAcquitted ? ", not the kernel" : "",
                  summary(artefacts),
                  examined.words(),
                  sample(outcomes) + leads(outcomes)),
          reasons,
          coverage);
    }
    if (!doubts.isEmpty() || coverage.isEmpty()) {
      return new Verdict.Undetermined(
          doubts.isEmpty()
              ? "nothing was looked at"
              : "not enough to say: " + doubts.getFirst() + sample(outcomes) + leads(outcomes),
          doubts,
          coverage);
    }
    return new Verdict.Intact(
        (partial
                ? "the checks that were asked for found no damage"
                : "no damage found%s; what is not in the dump was left out by design"
                    .formatted(Examination.slabs(outcomes)))
            + sample(outcomes)
            + leads(outcomes),
        List.of(),
        coverage);
  }

  /// Whether a dump may be intact although this check had nothing to look at. Every dump has pages,
  /// and every kernel page tables and slabs.
  private static boolean mayHaveNothing(String check) {
    return !check.startsWith("container.") && !ALWAYS_THERE.contains(check);
  }

  /// What of the machine must be known first, whatever the verdict.
  private static String leads(List<CheckOutcome> outcomes) {
    StringBuilder leads = new StringBuilder();
    for (CheckOutcome outcome : outcomes) {
      if (outcome instanceof CheckOutcome.Ran ran) {
        ran.notes().stream()
            .filter(Note::lead)
            .forEach(note -> leads.append("; ").append(note.text()));
      }
    }
    return leads.toString();
  }

  /// How many pages a sample had, where not all were decoded; else empty.
  private static String sample(List<CheckOutcome> outcomes) {
    StringBuilder sample = new StringBuilder();
    List<String> declined = new ArrayList<>();
    for (CheckOutcome outcome : outcomes) {
      if (outcome instanceof CheckOutcome.Ran ran) {
        String decoded = ran.facts().getOrDefault("decoded", "");
        if (decoded.endsWith(" pages decoded") && sample.isEmpty()) {
          sample.append("; ").append(decoded);
        }
      } else if (outcome instanceof CheckOutcome.Declined) {
        declined.add(outcome.id());
      }
    }
    if (!declined.isEmpty()) {
      sample.append("; declined: ").append(String.join(", ", declined));
    }
    return sample.toString();
  }

  /// What became of real damage: in the dump, or only told of by the kernel itself.
  private static String headline(List<Finding> real) {
    Finding worst =
        real.stream()
            .min(Comparator.comparing(Finding::fate).thenComparing(Finding.BY_IMPORTANCE))
            .orElseThrow();
    if (worst.fate() == Fate.LEFT) {
      List<Finding> told = real.stream().filter(f -> f.fate() != Fate.LEFT).toList();
      return "the kernel's memory is corrupt: "
          + summary(real.stream().filter(f -> f.fate() == Fate.LEFT).toList())
          + (told.isEmpty() ? "" : "; its log tells of more: " + summary(told));
    }
    String words =
        switch (worst.fate()) {
          case REPAIRED -> "the kernel reported damage of its memory and repaired it: ";
          case STOPPED -> "the kernel caught itself before its memory was damaged: ";
          default -> "the kernel itself reported damage of its memory: ";
        };
    return words + summary(real) + " (" + worst.claim() + ")";
  }

  private static List<String> claims(List<Finding> findings) {
    List<String> claims = new ArrayList<>();
    for (Finding finding : findings) {
      claims.add(finding.cause().id() + ": " + finding.claim());
    }
    return claims;
  }

  /// Causes with their counts, most frequent first as met.
  private static String summary(List<Finding> findings) {
    Map<String, Integer> counts = new LinkedHashMap<>();
    for (Finding finding : findings) {
      counts.merge(finding.cause().id(), 1, Integer::sum);
    }
    List<String> parts = new ArrayList<>();
    counts.forEach((cause, count) -> parts.add(count == 1 ? cause : count + " x " + cause));
    return String.join(", ", parts);
  }
}
