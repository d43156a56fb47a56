package org.vmcheck.report;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpFacts;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.MachineState;
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

  /// The files and options that the user gave, for the commands that are proposed.
  private final List<String> dump;

  private HtmlReport(Markup page, DumpReport report, List<String> dump) {
    this.page = page;
    this.dump = NextSteps.dump(report, dump);
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
  /// @param dump the files and options that the user gave, for the commands that are proposed
  public static String render(DumpReport report, Optional<PageMap> map, List<String> dump) {
    Markup page = HtmlPage.open("vmcheck: " + report.verdict().kind());
    write(page, report, map, dump);
    return HtmlPage.close(page);
  }

  /// Writes what [#render] does onto a page that is open.
  static void write(Markup page, DumpReport report, Optional<PageMap> map, List<String> dump) {
    HtmlReport html = new HtmlReport(page, report, dump);
    html.verdict(report);
    html.contents(report, map.isPresent());
    report.origin().ifPresent(html::origin);
    html.findings(report.findings());
    report.state().ifPresent(html::state);
    html.checks(report.checks(), new SaidOnce(report.verdict().summary()));
    html.facts(report);
    map.ifPresent(html::map);
    html.coverage(report);
    page.element(
        "p",
        "%s, %s s".formatted(report.tool(), String.format(Locale.ROOT, "%.2f", report.seconds())),
        "class",
        "faint");
  }

  private void verdict(DumpReport report) {
    String kind = report.verdict().kind();
    page.open("header", "class", "panel verdict " + kind).newline();
    page.open("h1").element("span", kind, "class", "word").close("h1").newline();
    page.element("div", report.verdict().summary()).newline();
    page.named("div", report.dump().path(), "class", "mono faint").newline();
    if (report.findings().isEmpty() && !report.verdict().reasons().isEmpty()) {
      page.open("ul");
      report.verdict().reasons().forEach(reason -> page.element("li", reason));
      page.close("ul").newline();
    }
    page.close("header").newline();
  }

  private void origin(Origin origin) {
    page.open("section", "class", "panel", "id", "origin").newline();
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
    heading("findings", findings.size() == 1 ? "Finding" : findings.size() + " findings");
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
    List<NextSteps> steps = NextSteps.of(finding, descriptor, dump);
    if (steps.isEmpty()) {
      return;
    }
    page.open("pre", "class", "next");
    for (NextSteps step : steps) {
      page.text("$ ").named("b", step.command()).newline();
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
    heading("dump", "Dump and kernel");
    page.raw("<table>\n");
    DumpFacts dump = report.dump();
    page.open("tr").element("th", "file", "scope", "row").named("td", dump.path()).close("tr");
    page.newline();
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
    heading("machine", "The machine when it was dumped");
    page.raw("<table>\n");
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
              page.element("h3", "Backtrace and registers", "id", "backtrace")
                  .newline()
                  .open("pre");
              TraceText.lines(trace.backtrace()).forEach(line -> page.text(line).newline());
              page.close("pre").newline();
            });
    if (!state.lastLines().isEmpty()) {
      page.element("h3", "The end of the log", "id", "log").newline().open("pre");
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
    heading("checks", "Checks");
    HtmlChecks.write(page, checks, said);
  }

  /// The picture of the low 1 MiB; a sentence where there is nothing to see.
  private void map(PageMap picture) {
    heading("low-memory", "Low memory");
    boolean isEmpty =
        picture.cells().stream()
            .allMatch(cell -> cell.looks() == PageMap.Looks.NOT_STORED && cell.marks().isEmpty());
    if (isEmpty) {
      page.element(
              "p", "No page of the low 1 MiB is in the dump, and nothing was found about them.")
          .newline();
    } else {
      page.open("div", "class", "map").raw(MapSvg.inside(picture)).close("div").newline();
    }
  }

  private void heading(String id, String words) {
    page.element("h2", words, "id", id).newline();
  }

  /// What the page has, by links.
  private void contents(DumpReport report, boolean hasMap) {
    page.open("nav").newline();
    if (report.origin().isPresent()) {
      link("origin", "Hardware or software");
    }
    if (!report.findings().isEmpty()) {
      link("findings", "Findings: " + report.findings().size());
    }
    if (report.state().isPresent()) {
      link("machine", "Machine");
      if (report.state().get().panicking().isPresent()) {
        link("backtrace", "Backtrace");
      }
      if (!report.state().get().lastLines().isEmpty()) {
        link("log", "Log");
      }
    }
    link("checks", "Checks");
    link("dump", "Dump and kernel");
    if (hasMap) {
      link("low-memory", "Low memory");
    }
    link("coverage", "Coverage");
    page.close("nav").newline();
  }

  private void link(String id, String words) {
    page.element("a", words, "href", "#" + id).newline();
  }

  private void coverage(DumpReport report) {
    Coverage coverage = report.verdict().coverage();
    heading("coverage", "Coverage");
    page.raw("<table>\n");
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
