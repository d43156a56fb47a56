package org.vmcheck.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpFacts;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.MachineState;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Verdict;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.Printable;

/// The report for a person at a terminal. The first line is the verdict.
public final class TextReport {
  private static final int MAX_FINDINGS = 20;
  private static final int MAX_GAPS = 8;
  private static final int CELLS_A_LINE = 64;

  private final boolean colour;
  private final boolean verbose;
  private final StringBuilder out = new StringBuilder();

  /// The structure that describes a slab in this kernel.
  private String descriptor = "struct slab";

  private List<String> dump = List.of();

  private TextReport(boolean colour, boolean verbose) {
    this.colour = colour;
    this.verbose = verbose;
  }

  /// @param colour whether to use ANSI colours
  /// @param verbose whether to list every finding and all facts of the checks
  public static String render(DumpReport report, boolean colour, boolean verbose) {
    return render(report, colour, verbose, List.of());
  }

  /// @param dump the files and options that the user gave, for the commands that are proposed
  public static String render(
      DumpReport report, boolean colour, boolean verbose, List<String> dump) {
    TextReport text = new TextReport(colour, verbose);
    text.dump = NextSteps.dump(report, dump);
    text.verdict(report);
    text.dump(report.dump());
    report.kernel().ifPresent(text::kernel);
    report.state().ifPresent(text::state);
    report.origin().ifPresent(origin -> text.field("origin", origin.paragraph()));
    text.descriptor = NextSteps.descriptor(report);
    text.findings(report.findings());
    text.checks(report.checks(), new SaidOnce(report.verdict().summary()));
    text.coverage(report);
    report
        .state()
        .ifPresent(
            state -> {
              text.line("");
              MachineText.lines(state).forEach(text::line);
            });
    return text.out.toString();
  }

  /// The verdict alone, for `-q`.
  public static String verdictLine(DumpReport report, boolean colour) {
    TextReport text = new TextReport(colour, false);
    text.verdict(report);
    return text.out.toString();
  }

  private void verdict(DumpReport report) {
    Verdict verdict = report.verdict();
    String code =
        switch (verdict) {
          case Verdict.Intact _ -> "32";
          case Verdict.KernelDamaged _ -> "31";
          case Verdict.DumpDamaged _ -> "33";
          case Verdict.Undetermined _ -> "36";
        };
    line(
        paint(code, verdict.kind())
            + ": "
            + Printable.path(report.dump().path())
            + ": "
            + Printable.of(verdict.summary()));
  }

  private void dump(DumpFacts dump) {
    List<String> words = new ArrayList<>();
    words.add(
        dump.format()
            + (dump.version() > 0 ? " v" + dump.version() : "")
            + (dump.flattened() ? " flattened" : ""));
    if (!dump.codecs().isEmpty()) {
      words.add(String.join("+", dump.codecs()));
    }
    if (dump.dumpLevel() >= 0) {
      words.add("dump level " + dump.dumpLevel());
    }
    DumpFacts.PageTotals pages = dump.pages();
    words.add("%,d of %,d pages stored".formatted(pages.stored(), pages.total()));
    if (pages.excluded() > 0) {
      words.add("%,d excluded".formatted(pages.excluded()));
    }
    if (pages.missing() > 0) {
      words.add("%,d missing".formatted(pages.missing()));
    }
    if (!dump.complete()) {
      words.add("INCOMPLETE");
    }
    field("dump", String.join(", ", words));
  }

