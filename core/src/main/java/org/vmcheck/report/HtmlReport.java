package org.vmcheck.report;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpFacts;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.MachineState;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Origin;
import org.vmcheck.finding.PageMap;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.Cancellation;

/// The report of one dump as one HTML file.
public final class HtmlReport {
  /// More findings than anyone reads; the JSON report has them all.
  private static final int MAX_FINDINGS = 200;

  private static final int BYTES_A_LINE = 16;

  private final Markup page;

  /// The structure that describes a slab in this kernel.
  private final String descriptor;

  /// What the user gave, for the commands that are proposed.
  private final List<String> options;

  private HtmlReport(Markup page, DumpReport report, List<String> options) {
    this.page = page;
    this.options = List.copyOf(options);
    this.descriptor = NextSteps.descriptor(report);
  }

  /// Without a picture of memory.
  public static String render(DumpReport report) {
    return render(report, Optional.empty());
  }

  /// @param map the picture of the low 1 MiB
  public static String render(DumpReport report, Optional<PageMap> map) {
    return render(report, map, List.of());
  }

  /// @param map the picture of the low 1 MiB
  /// @param options that the user gave, for the commands that are proposed
  public static String render(DumpReport report, Optional<PageMap> map, List<String> options) {
    Markup page = HtmlPage.open("vmcheck: " + report.verdict().kind());
    HtmlReport html = new HtmlReport(page, report, options);
    html.verdict(report);
    report.origin().ifPresent(html::origin);
    html.findings(report.findings());
    html.facts(report);
    report.state().ifPresent(html::state);
    html.checks(report.checks(), new SaidOnce(report.verdict().summary()));
    map.ifPresent(
        picture -> {
          page.element("h2", "Low memory").newline();
          page.open("div", "class", "map").raw(MapSvg.inside(picture)).close("div").newline();
        });
    html.coverage(report);
    page.element(
        "p",
        "%s, %s s".formatted(report.tool(), String.format(Locale.ROOT, "%.2f", report.seconds())),
        "class",
        "faint");
    return HtmlPage.close(page);
  }

  private void verdict(DumpReport report) {
    String kind = report.verdict().kind();
    page.open("header", "class", "panel verdict " + kind).newline();
    page.open("h1").element("span", kind, "class", "word").close("h1").newline();
    page.element("div", report.verdict().summary()).newline();
    page.element("div", report.dump().path(), "class", "mono faint").newline();
    if (report.findings().isEmpty() && !report.verdict().reasons().isEmpty()) {
      page.open("ul");
      report.verdict().reasons().forEach(reason -> page.element("li", reason));
      page.close("ul").newline();
    }
    page.close("header").newline();
  }

  private void origin(Origin origin) {
    page.open("section", "class", "panel").newline();
    page.open("h2").text("Hardware or software: ").element("span", origin.side().words());
    page.close("h2").newline().open("ul").newline();
    for (Origin.Claim claim : origin.claims()) {
      page.element("li", claim.sentence(), "class", claim.earned() ? "earned" : "faint").newline();
    }
    origin.refutations().forEach(text -> page.element("li", text, "class", "faint").newline());
    page.close("ul").close("section").newline();
  }

  private void findings(List<Finding> findings) {
    if (findings.isEmpty()) {
      return;
    }
    page.element("h2", findings.size() == 1 ? "Finding" : findings.size() + " findings").newline();
    for (Finding finding : findings.subList(0, Math.min(MAX_FINDINGS, findings.size()))) {
      finding(finding);
    }
    if (findings.size() > MAX_FINDINGS) {
      page.element(
          "p", "%d more are in the JSON report.".formatted(findings.size() - MAX_FINDINGS));
    }
  }

  private void finding(Finding finding) {
    String kind = finding.cause().isArtefact() ? "dump-damaged" : "kernel-damaged";
    page.open("section", "class", "panel verdict " + kind).newline();
    page.open("h3").element("span", finding.cause().id(), "class", "word").close("h3").newline();
    page.element("p", finding.claim()).newline();
    subject(finding.subject());
    for (Evidence evidence : finding.evidence()) {
      evidence("For: ", evidence);
    }
    for (Evidence evidence : finding.against()) {
      evidence("Against: ", evidence);
    }
    page.element("p", finding.cause().explanation()).newline();
    page.open("p").element("b", "What to do: ").text(finding.cause().whatToDo()).close("p");
    if (!finding.cause().reference().isEmpty()) {
      page.element("p", "See: " + finding.cause().reference(), "class", "faint");
    }
    page.newline();
    next(finding);
    page.close("section").newline();
  }

