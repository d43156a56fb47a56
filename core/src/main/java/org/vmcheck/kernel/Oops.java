package org.vmcheck.kernel;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.io.Cancellation;

/// One oops as the kernel's log tells it: the registers at the moment of the fault, which no note
/// of the dump holds, for those are taken later (Linux `arch/x86/kernel/dumpstack.c`, show_regs;
/// `process_64.c`, __show_regs; `arch/arm64/mm/fault.c`, `kernel/process.c`). The words tell which
/// processor's it is.
///
/// @param line that begins it
/// @param registers by the kernel's names, `RAX` to `R15` or `x0` to `x29` and `sp`; `CR2` or
///   `FAR`, the address that faulted; `RIP` or `pc` only where it is no code of a symbol. As
///   printed, in that order
/// @param function that faulted, `name+offset/size`; empty if it has none
/// @param cpu -1 if not told
/// @param pid of the task, -1 if not told
public record Oops(
    LogBuffer.Line line, Map<String, Long> registers, String function, int cpu, int pid) {
  /// How an oops begins, in order of preference: the sentence before the dump of registers, then
  /// the line with the trap's name, its error code and the number of the oops. What a user's
  /// program does to itself ("traps: x[1] general protection fault ip:...") is none, nor is a soft
  /// lockup.
  public static final List<Pattern> HEADS =
      List.of(
          Pattern.compile("(?m)^BUG: (kernel NULL pointer dereference|unable to handle)"),
          Pattern.compile("(?m)^Unable to handle kernel .{0,80} at virtual address [0-9a-f]{16}"),
          Pattern.compile("(?m)^kernel BUG at "),
          Pattern.compile("(?m)^(Oops: )?general protection fault.*: [0-9a-f]{4,} \\[#\\d+\\]"),
          Pattern.compile("(?m)^(Oops: |[A-Za-z][A-Za-z ,-]*: (.*: )?[0-9a-f]{4,} \\[#\\d+\\])"));

  private static final Pattern REGISTER =
      Pattern.compile(
          "\\b(R[ABCD]X|R[SD]I|R[BS]P|R\\d\\d|CR2): (?:[0-9a-f]{4}:)?([0-9a-f]{16})\\b");

  private static final Pattern REGISTER_OF_ARM64 =
      Pattern.compile("\\b(x\\d{1,2}|sp) ?: ([0-9a-f]{16})\\b");

  private static final Pattern PC = Pattern.compile("^pc : (?:\\[<)?(?:0x)?([0-9a-f]{16})\\b");

  private static final Pattern FUNCTION_OF_ARM64 =
      Pattern.compile("^pc : ([A-Za-z_][\\w.]*+\\+0x[0-9a-f]++/0x[0-9a-f]++)");

  private static final Pattern RIP =
      Pattern.compile("\\bRIP: 0010:(?:\\[<)?(?:0x)?([0-9a-f]{16})\\b");

  private static final Pattern FUNCTION =
      Pattern.compile(
          "\\bRIP: 0010:.{0,64}?(?<![\\w.])([A-Za-z_][\\w.]*+\\+0x[0-9a-f]++/0x[0-9a-f]++)");

  private static final Pattern FAULT_ADDRESS =
      Pattern.compile("(?:address:?|request at|dereference at) (?:0x)?([0-9a-f]{16})\\b");

  private static final Pattern TASK = Pattern.compile("\\bCPU: (\\d+) (?:UID: \\d+ )?PID: (\\d+) ");

  /// Lines from the first to the last that may belong to an oops; stack traces are long.
  private static final int MAX_LINES = 160;

  private static final int MAX_OOPSES = 256;

  public Oops {
    registers = Collections.unmodifiableMap(new LinkedHashMap<>(registers));
  }

  /// Whether a register is the one that holds the address that faulted.
  public static boolean isFaultAddress(String register) {
    return register.equals("CR2") || register.equals("FAR");
  }

  public static boolean isHead(String text) {
    return HEADS.stream().anyMatch(head -> head.matcher(text).find());
  }

  /// Those of a log, in its order; of very many the last.
  public static List<Oops> of(List<LogBuffer.Line> log) {
    List<Oops> all = new ArrayList<>();
    for (int i = 0; i < log.size(); i++) {
      if (isHead(log.get(i).text())) {
        Reader reader = new Reader(log.get(i));
        i = reader.read(log, i) - 1;
        all.add(reader.oops());
      }
    }
    return List.copyOf(all.subList(Math.max(0, all.size() - MAX_OOPSES), all.size()));
  }

  /// What the lines of a report tell of the processor that stopped: registers and function,
  /// whatever they begin with; empty if they have no registers.
  public static Optional<Oops> told(List<LogBuffer.Line> lines) {
    Reader reader = new Reader(lines.getFirst());
    for (LogBuffer.Line line : lines) {
      Cancellation.check();
      if (line.text().contains("RIP: 0033:")) {
        break; // From here on the user's.
      }
      reader.line(line.text());
    }
    Oops told = reader.oops();
    return told.registers.isEmpty() && told.function.isEmpty()
        ? Optional.empty()
        : Optional.of(told);
  }

  private static final class Reader {
    private final LogBuffer.Line first;
    private final Map<String, Long> registers = new LinkedHashMap<>();
    private String function = "";
    private int cpu = -1;
    private int pid = -1;

    Reader(LogBuffer.Line first) {
      this.first = first;
    }

    /// @return index of the first line that is not the oops's
    int read(List<LogBuffer.Line> log, int from) {
      int at = from;
      for (; at < log.size() && at < from + MAX_LINES; at++) {
        String text = log.get(at).text();
        // The line with the error code follows the sentence: a second one after the registers is
        // the next oops.
        if (at > from
            && !registers.keySet().stream().allMatch(Oops::isFaultAddress)
            && isHead(text)) {
          return at;
        }
        // The registers of the user's side come last, and a warning has registers of its own.
        if (text.contains("RIP: 0033:") || text.startsWith("WARNING: ")) {
          return at + 1;
        }
        line(text);
        if (text.contains("---[ end trace")) {
          return at + 1;
        }
      }
      return at;
    }

    private void line(String text) {
      Matcher task = TASK.matcher(text);
      if (cpu < 0 && task.find()) {
        cpu = number(task.group(1));
        pid = number(task.group(2));
      }
      Matcher fault = FAULT_ADDRESS.matcher(text);
      if (isHead(text) && fault.find()) {
        registers.putIfAbsent(
            text.startsWith("Unable to handle") ? "FAR" : "CR2",
            Long.parseUnsignedLong(fault.group(1), 16));
      }
      Matcher named = FUNCTION.matcher(text);
      if (function.isEmpty() && named.find()) {
        function = named.group(1);
      }
      Matcher rip = RIP.matcher(text);
      if (rip.find()) {
        registers.putIfAbsent("RIP", Long.parseUnsignedLong(rip.group(1), 16));
      }
      armLine(text);
      Matcher register = REGISTER.matcher(text);
      while (register.find()) {
        registers.putIfAbsent(register.group(1), Long.parseUnsignedLong(register.group(2), 16));
      }
    }

    private void armLine(String text) {
      Matcher named = FUNCTION_OF_ARM64.matcher(text);
      if (function.isEmpty() && named.find()) {
        function = named.group(1);
      }
      Matcher pc = PC.matcher(text);
      if (pc.find()) {
        registers.putIfAbsent("pc", Long.parseUnsignedLong(pc.group(1), 16));
      }
      Matcher register = REGISTER_OF_ARM64.matcher(text);
      while (register.find()) {
        registers.putIfAbsent(register.group(1), Long.parseUnsignedLong(register.group(2), 16));
      }
    }

    private static int number(String digits) {
      return digits.length() > 9 ? -1 : Integer.parseInt(digits);
    }

    Oops oops() {
      return new Oops(first, registers, function, cpu, pid);
    }
  }
}