  private void kernel(KernelFacts kernel) {
    if (!kernel.isFound()) {
      field(
          "kernel",
          kernel.release()
              + (kernel.machine().isEmpty() ? "" : " " + kernel.machine())
              + (kernel.buildId().isEmpty() ? "" : ", build id " + kernel.buildId())
              + ": so the file says; the kernel itself was not found");
      return;
    }
    field("kernel", kernel.release() + " " + kernel.machine() + ", " + kernel.version());
    String found =
        kernel.symbolCount() > 0
            ? "%,d symbols (%s), types (%s)"
                .formatted(
                    kernel.symbolCount(),
                    kernel.symbolSource(),
                    kernel.typeSource().isEmpty() ? "none" : kernel.typeSource())
            : "no symbols";
    field(
        "machine",
        "%s, %s, %d-level paging, KASLR %s%s, %s"
            .formatted(
                kernel.cpus() < 0 ? "CPUs not known" : Counted.of(kernel.cpus(), "CPUs online"),
                bytes(kernel.memoryBytes()),
                kernel.pagingLevels(),
                kernel.kaslrOffset() == 0
                    ? "off"
                    : kernel.kaslrOffset() == Evidence.UNKNOWN
                        ? "not known"
                        : "0x" + Long.toHexString(kernel.kaslrOffset()),
                kernel.smeMask() == 0
                    ? ""
                    : ", memory encryption mask 0x" + Long.toHexString(kernel.smeMask()),
                found));
    if (!kernel.panic().message().isEmpty()) {
      field(
          "panic",
          kernel.panic().message()
              + (kernel.panic().cpu() >= 0 ? " (cpu " + kernel.panic().cpu() + ")" : ""));
    }
    if (!kernel.allocator().isEmpty()) {
      field(
          "slab",
          kernel.allocator()
              + (kernel.slabVariant().isEmpty() ? "" : ", " + kernel.slabVariant())
              + (kernel.decoder().isEmpty() ? "" : ", free pointers " + kernel.decoder()));
    }
  }

  private void state(MachineState state) {
    field("task", MachineText.task(state));
    field("uptime", MachineText.machine(state));
  }

  private void findings(List<Finding> findings) {
    int shown = 0;
    for (Finding finding : findings) {
      if (!verbose && shown == MAX_FINDINGS) {
        line("");
        line("... and %d more findings (-v shows all)".formatted(findings.size() - shown));
        break;
      }
      Cancellation.check();
      shown++;
      line("");
      line(
          paint(finding.cause().isArtefact() ? "33" : "31", finding.cause().id())
              + ": "
              + Printable.of(finding.claim()));
      for (Evidence evidence : finding.evidence()) {
        evidence("  + ", evidence);
      }
      for (Evidence evidence : finding.against()) {
        evidence("  - against: ", evidence);
      }
      line("  = " + finding.cause().explanation());
      line("  > " + finding.cause().whatToDo());
      for (NextSteps step : NextSteps.of(finding, descriptor, dump)) {
        line("  $ " + step.command());
        line("    crash> " + step.crash());
        line("    drgn>>> " + step.drgn());
      }
    }
  }

  private void evidence(String prefix, Evidence evidence) {
    Cancellation.check();
    if (!evidence.sentence().isEmpty()) {
      line(prefix + Printable.of(evidence.sentence()));
    }
    if (evidence
            instanceof Evidence.BytesAt(long at, long _, String hex, int from, int to, String _)
        && !hex.isEmpty()) {
      HexDump.append(out, at, hex, from, to, "      ");
    }
    if (evidence instanceof Evidence.LoggedBytes logged && !logged.hex().isEmpty()) {
      HexDump.append(
          out, logged.address(), logged.hex(), logged.markFrom(), logged.markTo(), "      ");
    }
    if (evidence instanceof Evidence.SlabPicture picture) {
      slab(picture);
    }
  }

  /// One character an object.
  private void slab(Evidence.SlabPicture picture) {
    StringBuilder cells = new StringBuilder(picture.cells());
    if (picture.target() >= 0) {
      cells.setCharAt(picture.target(), 'T');
    }
    if (picture.holder() >= 0) {
      cells.setCharAt(picture.holder(), 'X');
    }
    for (int from = 0; from < cells.length(); from += CELLS_A_LINE) {
      int to = Math.min(cells.length(), from + CELLS_A_LINE);
      line("      %5d %s".formatted(from, cells.substring(from, to)));
    }
    line(
        "            (. allocated, o free on this list%s%s%s)"
            .formatted(
                picture.cells().indexOf(Evidence.SlabPicture.ELSEWHERE) >= 0
                    ? ", c free on another"
                    : "",
                picture.holder() >= 0
                    ? ", X holds the invalid pointer"
                    : ", the head is the invalid pointer",
                picture.target() >= 0 ? ", T is where it points" : ""));
  }

