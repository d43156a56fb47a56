package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Note;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;

/// What does the kernel's own log say about its memory?
final class LogWitnessCheck implements Check {
  private static final int MAX_NOTES = 12;
  private static final int MAX_LINE = 160;

  /// A kind of line that bears on the integrity of memory.
  private record Witness(String topic, Pattern pattern) {}

  private static final List<Witness> WITNESSES =
      List.of(
          // mm/slub.c: object_err, slab_bug, check_bytes_and_report
          new Witness(
              "SLUB report",
              Pattern.compile(
                  "^BUG [^ ]+ \\(.*\\): |Object already free|Freechain corrupt|Freepointer corrupt"
                      + "|Redzone overwritten|Poison overwritten|Padding overwritten"
                      + "|Freelist cycle detected|Slab .* objects=")),
          new Witness(
              "list debugging", Pattern.compile("list_(add|del) corruption|list_add double add")),
          new Witness(
              "machine check",
              Pattern.compile("mce: \\[Hardware Error\\]|Machine check|\\[Hardware Error\\]")),
          new Witness("EDAC", Pattern.compile("EDAC .*(CE|UE|error)", Pattern.CASE_INSENSITIVE)),
          new Witness(
              "bad page", Pattern.compile("BUG: Bad page (state|map)|BUG: Bad rss-counter")),
          new Witness(
              "fault on a poison-like address",
              Pattern.compile(
                  "(general protection fault|unable to"
                      + " handle).*(6b6b6b6b|dead0000|5a5a5a5a|a5a5a5a5)")),
          new Witness("KASAN or KFENCE", Pattern.compile("BUG: (KASAN|KFENCE):")),
          new Witness(
              "memory encryption",
              Pattern.compile("Memory Encryption.*active", Pattern.CASE_INSENSITIVE)),
          new Witness(
              "low 1M reserved", Pattern.compile("Reserving the low 1M of memory for crashkernel")),
          new Witness(
              "module taint",
              Pattern.compile("module .*taints kernel|loading out-of-tree module")));

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
    It makes no finding of its own; lines that name a damaged cache are quoted with the finding.

    It can mislead: the kernel repairs what it reports, so a report may have no trace left.
    Next: read the whole log with vmcheck dmesg.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.KERNEL;
  }

  @Override
  public CheckOutcome.Ran run(Subjects subjects) {
    Kernel kernel = subjects.kernel().orElseThrow();
    LogBuffer log = kernel.log();
    Map<String, Integer> counts = new LinkedHashMap<>();
    List<Note> notes = new ArrayList<>();
    for (LogBuffer.Line line : log.records()) {
      for (Witness witness : WITNESSES) {
        if (witness.pattern.matcher(line.text()).find()) {
          counts.merge(witness.topic, 1, Integer::sum);
          if (notes.size() < MAX_NOTES) {
            notes.add(new Note(witness.topic, witness.topic + ": " + cut(line.text())));
          }
          break;
        }
      }
    }
    Map<String, String> facts = new LinkedHashMap<>();
    counts.forEach((topic, count) -> facts.put(topic, count.toString()));
    if (!kernel.identity().taint().isEmpty()) {
      facts.put("taint", kernel.identity().taint());
    }
    if (!log.problem().isEmpty()) {
      notes.add(new Note("log", "the log cannot be read whole: " + log.problem()));
    }
    return new CheckOutcome.Ran(
        id(),
        counts.isEmpty()
            ? "nothing about memory in %d lines".formatted(log.records().size())
            : String.join(", ", counts.keySet()),
        facts,
        List.of(),
        notes,
        new Coverage(Map.of("log lines", (long) log.records().size()), Map.of(), List.of()));
  }

  private static String cut(String line) {
    return line.length() <= MAX_LINE ? line : line.substring(0, MAX_LINE);
  }
}
