package org.vmcheck.archive;

import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.io.Lines;
import org.vmcheck.io.Printable;
import org.vmcheck.io.Sha256;

/// What two dumps of the same crash have in common: names and no addresses.
///
/// @param id twelve hexadecimal digits; empty if there is nothing to go by
/// @param text what it was made of
public record CrashSignature(String id, String text) {
  public static final CrashSignature NONE = new CrashSignature("", "");

  private static final int MAX_FRAMES = 6;
  private static final int MAX_FAULTS = 16;
  private static final int MAX_CHARS = 400;

  private static final String PANIC = "Kernel panic - not syncing";

  /// Panics that end an oops or a lockup, which has said more before.
  private static final Pattern ECHO =
      Pattern.compile(PANIC + ": (Fatal exception.*|softlockup: hung tasks.*)?");

  /// How a kernel says that it has a fault, in the order of what tells most.
  private static final List<List<String>> FAULTS =
      List.of(
          List.of(
              "BUG: kernel NULL pointer dereference",
              "BUG: unable to handle",
              "Unable to handle kernel",
              "kernel BUG at ",
              "general protection fault",
              "watchdog: BUG: soft lockup"),
          List.of("Oops: "),
          List.of(PANIC),
          List.of("sysrq: Trigger a crash"));

  private static final Pattern FRAME =
      Pattern.compile(
          "\\s*+(\\? )?+([A-Za-z_][\\w.]*+)\\+0x[0-9a-f]++/0x[0-9a-f]++(?:"
              + " \\[(\\w++)[^\\]]*+\\])?+(?: \\([A-Z]++\\))?+\\s*+");
  private static final Pattern RIP =
      Pattern.compile("(?:RIP: [0-9a-f]++:|^pc : )([A-Za-z_][\\w.]*+)\\+0x");

  /// The way into a panic, the same whatever the cause.
  private static final Pattern COMMON =
      Pattern.compile(
          "dump_stack.*|panic|__?die.*|oops_.*|.*crash_kexec|asm_.*|exc_.*|page_fault_oops|"
              + "bad_area.*|show_.*|__warn.*|report_bug|handle_bug|do_trap|do_error_trap|"
              + "no_context|entry_SYSCALL.*|dump_backtrace|el[01]h?_.*|el[01]t_.*|do_el0_svc.*|"
              + "el0_svc.*|invoke_syscall|__do_kernel_fault|do_mem_abort|do_translation_fault");

  /// Suffixes that a compiler adds, differently in each build; numbers may follow each.
  private static final Set<String> BUILD_SUFFIXES =
      Set.of("isra", "constprop", "part", "cold", "llvm");

  private static final Pattern STAMP =
      Pattern.compile("(<\\d++>)?+\\[ *+\\d++\\.\\d++\\] ?+(\\[ *+[TC]\\d++\\] ?+)?+");

  private static final Pattern HEXADECIMAL = Pattern.compile("0x[0-9a-fA-F]++");
  private static final Pattern ADDRESS = Pattern.compile("\\b(?=[0-9a-f]*\\d)[0-9a-f]{8,16}+\\b");

  /// Who was unlucky, and for how long: "CPU#1 stuck for 26s! [cc1:4242]".
  private static final Pattern TASK = Pattern.compile("\\[[^\\[\\]]*:\\d++\\]");

  private static final Pattern NUMBER = Pattern.compile("\\b\\d++s?+\\b");

  /// The signature of the way the kernel died.
  ///
  /// @param log lines of the kernel log, with or without time stamps
  public static CrashSignature ofPanic(List<String> log) {
    int at = messageAt(log);
    String message = at < 0 ? "" : withoutStamp(log.get(at));
    String rip = "";
    List<String> frames = List.of();
    // Registers and trace follow their message; others, of warnings that the kernel survived, may
    // stand before it.
    for (int i = Math.max(0, at); i < log.size(); i++) {
      String line = withoutStamp(log.get(i));
      Matcher register = RIP.matcher(line);
      if (register.find() && rip.isEmpty() && frames.isEmpty()) {
        rip = symbol(register.group(1));
      }
      if (isTrace(line)) {
        frames = frames(log, i + 1);
      }
      if (!frames.isEmpty() || line.startsWith("---[ end")) {
        break;
      }
    }
    if (message.isEmpty() && rip.isEmpty()) {
      return NONE;
    }
    String text =
        generic(message)
            + (rip.isEmpty() ? "" : " | at " + rip)
            + (frames.isEmpty() ? "" : " | " + String.join(" < ", frames));
    return of(text);
  }

