package org.vmcheck.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.vmcheck.finding.Backtrace;
import org.vmcheck.finding.Registers;
import org.vmcheck.finding.TaskTrace;

/// A backtrace as crash's `bt` prints it, with a mark where a frame is not proven.
public final class TraceText {
  /// The marks, for the foot of a page.
  public static final String MARKS =
      "(! found by the call that led there, for want of unwind data; ? only seen on the stack)";

  private TraceText() {}

  /// Whether a frame has a mark that [#MARKS] tells.
  public static boolean isMarked(Backtrace backtrace) {
    return backtrace.frames().stream().anyMatch(frame -> frame.mark() != Backtrace.Mark.UNWOUND);
  }

  /// The heading and one line a frame; saved registers stand behind the frame that they interrupt.
  public static String render(TaskTrace trace) {
    StringBuilder out = new StringBuilder();
    out.append(
        "PID: %-6d TASK: %016x  CPU: %d  STATE: %s  COMMAND: \"%s\"%n"
            .formatted(
                trace.task().pid(),
                trace.task().address(),
                trace.task().cpu(),
                trace.cpu() >= 0 ? "on cpu" : "" + trace.task().letter(),
                trace.task().comm()));
    for (String line : lines(trace.backtrace())) {
      out.append(line).append('\n');
    }
    return out.toString();
  }

  /// One line a frame, and those of the registers.
  public static List<String> lines(Backtrace backtrace) {
    List<String> lines = new ArrayList<>();
    String stack = "";
    int number = 0;
    for (Backtrace.Frame frame : backtrace.frames()) {
      if (!frame.stack().equals(stack) && !frame.stack().isEmpty()) {
        if (!stack.isEmpty()) {
          lines.add("--- <" + frame.stack() + "> ---");
        }
        stack = frame.stack();
      }
      lines.add(
          "%c#%-2d [%016x] %s"
              .formatted(frame.mark().sign(), number++, frame.slot(), frame.text()));
      frame.registers().ifPresent(registers -> registers(lines, registers));
    }
    if (!backtrace.isComplete()) {
      lines.add(
          backtrace.frames().isEmpty()
              ? " no backtrace: " + backtrace.why()
              : " incomplete: " + backtrace.why());
    }
    return lines;
  }

  private static void registers(List<String> lines, Registers registers) {
    Set<String> told = Set.of("RIP", "CS", "RFLAGS", "RSP", "SS");
    if (registers.get("RIP").isPresent()) {
      lines.add(
          "     RIP: %04x:%016x  RSP: %04x:%016x  EFLAGS: %08x"
              .formatted(
                  registers.get("CS").orElse(0) & 0xffff,
                  registers.ip(),
                  registers.get("SS").orElse(0) & 0xffff,
                  registers.sp(),
                  registers.get("RFLAGS").orElse(0)));
    }
    StringBuilder line = new StringBuilder();
    int count = 0;
    for (Map.Entry<String, Long> register : registers.words().entrySet()) {
      if (told.contains(register.getKey())) {
        continue;
      }
      line.append(count % 3 == 0 ? "     " : "  ")
          .append("%-3s: %016x".formatted(register.getKey(), register.getValue()));
      if (++count % 3 == 0) {
        lines.add(line.toString());
        line.setLength(0);
      }
    }
    if (!line.isEmpty()) {
      lines.add(line.toString());
    }
  }
}
