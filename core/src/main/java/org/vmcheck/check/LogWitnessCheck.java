package org.vmcheck.check;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.KernelReports;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.kernel.LogTestimony;
import org.vmcheck.slab.Words;

/// What does the kernel's own log say about its memory?
final class LogWitnessCheck implements Check {
  private static final int MAX_NOTES = 12;
  private static final int MAX_LINE = 160;

  @Override
  public String id() {
    return "log.witness";
  }

  @Override
  public String question() {
    return "What does the kernel's own log say about its memory?";
  }

  @Override
  public String explanation() {
    return """
    Reads the log as a witness. What the kernel proved itself is a finding: damage (SLUB's and
    SLAB's reports, list debugging, the stack's guards, bad page state, page poisoning, KASAN, KFENCE),
    and what it stopped before it did damage (a double free caught in mm/slub.c, a free to the wrong
    cache or of what lies in no slab, usercopy, a reference counter used after its object's free,
    fortified string functions). The finding names the object where the log tells it, and says
    whether the damage was found in the dump, was repaired, or was stopped. Where a check of the
    dump finds damage of the same object or cache, both are one finding: the dump's.

    Only records of the kernel's own facility count: what a program wrote through /dev/kmsg proves
    nothing, and a text log beside a dump has no facility. Program errors without damage (a leaked
    reference, an index that UBSAN caught, a cache destroyed with objects), reports of the kernel's
    self-tests, machine checks and EDAC, faults on poison-like addresses, memory encryption and
    modules that taint are notes, and are quoted with the findings that they support or contradict.

    It can mislead: a module can print anything as the kernel, LKDTM does damage on purpose (said
    against the finding), and the kernel repairs what it reports, so that the log has the only
    trace. Next: read the whole report with vmcheck dmesg.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.KERNEL;
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    LogBuffer log = kernel.log();
    KernelReports reports = KernelReports.of(log.records());
    LogTestimony testimony = LogTestimony.of(log.kernelRecords(), kernel.memory().pageShift());
    List<Finding> findings = new ArrayList<>();
    Set<LogBuffer.Line> told = new HashSet<>();
    List<Note> notes = new ArrayList<>();
    Map<String, String> facts = new LinkedHashMap<>();
    ReportFindings made = new ReportFindings(id(), context);
    for (KernelReports.Report report : reports.reports()) {
      told.addAll(report.lines());
      if (report.isProof()) {
        findings.add(made.of(report));
      } else if (notes.size() < MAX_NOTES) {
        notes.add(note(report));
      }
    }
    if (!findings.isEmpty()) {
      facts.put("reports of the kernel", Integer.toString(findings.size()));
    }
    if (reports.more() > 0) {
      notes.add(new Note("reports", "%d more reports were not read".formatted(reports.more())));
    }
    for (LogTestimony.Report report : testimony.reports()) {
      if (notes.size() < MAX_NOTES && !told.contains(report.first())) {
        String topic = report.topic().words();
        notes.add(new Note(topic, topic + ": " + cut(report.first().text())));
      }
    }
    if (!reports.written().isEmpty()) {
      notes.add(
          new Note(
              "user space",
              "%s like a report of the kernel, written by a program through /dev/kmsg: no evidence"
                  .formatted(
                      Words.plural(reports.written().size(), "record reads", "records read"))));
    }
    testimony.counts().forEach((topic, count) -> facts.put(topic.words(), count.toString()));
    if (!kernel.identity().taint().isEmpty()) {
      facts.put("taint", kernel.identity().taint());
    }
    if (!log.problem().isEmpty()) {
      notes.add(new Note("log", "the log cannot be read whole: " + log.problem()));
    }
    if (log.records().isEmpty()) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          log.problem().isEmpty() ? "the log is empty" : "no line of the log can be read",
          facts,
          notes,
          Coverage.NONE);
    }
    return new CheckOutcome.Ran(
        id(),
        answer(findings, testimony, log),
        facts,
        findings,
        notes,
        new Coverage(Map.of("log lines", (long) log.records().size()), Map.of(), List.of()));
  }

  private static String answer(List<Finding> findings, LogTestimony testimony, LogBuffer log) {
    if (!findings.isEmpty()) {
      return "the kernel itself reports damage: "
          + Words.plural(findings.size(), "report", "reports");
    }
    return testimony.counts().isEmpty()
        ? "nothing about memory in %s%s"
            .formatted(
                Counted.of(log.records().size(), "lines"),
                log.problem().isEmpty() ? "" : " that could be read")
        : String.join(
            ", ", testimony.counts().keySet().stream().map(LogTestimony.Topic::words).toList());
  }

  private static Note note(KernelReports.Report report) {
    String topic = report.selfTest() ? "self-test" : "misuse";
    return new Note(topic, topic + ": " + cut(report.first().text()));
  }

  private static String cut(String line) {
    return line.length() <= MAX_LINE ? line : line.substring(0, MAX_LINE);
  }
}
