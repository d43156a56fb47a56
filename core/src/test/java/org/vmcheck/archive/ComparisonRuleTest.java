package org.vmcheck.archive;

import static org.assertj.core.api.Assertions.assertThat;

import com.networknt.schema.InputFormat;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import java.time.LocalDate;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.vmcheck.archive.Comparison.CacheChange;
import org.vmcheck.archive.Comparison.State;
import org.vmcheck.archive.Policy.Rule;
import org.vmcheck.finding.CacheUse;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.json.Schema;
import org.vmcheck.report.ComparisonForm;
import org.vmcheck.report.ComparisonJUnit;
import org.vmcheck.report.ComparisonJson;
import org.vmcheck.report.ComparisonMarkdown;
import org.vmcheck.report.ComparisonSarif;
import org.vmcheck.report.ComparisonText;
import org.vmcheck.testing.SampleReports;

/// What counts as worse, and that nothing else does.
class ComparisonRuleTest {
  private static final LocalDate TODAY = LocalDate.of(2026, 11, 22);
  private static final String FINGERPRINT = "slab.freelist/use-after-free-write/kmalloc-64";

  private static Comparison compare(DumpReport base, DumpReport next, Policy policy) {
    return ComparisonRule.compare(Side.of("base", base), Side.of("next", next), policy, TODAY);
  }

  private static Comparison compare(DumpReport base, DumpReport next) {
    return compare(base, next, Policy.DEFAULT);
  }

  private static List<Rule> rules(Comparison comparison) {
    return comparison.regressions().stream().map(Comparison.Regression::rule).toList();
  }

  private static DumpReport with(DumpReport report, List<CheckOutcome> checks) {
    return new DumpReport(
        report.tool(), report.dump(), report.kernel(), checks, report.verdict(), 0);
  }

  private static CheckOutcome answer(String id, String answer) {
    return new CheckOutcome.Ran(
        id,
        answer,
        Map.of(),
        List.of(),
        List.of(),
        new Coverage(Map.of("pages", 1L), Map.of(), List.of()));
  }

  private static DumpReport holding(CacheUse... caches) {
    DumpReport report = SampleReports.intact("x");
    Optional<KernelFacts> kernel =
        report
            .kernel()
            .map(k -> k.withContents(Optional.of(List.of("ext4")), Optional.of(List.of(caches))));
    return new DumpReport(
        report.tool(), report.dump(), kernel, report.checks(), report.verdict(), 0);
  }

  @Test
  void sameReportIsNoRegression() {
    Comparison comparison = compare(SampleReports.damaged(), SampleReports.damaged());

    assertThat(comparison.regressions()).isEmpty();
    assertThat(comparison.changes()).isEmpty();
    assertThat(comparison.findings()).singleElement().matches(f -> f.state() == State.UNCHANGED);
  }

  @Test
  void newFindingAndWorseVerdictAreRegressionsAndTheWayBackIsNone() {
    DumpReport sound = SampleReports.intact("a");
    DumpReport bad = SampleReports.damaged("b");

    assertThat(rules(compare(sound, bad))).containsExactly(Rule.NEW_FINDING, Rule.WORSE_VERDICT);
    Comparison back = compare(bad, sound);
    assertThat(back.regressions()).isEmpty();
    assertThat(back.findings()).singleElement().matches(f -> f.state() == State.VANISHED);
  }

  @Test
  void acceptedFindingIsNoRegressionUntilItExpires() {
    for (LocalDate expires : List.of(TODAY, TODAY.minusDays(1))) {
      Policy policy =
          new Policy(
              "p",
              List.of("slab.freelist"),
              List.of(),
              Policy.DEFAULT.failOn(),
              "",
              Policy.Growth.DEFAULT,
              List.of(new Policy.Accepted(FINGERPRINT, "BUG-1", expires)));

      Comparison comparison =
          compare(SampleReports.intact("a"), SampleReports.damaged("b"), policy);

      if (expires.equals(TODAY)) {
        assertThat(comparison.regressions()).isEmpty();
        assertThat(comparison.findings().getFirst().accepted()).isEqualTo("BUG-1");
      } else {
        assertThat(rules(comparison))
            .containsExactly(Rule.NEW_FINDING, Rule.WORSE_VERDICT, Rule.MUST_PASS);
        assertThat(comparison.notes())
            .contains(FINGERPRINT + " is no longer accepted: that expired on 2026-11-21 (BUG-1)");
      }
    }
  }

