package org.vmcheck.kernel;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Fate;
import org.vmcheck.io.Cancellation;

/// What a log tells of damage to the kernel's memory that the kernel itself noticed: each
/// [KernelMessage] with the lines of the same report that follow it. Only records of the kernel's
/// own facility are read.
///
/// @param reports in the order of the log, the same one told again only once, at most
///   [#MAX_REPORTS]
/// @param more reports beyond these
/// @param written lines of programs that read like one of the kernel's
public record KernelReports(List<Report> reports, int more, List<LogBuffer.Line> written) {
  static final int MAX_REPORTS = 64;

  /// Lines from the first of a report to its last: dumps of bytes and stack traces are long.
  private static final int MAX_LINES = 640;

  /// Lines from a report's text to its trap.
  private static final int SEQUEL_LINES = 160;

  /// A record may have 64 KiB; no text that is looked for is longer.
  private static final int MAX_CHARS = 512;

  /// What reports begin with: a log has few such lines, and no pattern is compiled for the others.
  private static final List<String> STARTS =
      List.of(
          "BUG",
          "Bad or",
          "KASAN: ",
          "Insufficient stack space",
          "Kernel panic - ",
          "Not a kmalloc",
          "ODEBUG: ",
          "SLUB <none>",
          "Slab corruption",
          "Thread overran",
          "UBSAN: ",
          "WARNING: ",
          "cache_from_obj",
          "detected",
          "kernel BUG at ",
          "kmem_cache_",
          "list_",
          "object pointer",
          "pagealloc: ",
          "refcount_t",
          "slab error",
          "slab: ",
          "usercopy: ");

  /// What reports have behind the name of a function.
  private static final List<String> BEHIND_A_NAME =
      List.of(": detected ", ": Object is not a Slab");

  /// Compiled for logs that have a report.
  private static final class Text {
    /// Lines that say more of a report and are worth quoting: where, which object, what was done.
    private static final Pattern DETAIL =
        Pattern.compile(
            "^(INFO: |0x[0-9a-f]{8,16}-0x|\\[.{4,40} overwritten\\]|Slab 0x|Object 0x|Allocated in "
                + "|Freed in |FIX |(Read|Write) of size |The buggy address |Corrupted memory at "
                + "|(Out-of-bounds|Use-after-free|Invalid) .{1,20} (at|of) 0x|kfence-#\\d"
                + "|page dumped because: |page: ?|WARNING: |RIP: 0010:)");

    private static final Pattern ZONE = Pattern.compile("^\\[(.{4,40}) overwritten\\]");

    /// The line that tells the zone stands before the title.
    private static final int ZONE_BEFORE = 4;

    /// An entry of a stack trace that the unwinder vouches for.
    private static final Pattern FRAME =
        Pattern.compile("^ +([A-Za-z_][\\w.]*\\+0x[0-9a-f]+/0x[0-9a-f]+(?: \\[\\w+\\])?)$");

    /// Functions that notice, report or free, and are not who did it.
    private static final Pattern REPORTER =
        Pattern.compile(
            "^(?:dump_stack|print_|show_|object_err|check_|alloc_|kv?z?free|refcount_|report_bug"
                + "|handle_|exc_|asm_exc_|usercopy_|bad_page|kfence_|panic|vpanic|dequeue_|_copy_"
                + "|_*+(?:slab_|free_|kfree|kmem_cache_|kmalloc|cache_|list_|warn|check_|fortify_"
                + "|kasan|stack_chk_fail|asan_)).*");

    private static final Pattern KFENCE = Pattern.compile("\\bkfence-#(\\d{1,6})\\b");

    /// Of `dump_page`, which follows reports of pages; its pointers may be hashed, this is not.
    private static final Pattern PFN =
        Pattern.compile("^page: ?.{0,200}\\bpfn:0x([0-9a-f]{1,13})\\b");

    private static final Pattern ADDRESS = Pattern.compile("\\b(?:0x)?([0-9a-f]{16})\\b");

    /// The kernel's self-tests damage memory on purpose and look whether it is noticed.
    private static final Pattern SELF_TEST =
        Pattern.compile(
            "\\[(kasan_test|kasan_test_module|test_kasan|test_kasan_module|kfence_test|slub_kunit"
                + "|fortify_kunit|usercopy_kunit|test_user_copy|kmsan_test|test_ubsan)\\]");

    private static final Pattern KUNIT = Pattern.compile("\\bComm: kunit_try_catch\\b");
  }

