package org.vmcheck.evidence;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Subject;
import org.vmcheck.finding.Verdict;
import org.vmcheck.json.ReportWriter;
import org.vmcheck.testing.SampleReports;

/// What a redacted report keeps, what it replaces by something equal everywhere, and what it leaves
/// out.
class RedactedReportTest {
  private static final long KERNEL = 0xffff_8880_1234_5678L;

  private final Redaction redaction = new Redaction(List.of("/var/crash/host/vmcore"));

  @Test
  void aKernelAddressKeepsItsUpperBitsAndItsPlaceInABlock() {
    long other = redaction.word(KERNEL);
    assertThat(other).isNotEqualTo(KERNEL).isEqualTo(redaction.word(KERNEL));
    assertThat(other >>> 47).isEqualTo(KERNEL >>> 47);
    assertThat(other & 0x7fff).isEqualTo(KERNEL & 0x7fff);
    // What is next to it stays next to it, up to the block's end.
    assertThat(redaction.word(KERNEL + 8) - other).isEqualTo(8);
    assertThat(redaction.word(KERNEL | 0x7fff) >>> 15).isEqualTo(other >>> 15);
    assertThat(redaction.word((KERNEL | 0x7fff) + 1) >>> 15).isNotEqualTo((other >>> 15) + 1);
    assertThat(redaction.word(0xffff_8000_0000_0000L)).isNotEqualTo(0xffff_8000_0000_0000L);
    assertThat(redaction.word(0xffff_8000_0000_0000L) & 0x7fff).isZero();
    // The last below kernel addresses is a word like any other.
    assertThat(redaction.word(0xffff_7fff_ffff_ffffL) & 0x7fff).isNotEqualTo(0x7fff);
  }

  @Test
  void aPhysicalAddressStaysOneAndKeepsItsPlaceInABlock() {
    long physical = 0x1_2345_6789L;
    long other = redaction.word(physical);
    assertThat(other).isNotEqualTo(physical).isBetween(0L, 0xf_ffff_ffffL);
    assertThat(other & 0x7fff).isEqualTo(physical & 0x7fff);
    assertThat(redaction.word(physical + 8) - other).isEqualTo(8);
    assertThat(redaction.word(1)).isNotEqualTo(1).isBetween(0L, 0xf_ffff_ffffL);
    assertThat(redaction.word((1L << 52) - 1) & 0x7fff).isEqualTo(0x7fff);
    // No physical address of any machine: nothing of it stays.
    Set<Long> places = new HashSet<>();
    for (int i = 0; i < 8; i++) {
      places.add(redaction.word((1L << 52) + ((long) i << 15)) & 0x7fff);
    }
    assertThat(places).hasSizeGreaterThan(1);
  }

  @Test
  void nothingAndTheUnknownStayAndKeysDiffer() {
    assertThat(redaction.word(0)).isZero();
    assertThat(redaction.word(Evidence.UNKNOWN)).isEqualTo(Evidence.UNKNOWN);
    long text = 0x4141_4141_4141_4141L;
    assertThat(redaction.word(text)).isNotEqualTo(text).isEqualTo(redaction.word(text));
    Redaction another = new Redaction(List.of("x"));
    assertThat(another.word(text)).isNotEqualTo(redaction.word(text));
    assertThat(another.word(KERNEL)).isNotEqualTo(redaction.word(KERNEL));
  }

  @Test
  void wordsInTextAreThoseOfTheFields() {
    assertThat(redaction.text("at 0xffff888012345678, ffff888012345678 and 0x1234 of 12345"))
        .isEqualTo(
            "at 0x%x, %016x and 0x1234 of 12345"
                .formatted(redaction.word(KERNEL), redaction.word(KERNEL)));
    assertThat(redaction.text("0x12345")).isEqualTo("0x%x".formatted(redaction.word(0x12345)));
    assertThat(redaction.text("0x1234")).isEqualTo("0x1234");
  }

  private DumpReport redacted() {
    return redaction.report(SampleReports.damaged("/var/crash/host/vmcore"));
  }