  @Test
  void checkThatNoLongerRunsIsLostUnlessThePolicyLetsItGo() {
    DumpReport base = SampleReports.intact("a");
    DumpReport next =
        with(base, List.of(new CheckOutcome.Skipped("slab.freelist", List.of("no types"))));

    assertThat(compare(base, next).regressions())
        .extracting(Comparison.Regression::sentence)
        .containsExactly("slab.freelist ran on the base and not on the new side: no types");
    assertThat(compare(next, base).checks()).singleElement().matches(c -> c.isGained());
    Policy lenient =
        new Policy(
            "p",
            List.of(),
            List.of("slab.freelist"),
            Policy.DEFAULT.failOn(),
            "",
            Policy.Growth.DEFAULT,
            List.of());
    assertThat(compare(base, next, lenient).regressions()).isEmpty();
  }

  @Test
  void checkThatHasNothingToLookAtAnyMoreIsLostAndDoesNotPass() {
    DumpReport base = SampleReports.intact("a");
    DumpReport next =
        with(base, List.of(new CheckOutcome.NothingToLookAt("slab.freelist", "no slab")));
    Policy strict =
        new Policy(
            "p",
            List.of("slab.freelist"),
            List.of(),
            Policy.DEFAULT.failOn(),
            "",
            Policy.Growth.DEFAULT,
            List.of());

    assertThat(compare(base, next, strict).regressions())
        .extracting(Comparison.Regression::sentence)
        .containsExactly(
            "slab.freelist ran on the base and has nothing to look at on the new side: no slab",
            "slab.freelist must pass; on a it had nothing to look at: no slab");
    assertThat(compare(next, next).regressions()).isEmpty();
    Comparison back = compare(next, base, strict);
    assertThat(back.regressions()).isEmpty();
    assertThat(back.checks()).singleElement().matches(c -> c.isGained());
    assertThat(ComparisonJUnit.render(compare(next, next)))
        .contains("<skipped message=\"nothing to look at: no slab\"/>");
  }

  private static CheckOutcome looked(long slabs, Map<String, Long> notRead, String... gaps) {
    return new CheckOutcome.Ran(
        "slab.freelist",
        "all end",
        Map.of(),
        List.of(),
        List.of(),
        new Coverage(Map.of("slabs", slabs), notRead, List.of(gaps)));
  }

  @Test
  void coverageThatGrowsOrShrinksIsShown() {
    DumpReport base = with(SampleReports.intact("a"), List.of(looked(5000, Map.of())));
    DumpReport like = with(SampleReports.intact("a"), List.of(looked(2600, Map.of())));
    DumpReport next =
        with(
            SampleReports.intact("a"),
            List.of(looked(10, Map.of("slab pages excluded", 7L), "the deadline came")));

    assertThat(compare(base, like).changes()).isEmpty();
    assertThat(compare(base, next).changes())
        .containsExactly(
            new Comparison.Change("slab.freelist, looked at: slabs", "5,000", "10"),
            new Comparison.Change("slab.freelist, not read: slab pages excluded", "0", "7"),
            new Comparison.Change("slab.freelist, gaps", "0", "1"));
    assertThat(ComparisonText.render(compare(base, next), false))
        .contains("slab.freelist, looked at: slabs");
  }

  /// What an earlier version wrote of a check without debug caches.
  @Test
  void checkThatRanAndLookedAtNothingDidNotStop() {
    CheckOutcome old =
        new CheckOutcome.Ran(
            "slab.poison",
            "no cache has debugging options",
            Map.of(),
            List.of(),
            List.of(),
            new Coverage(Map.of("objects with fixed bytes", 0L), Map.of(), List.of()));
    DumpReport base = with(SampleReports.intact("a"), List.of(old));
    DumpReport next =
        with(base, List.of(new CheckOutcome.NothingToLookAt("slab.poison", "no object was met")));

    assertThat(compare(base, next).regressions()).isEmpty();
  }

  @Test
  void lowMemoryThatIsNoLongerReservedIsARegressionAndIgnoranceIsNone() {
    DumpReport inForce =
        with(SampleReports.intact("a"), List.of(answer("lowmem.reserved", "in force")));
    DumpReport gone =
        with(SampleReports.intact("b"), List.of(answer("lowmem.reserved", "not in force")));
    DumpReport unknown =
        with(SampleReports.intact("c"), List.of(answer("lowmem.reserved", "cannot tell")));

    assertThat(rules(compare(inForce, gone))).containsExactly(Rule.LOW_MEMORY);
    assertThat(compare(gone, inForce).regressions()).isEmpty();
    assertThat(compare(inForce, unknown).regressions()).isEmpty();
    assertThat(compare(inForce, gone).changes())
        .contains(new Comparison.Change("lowmem.reserved", "in force", "not in force"));
  }

