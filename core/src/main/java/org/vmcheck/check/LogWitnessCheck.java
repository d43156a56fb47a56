package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Note;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;

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
    Reads the log as a witness: SLUB's own reports, list debugging, machine checks and EDAC, bad
    pages, faults on poison-like addresses, KASAN and KFENCE, memory encryption, tainting modules.
    It makes no finding of its own. Lines that name a damaged object, its page or its cache, that
    tell of memory errors or of a module that taints the kernel, are quoted with the findings that
    they support or contradict.

    It can mislead: the kernel repairs what it reports, so a report may have no trace left.
    Next: read the whole log with vmcheck dmesg.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.KERNEL;
  }

  @Override
  public CheckOutcome run(Subjects subjects) {
    Kernel kernel = subjects.kernel().orElseThrow();
    LogBuffer log = kernel.log();
    LogTestimony testimony = LogTestimony.of(log.records());
    List<Note> notes = new ArrayList<>();
    for (LogTestimony.Report report : testimony.reports()) {
      if (notes.size() < MAX_NOTES) {
        String topic = report.topic().words();
        notes.add(new Note(topic, topic + ": " + cut(report.first().text())));
      }
    }
    Map<String, String> facts = new LinkedHashMap<>();
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
        testimony.counts().isEmpty()
            ? "nothing about memory in %d lines".formatted(log.records().size())
            : String.join(
                ", ", testimony.counts().keySet().stream().map(LogTestimony.Topic::words).toList()),
        facts,
        List.of(),
        notes,
        new Coverage(Map.of("log lines", (long) log.records().size()), Map.of(), List.of()));
  }

  private static String cut(String line) {
    return line.length() <= MAX_LINE ? line : line.substring(0, MAX_LINE);
  }
}