  @Test
  void whatTheMachineIsCalledAndWhereTheKernelLayIsLeftOut() {
    DumpReport report = redacted();
    KernelFacts before = SampleReports.damaged().kernel().orElseThrow();
    KernelFacts kernel = report.kernel().orElseThrow();

    assertThat(report.dump().path()).isEqualTo("dump-1");
    assertThat(report.state()).isEmpty();
    assertThat(kernel.nodename()).isEqualTo("host-1");
    assertThat(kernel.commandLine()).isEqualTo("(redacted)");
    assertThat(kernel.kaslrOffset()).isEqualTo(Evidence.UNKNOWN);
    assertThat(kernel.physBase()).isEqualTo(Evidence.UNKNOWN);
    assertThat(kernel.panic())
        .isEqualTo(new KernelFacts.PanicFacts("(redacted)", before.panic().cpu(), 0, List.of()));
    assertThat(kernel.modules()).isEmpty();
    assertThat(kernel.release()).isEqualTo(before.release());
    assertThat(kernel.version()).isEqualTo(before.version());
    assertThat(kernel.buildId()).isEqualTo(before.buildId());
    assertThat(kernel.memoryBytes()).isEqualTo(before.memoryBytes());
    assertThat(kernel.caches()).isEqualTo(before.caches());
    assertThat(report.kernels())
        .allSatisfy(
            entry -> {
              assertThat(entry.physBase()).isEqualTo(Evidence.UNKNOWN);
              assertThat(entry.commandLine()).isEqualTo("(redacted)");
            });
    assertThat(report.kernels()).extracting(entry -> entry.number()).containsExactly(1, 2);
    assertThat(ReportWriter.line(report)).doesNotContain("web7", "/var/crash", "crashkernel");
  }

  @Test
  void aFindingKeepsWhatItIsAndWhichOfItsWordsAreEqual() {
    Finding before = SampleReports.damaged().findings().getFirst();
    Finding after = redacted().findings().getFirst();
    Subject old = before.subject();

    assertThat(after.subject())
        .isEqualTo(
            new Subject(
                old.cache(),
                redaction.word(old.slab()),
                redaction.word(old.object()),
                redaction.word(old.address()),
                redaction.word(old.physical()),
                redaction.word(old.raw()),
                Evidence.UNKNOWN));
    assertThat(after.cause()).isEqualTo(before.cause());
    assertThat(after.fingerprint()).isEqualTo(before.fingerprint());
    assertThat(after.evidence()).hasSameSizeAs(before.evidence());
    assertThat(after.against()).hasSameSizeAs(before.against());
    for (int i = 0; i < before.evidence().size(); i++) {
      assertSame(before.evidence().get(i), after.evidence().get(i));
    }
  }

  private void assertSame(Evidence before, Evidence after) {
    switch (before) {
      case Evidence.WordAt w ->
          assertThat(after)
              .isEqualTo(
                  new Evidence.WordAt(
                      redaction.word(w.address()),
                      redaction.word(w.physical()),
                      redaction.word(w.raw()),
                      redaction.word(w.decoded()),
                      redaction.text(w.sentence())));
      case Evidence.ChainBroken c ->
          assertThat(after)
              .isEqualTo(
                  new Evidence.ChainBroken(
                      c.list(),
                      redaction.word(c.from()),
                      redaction.word(c.to()),
                      c.step(),
                      c.sentence()));
      // The bytes themselves are anybody's data.
      case Evidence.BytesAt b ->
          assertThat(after)
              .isEqualTo(
                  new Evidence.BytesAt(
                      redaction.word(b.address()),
                      redaction.word(b.physical()),
                      "",
                      0,
                      0,
                      "bytes (left out)"));
      case Evidence.LoggedBytes l ->
          assertThat(after)
              .isEqualTo(
                  new Evidence.LoggedBytes(
                      redaction.word(l.address()),
                      redaction.word(l.physical()),
                      "",
                      0,
                      0,
                      l.expected(),
                      "logged: (panic message) (left out)"));
      case Evidence.Run r ->
          assertThat(after)
              .isEqualTo(
                  new Evidence.Run(
                      redaction.word(r.address()),
                      redaction.word(r.physical()),
                      12,
                      "",
                      "a run of 12 bytes (0x41) (left out)"));
      case Evidence.SlabPicture p ->
          assertThat(after)
              .isEqualTo(
                  new Evidence.SlabPicture(
                      redaction.word(p.first()),
                      p.stride(),
                      p.cells(),
                      p.path(),
                      p.holder(),
                      p.target(),
                      p.sentence()));
      case Evidence.PageLooksLike p ->
          assertThat(after)
              .isEqualTo(
                  new Evidence.PageLooksLike(
                      redaction.word(p.pfn() << 12) >>> 12, p.looks(), p.sentence()));
      case Evidence.LogLineSays l -> {
        Evidence.LogLineSays log = (Evidence.LogLineSays) after;
        assertThat(log.timestampNanos()).isZero();
        assertThat(log.line()).isEqualTo("(log line)");
        assertThat(log.sentence()).isEqualTo(l.sentence());
      }
      case Evidence.CountMismatch _, Evidence.WhatIf _ -> assertThat(after).isEqualTo(before);
    }
  }

