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
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
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
}