  @Test
  void theLikelyLeakIsDenseDoubledAndNotReclaimable() {
    CacheUse before = new CacheUse("skbuff", 256, 1_000, 1_100, false);
    DumpReport base =
        holding(
            before,
            new CacheUse("dentry", 192, 10_000, 10_500, true),
            new CacheUse("burst", 1024, 1_000, 1_000, false),
            new CacheUse("steady", 4096, 10_000, 10_000, false));
    DumpReport next =
        holding(
            new CacheUse("skbuff", 256, 50_000, 50_400, false),
            new CacheUse("dentry", 192, 900_000, 900_500, true),
            new CacheUse("burst", 1024, 30_000, 90_000, false),
            new CacheUse("steady", 4096, 15_000, 15_000, false),
            new CacheUse("fresh", 4096, 100_000, 100_000, false));

    Comparison comparison = compare(base, next);

    assertThat(comparison.caches().stream().filter(CacheChange::isLeak).map(CacheChange::name))
        .containsExactly("skbuff");
    assertThat(comparison.regressions()).isEmpty();
    assertThat(comparison.caches().getFirst().name()).isEqualTo("fresh");
  }

  @Test
  void smallGrowthIsNoLeak() {
    DumpReport base = holding(new CacheUse("pid", 128, 100, 100, false));
    DumpReport next = holding(new CacheUse("pid", 128, 8_000, 8_000, false));

    assertThat(compare(base, next).caches()).singleElement().matches(cache -> !cache.isLeak());
  }

  @Test
  void whatWasNotRecordedIsSaidAndNotTakenForGone() {
    DumpReport without = SampleReports.intact("a");

    Comparison comparison = compare(holding(), without);

    assertThat(comparison.notes())
        .contains(
            "modules not compared: not recorded on the new side",
            "caches not compared: not recorded on the new side");
    assertThat(comparison.changes()).isEmpty();
  }

  @Test
  void manyDumpsCountByFingerprint() {
    Side base =
        new Side("k=1", List.of(SampleReports.damaged("a"), SampleReports.intact("b")), List.of());
    Side next =
        new Side("k=2", List.of(SampleReports.damaged("c"), SampleReports.damaged("d")), List.of());

    Comparison comparison = ComparisonRule.compare(base, next, Policy.DEFAULT, TODAY);

    assertThat(comparison.regressions()).isEmpty();
    assertThat(comparison.findings())
        .singleElement()
        .matches(f -> f.baseDumps() == 1 && f.nextDumps() == 2);
    assertThat(ComparisonText.render(comparison, false))
        .contains("in 1 of 2 dumps before, in 2 of 2 now");
  }

  @ParameterizedTest
  @EnumSource(ComparisonForm.class)
  void noFormLetsADumpActOnATerminal(ComparisonForm form) {
    Comparison comparison =
        compare(SampleReports.intact("a"), SampleReports.damaged(SampleReports.HOSTILE));
    String text = form.render(comparison, true);

    assertThat(text).endsWith("\n");
    assertThat(text.chars().filter(c -> c < ' ' && c != '\n' && c != '\t')).isEmpty();
  }

  @Test
  void everyFormFitsItsReadersAndNothingInItActs() throws Exception {
    Comparison comparison = compare(SampleReports.intact("a"), SampleReports.damaged());

    assertThat(
            SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12)
                .getSchema(Schema.COMPARISON.text())
                .validate(ComparisonJson.render(comparison), InputFormat.JSON))
        .isEmpty();
    assertThat(ComparisonSarif.render(comparison)).contains("\"baselineState\" : \"new\"");
    assertThat(ComparisonJUnit.render(comparison))
        .contains("name=\"new-finding\"><failure message=", "name=\"lost-check\"/>");
    String markdown = ComparisonMarkdown.render(comparison);
    assertThat(markdown)
        .startsWith("## Regression\n")
        .contains("onerror=alert\\(1\\)&gt;")
        .doesNotContain("<", "\u001b", "](");
    for (String row : markdown.lines().filter(line -> line.startsWith("| new")).toList()) {
      assertThat(row.replace("\\|", "").chars().filter(c -> c == '|')).hasSize(5);
    }
  }
}
