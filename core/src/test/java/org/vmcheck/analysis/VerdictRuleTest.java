package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.check.Check;
import org.vmcheck.check.Checks;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Fate;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.finding.Verdict;

/// From outcomes to one of four answers.
class VerdictRuleTest {
  private static CheckOutcome ran(String id) {
    return new CheckOutcome.Ran(
        id,
        "sound",
        Map.of(),
        List.of(),
        List.of(),
        new Coverage(Map.of("slabs", 3L), Map.of(), List.of()));
  }

  /// Every check found nothing, but for one.
  private static List<CheckOutcome> soundBut(CheckOutcome other) {
    List<CheckOutcome> outcomes = new ArrayList<>();
    for (Check check : Checks.all()) {
      outcomes.add(check.id().equals(other.id()) ? other : ran(check.id()));
    }
    return outcomes;
  }

  private static Verdict judge(CheckOutcome other) {
    return VerdictRule.judge(soundBut(other), List.of(), false);
  }

  @Test
  void whatWasLookedAtAndIsSoundIsIntact() {
    assertThat(judge(ran("slab.freelist"))).isInstanceOf(Verdict.Intact.class);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "container.pages",
        "container.complete",
        "memory.translation",
        "slab.freelist",
        "slab.lists"
      })
  void nothingToLookAtWhereEveryKernelHasSomethingIsUndetermined(String id) {
    Verdict verdict = judge(new CheckOutcome.NothingToLookAt(id, "no page of it"));

    assertThat(verdict).isInstanceOf(Verdict.Undetermined.class);
    assertThat(verdict.summary())
        .isEqualTo("not enough to say: " + id + ": nothing to look at: no page of it");
  }

  @ParameterizedTest
  @ValueSource(strings = {"slab.poison", "lowmem.sme", "debuginfo.match", "log.witness"})
  void nothingToLookAtElsewhereLeavesIntact(String id) {
    assertThat(judge(new CheckOutcome.NothingToLookAt(id, "none here")))
        .isInstanceOf(Verdict.Intact.class);
  }

  @Test
  void gapInTheSearchForSomethingToLookAtIsADoubt() {
    Coverage gap = new Coverage(Map.of(), Map.of(), List.of("the list of caches ends early"));

    Verdict verdict =
        judge(
            new CheckOutcome.NothingToLookAt(
                "slab.poison", "no debug cache", Map.of(), List.of(), gap));

    assertThat(verdict.reasons()).containsExactly("slab.poison: the list of caches ends early");
    assertThat(verdict).isInstanceOf(Verdict.Undetermined.class);
  }

  @Test
  void nothingAtAllIsNeverIntact() {
    List<CheckOutcome> outcomes =
        List.of(new CheckOutcome.NothingToLookAt("slab.poison", "no debug cache"));

    assertThat(VerdictRule.judge(outcomes, List.of(), true).summary())
        .isEqualTo("not enough to say: slab.poison: nothing to look at: no debug cache");
  }

  // ---- what a dump's fault leaves of the kernel

  private static Finding artefact(String check, Cause cause) {
    return new Finding(
        check,
        Layer.CONTAINER,
        Severity.CORRUPT,
        cause,
        "pages are missing",
        Subject.NONE,
        List.of(new Evidence.CountMismatch("pages", 0, 1, "1 page is missing")),
        List.of(),
        check + "/" + cause.id());
  }

  private static CheckOutcome found(String check, Cause cause) {
    return ((CheckOutcome.Ran) ran(check)).withFindings(List.of(artefact(check, cause)));
  }

  private static CheckOutcome ran(String id, Map<String, Long> notRead, String... gaps) {
    return new CheckOutcome.Ran(
        id,
        "sound",
        Map.of(),
        List.of(),
        List.of(),
        new Coverage(Map.of("slabs", 3L), notRead, List.of(gaps)));
  }

  private static String headline(List<String> problems, CheckOutcome... others) {
    List<CheckOutcome> outcomes = soundBut(found("container.complete", Cause.PAGE_EXCLUDED));
    for (CheckOutcome other : others) {
      outcomes.replaceAll(outcome -> outcome.id().equals(other.id()) ? other : outcome);
    }
    Verdict verdict = VerdictRule.judge(outcomes, problems, false);
    assertThat(verdict).isInstanceOf(Verdict.DumpDamaged.class);
    return verdict.summary();
  }

  @Test
  void kernelThatWasExaminedIsAcquitted() {
    assertThat(headline(List.of()))
        .isEqualTo(
            "the dump is at fault, not the kernel: page-excluded; the kernel's 3 slabs were"
                + " examined and found sound");
  }

  @Test
  void restThatTheDumpsFaultLeftIsAcquittedAndTheFaultNamed() {
    assertThat(headline(List.of(), ran("slab.freelist", Map.of("slab pages excluded", 2L))))
        .isEqualTo(
            "the dump is at fault, not the kernel: page-excluded; the kernel's 3 slabs were"
                + " examined and found sound as far as they could be read (slab pages"
                + " excluded: 2)");
    assertThat(headline(List.of(), found("slab.freelist", Cause.DUMPER_EXCLUDED_SLAB)))
        .startsWith("the dump is at fault, not the kernel: ")
        .endsWith("found sound, apart from what that explains");
  }

  @Test
  void kernelThatWasExaminedInPartIsNotAcquitted() {
    String part =
        "the dump is at fault: page-excluded; of the kernel a part was examined and found sound,"
            + " 3 slabs: ";

    assertThat(headline(List.of(), ran("slab.freelist", Map.of(), "the deadline came")))
        .isEqualTo(part + "the deadline came");
    assertThat(headline(List.of(), new CheckOutcome.Failed("slab.lists", "broke")))
        .isEqualTo(part + "slab.lists failed: broke");
    assertThat(headline(List.of(), new CheckOutcome.NothingToLookAt("memory.translation", "none")))
        .isEqualTo(part + "memory.translation had nothing to look at: none");
    assertThat(headline(List.of("no types"))).isEqualTo(part + "no types");
  }

  @Test
  void kernelThatWasNotExaminedIsNotAcquitted() {
    String none = "the dump is at fault: page-excluded; the kernel was not examined: ";

    assertThat(headline(List.of(), new CheckOutcome.Skipped("slab.freelist", List.of("no types"))))
        .isEqualTo(none + "no types");
    assertThat(headline(List.of(), new CheckOutcome.NothingToLookAt("slab.freelist", "no slab")))
        .isEqualTo(none + "slab.freelist had nothing to look at: no slab");
    assertThat(
            VerdictRule.judge(
                    List.of(found("container.complete", Cause.PAGE_EXCLUDED)), List.of(), true)
                .summary())
        .isEqualTo(none + "slab.freelist was not asked for");
    assertThat(headline(List.of(), found("memory.translation", Cause.WRONG_DEBUGINFO)))
        .endsWith("; the kernel was not examined: pages are missing");
  }

  @Test
  void kernelThatWasNotAskedForInFullIsAcquittedByWhatExaminesIt() {
    List<CheckOutcome> outcomes = soundBut(found("container.complete", Cause.PAGE_EXCLUDED));
    outcomes.removeIf(outcome -> outcome.id().equals("memory.translation"));

    assertThat(VerdictRule.judge(outcomes, List.of(), true).summary())
        .startsWith("the dump is at fault, not the kernel: ");
  }

  @Test
  void kernelOfWhichNoSlabWasSeenIsNotAcquitted() {
    assertThat(headline(List.of(), ranOver("slab.freelist", 0)))
        .isEqualTo(
            "the dump is at fault: page-excluded; the kernel was not examined: no slab was seen");
  }

  @Test
  void kernelWhoseMissingPagesLeaveTooLittleIsNotAcquitted() {
    CheckOutcome notJudged =
        new CheckOutcome.Ran(
            "slab.poison",
            MissingPages.NOT_JUDGED,
            Map.of(),
            List.of(),
            List.of(),
            new Coverage(Map.of("slabs", 3L), Map.of(), List.of()));

    assertThat(headline(List.of(), notJudged))
        .isEqualTo(
            "the dump is at fault: page-excluded; of the kernel a part was examined and found"
                + " sound, 3 slabs: slab.poison: "
                + MissingPages.NOT_JUDGED);
  }

  @Test
  void oneSlabIsSpokenOfAsOne() {
    assertThat(headline(List.of(), ranOver("slab.freelist", 1)))
        .endsWith("; the kernel's 1 slab was examined and found sound");
    assertThat(
            headline(
                List.of(), ranOver("slab.freelist", 1), found("slab.lists", Cause.PAGE_EXCLUDED)))
        .endsWith(
            "; the kernel's 1 slab was examined and found sound, apart from what that explains");
    assertThat(headline(List.of("no types"), ranOver("slab.freelist", 1)))
        .endsWith("found sound, 1 slab: no types");
    assertThat(judge(ranOver("slab.freelist", 1)).summary())
        .isEqualTo("no damage found in 1 slab; what is not in the dump was left out by design");
  }

  private static CheckOutcome ranOver(String id, long slabs) {
    return new CheckOutcome.Ran(
        id,
        "sound",
        Map.of(),
        List.of(),
        List.of(),
        new Coverage(Map.of("slabs", slabs), Map.of(), List.of()));
  }

  // ---- what an intact dump's verdict says, and what keeps it from being one

  @Test
  void intactSaysHowMuchWasFoundSound() {
    assertThat(judge(ran("slab.poison")).summary())
        .isEqualTo("no damage found in 3 slabs; what is not in the dump was left out by design");
    assertThat(judge(ran("slab.freelist", Map.of("slab pages excluded", 2L))).summary())
        .isEqualTo(
            "no damage found in 3 slabs as far as they could be read (slab pages excluded: 2);"
                + " what is not in the dump was left out by design");
    assertThat(VerdictRule.judge(List.of(ran("container.pages")), List.of(), false).summary())
        .isEqualTo("no damage found; what is not in the dump was left out by design");
    assertThat(VerdictRule.judge(List.of(ran("slab.freelist")), List.of(), true).summary())
        .isEqualTo("the checks that were asked for found no damage");
  }

  @Test
  void gapOfACheckThatRanIsADoubt() {
    Verdict verdict = judge(ran("slab.lists", Map.of(), "the deadline came", "a list was cut"));

    assertThat(verdict).isInstanceOf(Verdict.Undetermined.class);
    assertThat(verdict.summary()).isEqualTo("not enough to say: slab.lists: the deadline came");
    assertThat(verdict.reasons())
        .containsExactly("slab.lists: the deadline came", "slab.lists: a list was cut");
  }

  @Test
  void whatWasNotLookedAtIsNoSoundness() {
    assertThat(VerdictRule.judge(List.of(), List.of(), false))
        .isInstanceOf(Verdict.Undetermined.class)
        .extracting(Verdict::summary)
        .isEqualTo("nothing was looked at");
    assertThat(VerdictRule.judge(List.of(ranOver("slab.freelist", 0)), List.of(), false).summary())
        .isEqualTo("nothing was looked at");
  }

  @Test
  void whatSeveralChecksLackIsSaidOnce() {
    List<CheckOutcome> outcomes =
        soundBut(new CheckOutcome.Skipped("slab.lists", List.of("types")));
    outcomes.replaceAll(
        outcome ->
            outcome.id().equals("slab.poison")
                ? new CheckOutcome.Skipped("slab.poison", List.of("types", "symbols"))
                : outcome);

    assertThat(VerdictRule.judge(outcomes, List.of(), false).reasons())
        .containsExactly("types", "symbols");
  }

  @Test
  void notesOfTheFirstRankAndSamplesAreInTheHeadline() {
    CheckOutcome noted =
        new CheckOutcome.Ran(
            "container.pages",
            "sound",
            Map.of("decoded", "10 of 20 pages decoded"),
            List.of(),
            List.of(Note.lead("a", "memory was hot"), new Note("b", "as usual")),
            new Coverage(Map.of("pages", 10L), Map.of(), List.of()));

    for (Verdict verdict :
        List.of(
            judge(noted),
            VerdictRule.judge(List.of(noted), List.of("no types"), false),
            VerdictRule.judge(
                List.of(noted, found("slab.lists", Cause.PAGE_EXCLUDED)), List.of(), false),
            VerdictRule.judge(List.of(noted, broken(Fate.LEFT)), List.of(), false))) {
      assertThat(verdict.summary()).endsWith("; 10 of 20 pages decoded; memory was hot");
    }
    CheckOutcome all =
        new CheckOutcome.Ran(
            "container.pages",
            "sound",
            Map.of("decoded", "all"),
            List.of(),
            List.of(),
            new Coverage(Map.of("pages", 10L), Map.of(), List.of()));
    assertThat(judge(all).summary()).endsWith("left out by design");
  }

  // ---- damage of the kernel

  private static CheckOutcome broken(Fate... fates) {
    List<Finding> findings = new ArrayList<>();
    for (Fate fate : fates) {
      findings.add(
          new Finding(
              "slab.freelist",
              Layer.KERNEL,
              Severity.CORRUPT,
              Cause.LIST_BROKEN,
              "a list is broken, " + fate,
              Subject.NONE,
              List.of(new Evidence.CountMismatch("x", 1, 2, "x")),
              List.of(),
              fate,
              "slab.freelist/" + fate));
    }
    return ((CheckOutcome.Ran) ran("slab.freelist")).withFindings(findings);
  }

  private static Verdict damaged(Fate... fates) {
    Verdict verdict = VerdictRule.judge(List.of(broken(fates)), List.of(), false);
    assertThat(verdict).isInstanceOf(Verdict.KernelDamaged.class);
    return verdict;
  }

  @Test
  void headlineSaysWhatBecameOfTheDamage() {
    assertThat(damaged(Fate.LEFT).summary())
        .isEqualTo("the kernel's memory is corrupt: list-broken");
    assertThat(damaged(Fate.REPAIRED, Fate.LEFT, Fate.LEFT, Fate.STOPPED).summary())
        .isEqualTo(
            "the kernel's memory is corrupt: 2 x list-broken; its log tells of more: 2 x"
                + " list-broken");
    assertThat(damaged(Fate.UNTOLD).summary())
        .isEqualTo(
            "the kernel itself reported damage of its memory: list-broken (a list is broken,"
                + " UNTOLD)");
    assertThat(damaged(Fate.STOPPED, Fate.REPAIRED).summary())
        .isEqualTo(
            "the kernel reported damage of its memory and repaired it: 2 x list-broken (a list is"
                + " broken, REPAIRED)");
    assertThat(damaged(Fate.STOPPED).summary())
        .isEqualTo(
            "the kernel caught itself before its memory was damaged: list-broken (a list is"
                + " broken, STOPPED)");
  }

  @Test
  void damageOfTheKernelComesBeforeTheDumpsAndBeforeDoubts() {
    Verdict verdict =
        VerdictRule.judge(
            List.of(found("container.complete", Cause.PAGE_EXCLUDED), broken(Fate.LEFT)),
            List.of("no types"),
            false);

    assertThat(verdict).isInstanceOf(Verdict.KernelDamaged.class);
    assertThat(verdict.summary())
        .isEqualTo(
            "the kernel's memory is corrupt: list-broken; beside it, and not the kernel's fault,"
                + " the dump: page-excluded");
    assertThat(verdict.reasons())
        .containsExactly(
            "list-broken: a list is broken, LEFT", "page-excluded: pages are missing", "no types");
  }
}