  /// Lines to be pasted, the twins for crash and drgn behind each.
  private void next(Finding finding) {
    List<NextSteps> steps = NextSteps.of(finding, descriptor, options);
    if (steps.isEmpty()) {
      return;
    }
    page.open("pre", "class", "next");
    for (NextSteps step : steps) {
      page.text("$ ").element("b", step.command()).newline();
      page.element("span", "  crash> " + step.crash(), "class", "faint").newline();
      page.element("span", "  drgn>>> " + step.drgn(), "class", "faint").newline();
    }
    page.close("pre").newline();
  }

  private void subject(Subject subject) {
    List<String> parts = new ArrayList<>();
    if (!subject.cache().isEmpty()) {
      parts.add("cache " + subject.cache());
    }
    part(parts, "slab", subject.slab());
    part(parts, "object", subject.object());
    part(parts, "address", subject.address());
    part(parts, "physical", subject.physical());
    if (!parts.isEmpty()) {
      page.element("p", String.join(", ", parts), "class", "mono").newline();
    }
  }

  private static void part(List<String> parts, String name, long value) {
    if (value != Evidence.UNKNOWN) {
      parts.add(name + " 0x" + Long.toHexString(value));
    }
  }

  private void evidence(String prefix, Evidence evidence) {
    Cancellation.check();
    page.open("div").element("span", prefix, "class", "faint").text(evidence.sentence());
    page.close("div").newline();
    switch (evidence) {
      case Evidence.BytesAt(long at, long _, String hex, int from, int to, String _) ->
          bytes(at, hex, from, to);
      case Evidence.LoggedBytes logged ->
          bytes(logged.address(), logged.hex(), logged.markFrom(), logged.markTo());
      case Evidence.SlabPicture picture -> SlabSvg.draw(page, picture);
      case Evidence.WordAt _,
          Evidence.ChainBroken _,
          Evidence.CountMismatch _,
          Evidence.Run _,
          Evidence.PageLooksLike _,
          Evidence.WhatIf _,
          Evidence.LogLineSays _ -> {}
    }
  }

  private void bytes(long address, String hex, int markFrom, int markTo) {
    int count = hex.length() / 2;
    if (count == 0) {
      return;
    }
    page.open("pre");
    for (int line = 0; line < count; line += BYTES_A_LINE) {
      page.text(
          address == Evidence.UNKNOWN
              ? "+%04x  ".formatted(line)
              : "%016x  ".formatted(address + line));
      StringBuilder text = new StringBuilder();
      for (int i = line; i < line + BYTES_A_LINE; i++) {
        if (i >= count) {
          page.raw("   ");
          continue;
        }
        String digits = hex.substring(2 * i, 2 * i + 2);
        if (i >= markFrom && i < markTo) {
          page.element("mark", digits).raw(" ");
        } else {
          page.text(digits).raw(" ");
        }
        int value = Integer.parseInt(digits, 16);
        text.append(value >= 0x20 && value < 0x7f ? (char) value : '.');
      }
      page.text(" |" + text + "|").newline();
    }
    page.close("pre").newline();
  }

  private void facts(DumpReport report) {
    page.element("h2", "Dump and kernel").raw("\n<table>\n");
    DumpFacts dump = report.dump();
    HtmlPage.row(page, "file", dump.path());
    HtmlPage.row(page, "size", "%,d bytes".formatted(dump.fileBytes()));
    HtmlPage.row(
        page,
        "format",
        dump.format()
            + (dump.version() > 0 ? ", header version " + dump.version() : "")
            + (dump.flattened() ? ", flattened" : "")
            + (dump.codecs().isEmpty() ? "" : ", " + String.join(" and ", dump.codecs()))
            + (dump.dumpLevel() < 0 ? "" : ", dump level " + dump.dumpLevel()));
    HtmlPage.row(
        page,
        "pages",
        "%,d: %,d stored, %,d excluded, %,d missing"
            .formatted(
                dump.pages().total(),
                dump.pages().stored(),
                dump.pages().excluded(),
                dump.pages().missing()));
    HtmlPage.row(page, "complete", dump.complete() ? "yes" : "no");
    report.kernel().ifPresent(this::kernel);
    page.raw("</table>\n");
  }