  private void checks(List<CheckOutcome> checks, SaidOnce said) {
    line("");
    for (CheckOutcome outcome : checks) {
      switch (outcome) {
        case CheckOutcome.Ran ran -> {
          line(
              "  %-20s %s"
                  .formatted(ran.id(), Printable.of(CheckTopics.answer(ran.id(), ran.answer()))));
          behind(ran.facts(), ran.notes());
        }
        case CheckOutcome.NothingToLookAt nothing -> {
          line(
              "  %-20s nothing to look at: %s"
                  .formatted(nothing.id(), Printable.of(said.of(nothing.id(), nothing.why()))));
          behind(nothing.facts(), nothing.notes());
        }
        case CheckOutcome.Skipped skipped ->
            line(
                "  %-20s skipped: %s"
                    .formatted(
                        skipped.id(),
                        Printable.of(said.of(skipped.id(), String.join("; ", skipped.unmet())))));
        case CheckOutcome.Declined declined ->
            line("  %-20s declined: %s".formatted(declined.id(), Printable.of(declined.why())));
        case CheckOutcome.Failed failed ->
            line(
                "  %-20s FAILED (a bug of vmcheck): %s"
                    .formatted(failed.id(), Printable.of(failed.reason())));
      }
    }
  }

  private void behind(Map<String, String> facts, List<Note> notes) {
    if (verbose) {
      facts.forEach(
          (name, value) ->
              line("  %-20s   %s".formatted("", Printable.of(FactText.of(name, value)))));
    }
    for (Note note : notes) {
      Cancellation.check();
      line("  %-20s note: %s".formatted("", Printable.of(note.text())));
    }
  }

  private void coverage(DumpReport report) {
    Coverage coverage = report.verdict().coverage();
    line("");
    String name = "looked at";
    for (Map.Entry<String, Coverage> domain : report.coverageByDomain().entrySet()) {
      List<String> looked = new ArrayList<>();
      domain
          .getValue()
          .lookedAt()
          .forEach(
              (kind, count) -> {
                if (count > 0) {
                  looked.add(Counted.of(count, kind));
                }
              });
      if (!looked.isEmpty()) {
        field(name, domain.getKey() + ": " + String.join(", ", looked));
        name = "";
      }
    }
    if (!name.isEmpty()) {
      field(name, "nothing");
    }
    Map<String, Long> held = report.bytesHeld();
    if (!held.isEmpty()) {
      // In order of the checks; two may hold the same word.
      List<String> parts = new ArrayList<>();
      held.forEach((check, bytes) -> parts.add(check + " " + kib(bytes)));
      field(
          "compared",
          "%s%s with what other memory says it must be: %s"
              .formatted(
                  kib(held.values().stream().mapToLong(Long::longValue).sum()),
                  report.bytesStored().isPresent()
                      ? " of %s stored".formatted(kib(report.bytesStored().getAsLong()))
                      : "",
                  String.join(", ", parts)));
    }
    if (!coverage.notRead().isEmpty()) {
      List<String> missed = new ArrayList<>();
      coverage.notRead().forEach((reason, count) -> missed.add("%s: %,d".formatted(reason, count)));
      field("not read", String.join(", ", missed));
    }
    int shown = verbose ? coverage.gaps().size() : Math.min(MAX_GAPS, coverage.gaps().size());
    for (String gap : coverage.gaps().subList(0, shown)) {
      field("gap", gap);
    }
    if (shown < coverage.gaps().size()) {
      field("gap", "%d more (-v shows all)".formatted(coverage.gaps().size() - shown));
    }
    field("time", String.format(Locale.ROOT, "%.2f s", report.seconds()));
  }

  private void field(String name, String value) {
    line("%-10s %s".formatted(name, Printable.of(value)));
  }

  private void line(String text) {
    out.append(text).append('\n');
  }

  private String paint(String code, String text) {
    return colour ? "\u001b[1;" + code + "m" + text + "\u001b[0m" : text;
  }

  private static String kib(long bytes) {
    return bytes >= 10L << 20 ? "%,d MiB".formatted(bytes >> 20) : "%,d KiB".formatted(bytes >> 10);
  }

  private static String bytes(long count) {
    return count >= 10L << 30 ? "%,d GiB".formatted(count >> 30) : "%,d MiB".formatted(count >> 20);
  }
}
