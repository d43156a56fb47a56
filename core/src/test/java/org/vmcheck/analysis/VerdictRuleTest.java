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
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
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
        .endsWith("found sound, but for what these took away");
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
}