  /// Index of the line that says best why the kernel died; -1 if none does. Of several the last:
  /// what came before it, hours ago perhaps, the machine survived.
  private static int messageAt(List<String> log) {
    int panic = last(log, List.of(PANIC));
    if (panic >= 0 && !ECHO.matcher(withoutStamp(log.get(panic))).matches()) {
      return panic;
    }
    return FAULTS.stream()
        .mapToInt(words -> last(log, words))
        .filter(at -> at >= 0)
        .findFirst()
        .orElse(-1);
  }

  private static int last(List<String> log, List<String> words) {
    for (int i = log.size() - 1; i >= 0; i--) {
      if (words.stream().anyMatch(log.get(i)::contains)) {
        return i;
      }
    }
    return -1;
  }

  /// As x86_64 and arm64 head it.
  private static boolean isTrace(String line) {
    return line.contains("Call Trace:") || line.startsWith("Call trace:");
  }

  private static List<String> frames(List<String> log, int from) {
    List<String> frames = new ArrayList<>();
    for (int i = from; i < Math.min(log.size(), from + 64) && frames.size() < MAX_FRAMES; i++) {
      String line = withoutStamp(log.get(i));
      if (line.contains("</TASK>") || isTrace(line)) {
        break;
      }
      Matcher frame = FRAME.matcher(line);
      // A question mark says that the kernel's unwinder does not vouch for the frame.
      if (frame.matches() && frame.group(1) == null && !COMMON.matcher(frame.group(2)).matches()) {
        String module = frame.group(3);
        frames.add(symbol(frame.group(2)) + (module == null ? "" : " [" + module + "]"));
      }
    }
    return frames;
  }

  /// The signature of the damage in the slabs.
  public static CrashSignature ofDamage(DumpReport report) {
    SortedSet<String> faults = new TreeSet<>();
    for (Finding finding : report.findings()) {
      if (!finding.cause().isArtefact()) {
        faults.add(
            finding.cause().id()
                + (finding.subject().cache().isEmpty() ? "" : " " + finding.subject().cache())
                + place(finding));
      }
    }
    return faults.isEmpty()
        ? NONE
        : of(faults.stream().limit(MAX_FAULTS).collect(Collectors.joining(" | ")));
  }

  /// Where the damage is: the offset in its object, or what the fingerprint calls the place.
  private static String place(Finding finding) {
    long object = finding.subject().object();
    long address = finding.subject().address();
    if (object != Evidence.UNKNOWN
        && address != Evidence.UNKNOWN
        && Long.compareUnsigned(address - object, 1 << 22) < 0) {
      return " +0x" + Long.toHexString(address - object);
    }
    String name = finding.fingerprint().replaceFirst(".*/", "");
    return name.isEmpty() || name.equals(finding.cause().id()) ? "" : " " + name;
  }

  private static CrashSignature of(String text) {
    String printable = Printable.of(text, MAX_CHARS);
    return new CrashSignature(HexFormat.of().formatHex(Sha256.of(printable), 0, 6), printable);
  }

  /// A symbol without what the compiler put behind it.
  static String symbol(String name) {
    int cut = name.length();
    int end = name.length();
    for (int dot = name.lastIndexOf('.'); dot > 0; dot = name.lastIndexOf('.', dot - 1)) {
      String part = name.substring(dot + 1, end);
      if (BUILD_SUFFIXES.contains(part)) {
        cut = dot;
      } else if (part.isEmpty() || !part.chars().allMatch(c -> c >= '0' && c <= '9')) {
        break;
      }
      end = dot;
    }
    return name.substring(0, cut);
  }

  /// A message with the numbers that differ from crash to crash taken out.
  private static String generic(String message) {
    String text = HEXADECIMAL.matcher(Lines.cut(message)).replaceAll("#");
    text = ADDRESS.matcher(text).replaceAll("#");
    text = TASK.matcher(text).replaceAll("[#]");
    return NUMBER.matcher(text).replaceAll("#").strip();
  }

  /// A line of a log without level, time stamp and caller.
  static String withoutStamp(String line) {
    String cut = Lines.cut(line);
    Matcher stamp = STAMP.matcher(cut);
    return (stamp.lookingAt() ? cut.substring(stamp.end()) : cut).stripTrailing();
  }
}