  @Test
  void linesOfTheLogAreLeftOutOfFactsNotesAndSentences() {
    Note line = new Note("oops", "RIP: secret+0x1/0x2");
    Note about = new Note("log", "12 lines were read");
    Note lead = Note.lead("oops", "the first");
    CheckOutcome witness =
        new CheckOutcome.Ran(
            "log.witness",
            "it says \"secret\"",
            Map.of("log line 1", "secret", "lines", "12"),
            List.of(),
            List.of(line, about, lead),
            Coverage.NONE);
    CheckOutcome other =
        new CheckOutcome.NothingToLookAt(
            "slab.lists",
            "none in /var/crash/host/vmcore",
            Map.of("a", "0xffff888012345678"),
            List.of(line),
            Coverage.NONE);
    DumpReport base = SampleReports.intact("/var/crash/host/vmcore");
    DumpReport report =
        redaction.report(
            new DumpReport(
                base.tool(),
                base.dump(),
                base.kernel(),
                List.of(
                    witness,
                    other,
                    new CheckOutcome.Skipped("a", List.of("no \"secret\"")),
                    new CheckOutcome.Failed("b", "at \"secret\"")),
                base.verdict(),
                1));

    CheckOutcome.Ran ran = (CheckOutcome.Ran) report.checks().get(0);
    assertThat(ran.answer()).isEqualTo("it says \"(text)\"");
    assertThat(ran.facts()).isEqualTo(Map.of("log line 1", "(log line)", "lines", "12"));
    assertThat(ran.notes())
        .containsExactly(
            new Note("oops", "oops: (log line)"), about, Note.lead("oops", "oops: (log line)"));
    CheckOutcome.NothingToLookAt nothing = (CheckOutcome.NothingToLookAt) report.checks().get(1);
    assertThat(nothing.why()).isEqualTo("none in dump-1");
    assertThat(nothing.facts()).containsEntry("a", "0x%x".formatted(redaction.word(KERNEL)));
    assertThat(nothing.notes()).containsExactly(line);
    assertThat(report.checks().get(2))
        .isEqualTo(new CheckOutcome.Skipped("a", List.of("no \"(text)\"")));
    assertThat(report.checks().get(3)).isEqualTo(new CheckOutcome.Failed("b", "at \"(text)\""));
  }

  @Test
  void theVerdictStaysOfItsKind() {
    DumpReport base = SampleReports.intact("x");
    Coverage coverage = base.verdict().coverage();
    List<String> reasons = List.of("see \"secret\"");
    for (Verdict verdict :
        List.of(
            new Verdict.Intact("sound", reasons, coverage),
            new Verdict.KernelDamaged("sound", reasons, coverage),
            new Verdict.DumpDamaged("sound", reasons, coverage),
            new Verdict.Undetermined("sound", reasons, coverage))) {
      Verdict after =
          redaction
              .report(
                  new DumpReport(
                      base.tool(), base.dump(), base.kernel(), base.checks(), verdict, 1))
              .verdict();
      assertThat(after.getClass()).isEqualTo(verdict.getClass());
      assertThat(after.summary()).isEqualTo("sound");
      assertThat(after.reasons()).containsExactly("see \"(text)\"");
      assertThat(after.coverage()).isEqualTo(coverage);
    }
  }
}