  /// @param message the row that its first line matched
  /// @param lines all of it, the first line first
  /// @param cause as told by all lines
  /// @param cache that it names, as the kernel prints it; empty if none
  /// @param other a second cache that it names: the wrong one; empty if none
  /// @param addresses that it names, in order
  /// @param registers that it prints
  /// @param function it stopped in, `name+offset/size`; empty if not told
  /// @param caller the first function of its stack trace that is no part of noticing and reporting;
  ///   empty if not told
  /// @param pfn page frame, -1 if none
  /// @param kfence index of the KFENCE object, -1 if none
  /// @param times how often the log has the same
  /// @param selfTest whether a self-test of the kernel made it
  /// @param lkdtm the line by which LKDTM announced to do such; null if none
  public record Report(
      KernelMessage message,
      List<LogBuffer.Line> lines,
      Cause cause,
      Fate fate,
      String cache,
      String other,
      List<Long> addresses,
      Map<String, Long> registers,
      String function,
      String caller,
      long pfn,
      int kfence,
      int times,
      boolean selfTest,
      LogBuffer.Line lkdtm) {
    public LogBuffer.Line first() {
      return lines.getFirst();
    }

    public boolean isProof() {
      return message.proof() != KernelMessage.Proof.MISUSE && !selfTest;
    }

    Report again() {
      return new Report(
          message, lines, cause, fate, cache, other, addresses, registers, function, caller, pfn,
          kfence, times + 1, selfTest, lkdtm);
    }

    /// The lines worth quoting, at most `most`.
    public List<LogBuffer.Line> quotes(int most) {
      List<LogBuffer.Line> quotes = new ArrayList<>(List.of(first()));
      for (LogBuffer.Line line : lines.subList(1, lines.size())) {
        String text = cut(line.text());
        if (text.startsWith("FIX ") || (quotes.size() < most && Text.DETAIL.matcher(text).find())) {
          quotes.add(line);
        }
      }
      return quotes;
    }
  }

  public KernelReports {
    reports = List.copyOf(reports);
    written = List.copyOf(written);
  }

  public static KernelReports of(List<LogBuffer.Line> log) {
    List<LogBuffer.Line> kernels = log.stream().filter(LogBuffer.Line::isKernels).toList();
    List<LogBuffer.Line> written =
        log.stream()
            .filter(line -> !line.isKernels())
            .filter(line -> line.text().lines().anyMatch(text -> match(text) != null))
            .toList();
    return new Reader(kernels).read(written);
  }

  /// As much of a line as patterns are asked about: those of the kernel's own end far before.
  public static String cut(String text) {
    return text.length() <= MAX_CHARS ? text : text.substring(0, MAX_CHARS);
  }

  /// The row that a text begins with, with what it names; null if none.
  private static Match match(String text) {
    if (STARTS.stream().noneMatch(text::startsWith)
        && BEHIND_A_NAME.stream().noneMatch(cut(text)::contains)) {
      return null;
    }
    Cancellation.check();
    for (KernelMessage message : KernelMessage.values()) {
      if (message.mayStart(text)) {
        Matcher matcher = message.pattern().matcher(cut(text));
        if (matcher.find()) {
          return new Match(message, matcher);
        }
      }
    }
    return null;
  }

  private record Match(KernelMessage message, Matcher matcher) {
    /// What a group of the row's pattern holds; patterns with alternatives name it twice.
    String group(String name) {
      Map<String, Integer> groups = matcher.pattern().namedGroups();
      for (String either : List.of(name, name + "s")) {
        if (groups.containsKey(either) && matcher.group(either) != null) {
          return matcher.group(either);
        }
      }
      return "";
    }
  }

  private static final class Reader {
    private final List<LogBuffer.Line> log;

    /// By what makes two reports the same.
    private final Map<String, Integer> known = new HashMap<>();

    private final List<Report> reports = new ArrayList<>();
    private int more;

    Reader(List<LogBuffer.Line> log) {
      this.log = log;
    }

    KernelReports read(List<LogBuffer.Line> written) {
      boolean isTesting = false;
      LogBuffer.Line lkdtm = null;
      int coveredTo = 0;
      KernelMessage covering = null;
      for (int i = 0; i < log.size(); i++) {
        Cancellation.check();
        String text = log.get(i).text();
        isTesting |= text.contains("# Subtest: ");
        // LKDTM damages memory on purpose, too, but what it does is done.
        if (text.startsWith("lkdtm: Performing ")) {
          lkdtm = log.get(i);
        }
        Match match = match(text);
        if (match == null || (i < coveredTo && isSequel(covering, match.message))) {
          continue;
        }
        covering = match.message;
        List<LogBuffer.Line> lines = lines(i, covering);
        coveredTo = i + SEQUEL_LINES;
        add(report(match, lines, isTesting, lkdtm));
      }
      return new KernelReports(reports, more, written);
    }

    private void add(Report report) {
      String key =
          report.message + "/" + report.cache + "/" + report.other + "/" + report.addresses;
      Integer at = known.get(key);
      if (at != null) {
        reports.set(at, reports.get(at).again());
      } else if (reports.size() < MAX_REPORTS) {
        known.put(key, reports.size());
        reports.add(report);
      } else {
        more++;
      }
    }