  private void state(MachineState state) {
    page.element("h2", "The machine when it was dumped").raw("\n<table>\n");
    HtmlPage.row(page, "task", MachineText.task(state));
    HtmlPage.row(page, "uptime", MachineText.machine(state));
    if (!state.others().isEmpty()) {
      HtmlPage.row(page, "other CPUs", MachineText.others(state));
    }
    page.raw("</table>\n");
    state
        .panicking()
        .ifPresent(
            trace -> {
              page.element("h3", "Backtrace").newline().open("pre");
              TraceText.lines(trace.backtrace()).forEach(line -> page.text(line).newline());
              page.close("pre").newline();
            });
    if (!state.lastLines().isEmpty()) {
      page.element("h3", "The end of the log").newline().open("pre");
      LogText.render(state.lastLines()).lines().forEach(line -> page.text(line).newline());
      page.close("pre").newline();
    }
  }

  private void kernel(KernelFacts kernel) {
    HtmlPage.row(page, "release", kernel.release() + " " + kernel.machine());
    HtmlPage.row(page, "version", kernel.version());
    HtmlPage.row(page, "node", kernel.nodename());
    HtmlPage.row(page, "build id", kernel.buildId());
    if (!kernel.isFound()) {
      HtmlPage.row(page, "source", "the file's header and notes: the kernel was not found");
      return;
    }
    HtmlPage.row(page, "command line", kernel.commandLine());
    HtmlPage.row(page, "taint", kernel.taint().isEmpty() ? "none" : kernel.taint());
    HtmlPage.row(
        page,
        "symbols and types",
        "%,d from %s; %s"
            .formatted(
                kernel.symbolCount(),
                kernel.symbolSource().isEmpty() ? "nowhere" : kernel.symbolSource(),
                kernel.typeSource().isEmpty() ? "no types" : kernel.typeSource()));
    HtmlPage.row(
        page,
        "slab allocator",
        (kernel.allocator().isEmpty() ? "not known" : kernel.allocator())
            + (kernel.slabVariant().isEmpty() ? "" : ", " + kernel.slabVariant())
            + (kernel.decoder().isEmpty() ? "" : ", free pointers " + kernel.decoder()));
    HtmlPage.row(
        page,
        "panic",
        kernel.panic().message().isEmpty() ? "no message found" : kernel.panic().message());
    if (kernel.panic().crashTime() > 0) {
      HtmlPage.row(page, "time", Instant.ofEpochSecond(kernel.panic().crashTime()).toString());
    }
  }

  private void checks(List<CheckOutcome> checks, SaidOnce said) {
    page.element("h2", "Checks").raw("\n<table>\n");
    page.raw("<tr><th>check</th><th>answer</th></tr>\n");
    for (CheckOutcome outcome : checks) {
      page.open("tr").element("td", outcome.id(), "class", "mono id").open("td");
      switch (outcome) {
        case CheckOutcome.Ran ran -> {
          page.text(ran.answer());
          behind(ran.facts(), ran.notes());
        }
        case CheckOutcome.NothingToLookAt nothing -> {
          page.text("nothing to look at: " + said.of(nothing.id(), nothing.why()));
          behind(nothing.facts(), nothing.notes());
        }
        case CheckOutcome.Skipped skipped ->
            page.text("skipped: " + said.of(skipped.id(), String.join("; ", skipped.unmet())));
        case CheckOutcome.Failed failed -> page.text("failed, a bug: " + failed.reason());
      }
      page.close("td").close("tr").newline();
    }
    page.raw("</table>\n");
  }

  private void behind(Map<String, String> facts, List<Note> notes) {
    for (Note note : notes) {
      Cancellation.check();
      page.element("div", "note: " + note.text(), "class", "faint");
    }
    if (!facts.isEmpty()) {
      page.open("details").element("summary", "facts", "class", "faint").open("ul");
      facts.forEach((name, value) -> page.element("li", name + ": " + value));
      page.close("ul").close("details");
    }
  }

  private void coverage(DumpReport report) {
    Coverage coverage = report.verdict().coverage();
    page.element("h2", "Coverage").raw("\n<table>\n");
    report
        .coverageByDomain()
        .forEach(
            (domain, part) ->
                part.lookedAt()
                    .forEach(
                        (kind, count) ->
                            HtmlPage.row(page, domain + ": " + kind, "%,d".formatted(count))));
    coverage
        .notRead()
        .forEach(
            (reason, count) -> HtmlPage.row(page, "not read: " + reason, "%,d".formatted(count)));
    coverage.gaps().forEach(gap -> HtmlPage.row(page, "gap", gap));
    page.raw("</table>\n");
  }
}
