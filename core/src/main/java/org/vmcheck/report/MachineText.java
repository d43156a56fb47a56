package org.vmcheck.report;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.MachineState;
import org.vmcheck.finding.Task;
import org.vmcheck.finding.TaskTrace;

/// The machine at a glance, in words.
public final class MachineText {
  private MachineText() {}

  /// Who was on the CPU that panicked.
  public static String task(MachineState state) {
    return state
        .panicking()
        .map(
            trace -> {
              Task task = trace.task();
              return "\"%s\"%s, PID %d, on cpu %d"
                  .formatted(
                      task.comm(),
                      task.isKernelThread() ? " (kernel thread)" : "",
                      task.pid(),
                      trace.cpu());
            })
        .orElse("not known");
  }

  /// Time, load, tasks and memory.
  public static String machine(MachineState state) {
    List<String> words = new ArrayList<>();
    words.add(state.uptimeSeconds() < 0 ? "not known" : duration(state.uptimeSeconds()));
    if (!state.load().isEmpty()) {
      words.add(
          "load "
              + String.join(
                  " ",
                  state.load().stream()
                      .map(average -> String.format(Locale.ROOT, "%.2f", average))
                      .toList()));
    }
    List<String> letters = new ArrayList<>();
    state.taskStates().forEach((letter, count) -> letters.add(count + " " + letter));
    words.add(
        "%s%s"
            .formatted(
                Counted.of(state.taskCount(), "tasks"),
                letters.isEmpty() ? "" : " (" + String.join(", ", letters) + ")"));
    if (state.memoryBytes() > 0) {
      words.add("%,d MiB of memory".formatted(state.memoryBytes() >> 20));
    }
    return String.join(", ", words);
  }

  /// What the other CPUs were in; empty if there are none.
  public static String others(MachineState state) {
    List<String> words = new ArrayList<>();
    for (Map.Entry<String, Integer> entry : state.others().entrySet()) {
      words.add(
          entry.getValue() == 1
              ? entry.getKey()
              : "%d in %s".formatted(entry.getValue(), entry.getKey()));
    }
    return String.join(", ", words);
  }

  private static String duration(double seconds) {
    Duration up = Duration.ofSeconds((long) seconds);
    return up.toDays() > 0
        ? "%d d %02d:%02d:%02d"
            .formatted(up.toDays(), up.toHoursPart(), up.toMinutesPart(), up.toSecondsPart())
        : up.toHours() > 0
            ? "%d:%02d:%02d".formatted(up.toHours(), up.toMinutesPart(), up.toSecondsPart())
            : up.toMinutes() > 0
                ? "%d min %d s".formatted(up.toMinutes(), up.toSecondsPart())
                : up.toSeconds() + " s";
  }

  /// The backtrace with its registers, then the end of the log, a heading before each.
  public static List<String> lines(MachineState state) {
    List<String> lines = new ArrayList<>();
    state.panicking().ifPresent(trace -> trace(lines, trace));
    if (!state.lastLines().isEmpty()) {
      lines.add("log        the last " + Counted.of(state.lastLines().size(), "lines"));
      for (String line : LogText.render(state.lastLines()).lines().toList()) {
        lines.add("  " + line);
      }
    }
    return lines;
  }

  private static void trace(List<String> lines, TaskTrace trace) {
    lines.add(
        "backtrace  of \"%s\", PID %d, on cpu %d"
            .formatted(trace.task().comm(), trace.task().pid(), trace.cpu()));
    for (String line : TraceText.lines(trace.backtrace())) {
      lines.add("  " + line);
    }
    if (TraceText.isMarked(trace.backtrace())) {
      lines.add("   " + TraceText.MARKS);
    }
  }
}