    /// Whether a message is only how the report before it goes on: the trap behind its text.
    private static boolean isSequel(KernelMessage first, KernelMessage next) {
      return first.source().equals(next.source())
          && switch (next) {
            case SLUB_BUG, SLAB_BUG, LIST_BUG, USERCOPY_BUG -> true;
            case SLUB_DISABLED -> first != next;
            case STACK_OVERFLOW -> first == KernelMessage.NO_STACK_SPACE;
            case FORTIFY -> first == KernelMessage.FORTIFY || first == KernelMessage.FORTIFY_READ;
            default -> false;
          };
    }

    /// The lines of a report: those of its writer up to the next report or the end of its trace.
    private List<LogBuffer.Line> lines(int from, KernelMessage message) {
      LogBuffer.Line first = log.get(from);
      List<LogBuffer.Line> lines = new ArrayList<>(List.of(first));
      for (int i = Math.max(0, from - Text.ZONE_BEFORE); i < from; i++) {
        if (log.get(i).caller() == first.caller()
            && message == KernelMessage.SLUB_OBJECT
            && Text.ZONE.matcher(cut(log.get(i).text())).find()) {
          lines.add(log.get(i));
        }
      }
      boolean isEnding = false;
      for (int i = from + 1; i < Math.min(log.size(), from + MAX_LINES); i++) {
        LogBuffer.Line line = log.get(i);
        if (line.caller() != first.caller()) {
          continue;
        }
        Match next = match(line.text());
        if (next != null && !isSequel(message, next.message)) {
          break;
        }
        // What the kernel put right stands last, with a newer kernel behind the trace.
        boolean isFix = line.text().startsWith("FIX ");
        if (isEnding && !isFix) {
          break;
        }
        lines.add(line);
        isEnding = isFix || line.text().startsWith("---[ end trace");
      }
      return lines;
    }

    private static Report report(
        Match match, List<LogBuffer.Line> lines, boolean isTesting, LogBuffer.Line lkdtm) {
      KernelMessage message = match.message;
      Cause cause = message.cause();
      Fate fate = message.fate();
      int kfence = -1;
      boolean isSelfTest = false;
      List<Long> addresses = new ArrayList<>();
      for (LogBuffer.Line line : lines) {
        String text = cut(line.text());
        Matcher zone = Text.ZONE.matcher(text);
        if (message == KernelMessage.SLUB_OBJECT && zone.find()) {
          cause =
              zone.group(1).endsWith("Redzone")
                  ? Cause.REDZONE_OVERWRITTEN
                  : Cause.POISON_OVERWRITTEN;
        }
        if (text.startsWith("FIX ") && !text.endsWith(" not freed") && fate == Fate.UNTOLD) {
          fate = Fate.REPAIRED;
        }
        Matcher index = Text.KFENCE.matcher(text);
        if (kfence < 0 && index.find()) {
          kfence = Integer.parseInt(index.group(1));
        }
        isSelfTest |=
            Text.SELF_TEST.matcher(text).find() || (isTesting && Text.KUNIT.matcher(text).find());
        if (line.equals(lines.getFirst()) || isOfObject(text)) {
          Matcher address = Text.ADDRESS.matcher(text);
          while (address.find() && addresses.size() < 16) {
            addresses.add(Long.parseUnsignedLong(address.group(1), 16));
          }
        }
        if (text.startsWith("Read of size ")) {
          fate = Fate.STOPPED;
        }
        if (text.startsWith("Write of size ") && match.group("kind").contains("use-after-free")) {
          cause = Cause.USE_AFTER_FREE_WRITE;
        }
      }
      if (message == KernelMessage.KFENCE_WRITE && match.group("kind").equals("use-after-free")) {
        cause = Cause.USE_AFTER_FREE_WRITE;
      }
      Optional<Oops> told = Oops.told(lines);
      return new Report(
          message,
          lines,
          cause,
          fate,
          match.group("cache"),
          match.group("other"),
          addresses,
          told.map(Oops::registers).orElse(Map.of()),
          told.map(Oops::function).orElse(""),
          caller(lines),
          match.group("pfn").isEmpty() ? dumped(lines) : Long.parseLong(match.group("pfn"), 16),
          kfence,
          1,
          isSelfTest,
          lkdtm);
    }

    /// The page frame whose descriptor the report prints; -1 if none.
    private static long dumped(List<LogBuffer.Line> lines) {
      for (LogBuffer.Line line : lines) {
        Matcher page = Text.PFN.matcher(cut(line.text()));
        if (page.find()) {
          return Long.parseLong(page.group(1), 16);
        }
      }
      return -1;
    }

    private static String caller(List<LogBuffer.Line> lines) {
      boolean isTrace = false;
      for (LogBuffer.Line line : lines) {
        String text = cut(line.text());
        isTrace |= text.startsWith("Call Trace:");
        Matcher frame = Text.FRAME.matcher(text);
        if (isTrace && frame.find() && !Text.REPORTER.matcher(frame.group(1)).matches()) {
          return frame.group(1);
        }
      }
      return "";
    }

    private static boolean isOfObject(String text) {
      return text.startsWith("Object 0x")
          || text.startsWith("INFO: Object 0x")
          || text.startsWith("The buggy address belongs to the object at ");
    }
  }
}
