package org.vmcheck.kernel;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.io.Cancellation;

/// What the kernel's own log says that bears on the integrity of memory, with what it names:
/// caches, addresses, page frames.
///
/// @param reports in the order of the log, of each kind the first [#MAX_REPORTS]
/// @param counts of all reports of each kind
public record LogTestimony(List<Report> reports, Map<Topic, Integer> counts) {
  /// Kinds of reports.
  public enum Topic {
    SLAB("SLUB report"),
    LIST("list debugging"),
    MACHINE_CHECK("machine check"),
    EDAC("EDAC"),
    BAD_PAGE("bad page"),
    POISON_FAULT("fault on a poison-like address"),
    SANITIZER("KASAN or KFENCE"),
    ENCRYPTION("memory encryption"),
    LOW_RESERVED("low 1M reserved"),
    MODULE_TAINT("module taint");

    private final String words;

    Topic(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }
  }

  /// One report.
  ///
  /// @param cache that it names, as the kernel prints it; empty if none
  /// @param lines the first, then those that say more of the same
  /// @param addresses that they name
  /// @param pfn page frame that it names, -1 if none
  public record Report(
      Topic topic, String cache, List<LogBuffer.Line> lines, List<Long> addresses, long pfn) {
    public Report {
      lines = List.copyOf(lines);
      addresses = List.copyOf(addresses);
    }

    public LogBuffer.Line first() {
      return lines.getFirst();
    }

    /// Whether the kernel says that it put right what it reports.
    public boolean isRepaired() {
      return lines.stream().anyMatch(line -> line.text().startsWith("FIX "));
    }
  }

  /// More than anyone reads.
  public static final int MAX_REPORTS = 128;

  /// A report with dumps of bytes and a stack trace.
  private static final int MAX_LINES_BETWEEN = 160;

  private static final int MAX_LINES = 24;
  private static final int MAX_ADDRESSES = 48;

  private record Kind(Topic topic, Pattern pattern) {}

  /// Of `include/linux/poison.h`: a free object, a deleted list entry, an object not yet used, the
  /// end of a free object.
  private static final Pattern POISON = Pattern.compile("6b6b6b6b|dead0000|5a5a5a5a|a5a5a5a5");

  private static final List<Kind> KINDS =
      List.of(
          // mm/slub.c: slab_bug. mm/slab.c: check_poison_obj (with the taint since 3.4),
          // slab_error.
          new Kind(
              Topic.SLAB,
              Pattern.compile(
                  "^BUG (?<slub>.+?) \\([^()]*\\): |^Slab corruption(?: \\([^()]*\\))?: (?<slab>.+)"
                      + " start=|^slab error in \\w+\\(\\): cache `(?<slaberr>[^']+)'"
                      + "|^kernel BUG at mm/sl[au]b|Object already free|Freechain corrupt"
                      + "|Freepointer corrupt|Freelist cycle detected")),
          // lib/list_debug.c
          new Kind(Topic.LIST, Pattern.compile("list_(add|del) corruption|list_add double add")),
          new Kind(
              Topic.MACHINE_CHECK,
              Pattern.compile("\\[Hardware Error\\]|Machine check events|^Memory failure: 0x")),
          // drivers/edac: edac_mc.c (edac_ce_error, edac_ue_error), edac_device.c,
          // edac_pci_sysfs.c,
          // and the drivers that say "HANDLING MCE MEMORY ERROR" or decode "Error ...: CE/UE"
          new Kind(
              Topic.EDAC,
              Pattern.compile(
                  "\\bEDAC .{0,80}(\\b\\d+ [CU]E\\b|\\b[CU]E (page|row|memory|- no information|on"
                      + " )|MEMORY ERROR|: [CU]E\\b|Parity Error)")),
          new Kind(
              Topic.BAD_PAGE, Pattern.compile("BUG: Bad page (state|map)|BUG: Bad rss-counter")),
          new Kind(
              Topic.POISON_FAULT,
              Pattern.compile(
                  "^(?!traps: )(?:(?!general protection fault|[Uu]nable to handle).)*+"
                      + "(?:general protection fault|[Uu]nable to handle).*("
                      + POISON
                      + ")")),
          new Kind(Topic.SANITIZER, Pattern.compile("BUG: (KASAN|KFENCE):")),
          new Kind(
              Topic.ENCRYPTION,
              Pattern.compile("Memory Encryption.{0,80}active", Pattern.CASE_INSENSITIVE)),
          new Kind(
              Topic.LOW_RESERVED,
              Pattern.compile("Reserving the low 1M of memory for crashkernel")),
          new Kind(
              Topic.MODULE_TAINT,
              Pattern.compile("module .{0,120}taints kernel|loading out-of-tree module")));

  /// What SLUB says more of what it reports: where, the slab, the object, who had it, what it does.
  private static final Pattern SLAB_DETAIL =
      Pattern.compile(
          "^(INFO: |0x[0-9a-f]{16}-0x|Slab 0x|Object 0x|Allocated in |Freed in |FIX |INFO: Object"
              + " )");

  /// Addresses as numbers with 0x, after `start=` and the like; of dumps of bytes, which begin with
  /// words, no more than the detail lines are read.
  private static final Pattern ADDRESS = Pattern.compile("\\b(?:0x)?([0-9a-f]{16})\\b");

  private static final List<Pattern> PAGE_FRAMES =
      List.of(
          Pattern.compile("\\bpfn:([0-9a-f]{1,13})\\b"),
          Pattern.compile("\\bMemory failure: 0x([0-9a-f]{1,13}):"),
          Pattern.compile("\\b[CU]E .{0,200}?\\bpage[: ]0x([0-9a-f]{1,13})\\b"));

  private static final List<Pattern> PHYSICAL =
      List.of(
          Pattern.compile("\\[Hardware Error\\].{0,400}\\bADDR ([0-9a-f]{1,16})\\b"),
          Pattern.compile("\\bphysical_address: 0x([0-9a-f]{1,16})\\b"));

  public LogTestimony {
    reports = List.copyOf(reports);
    counts = Collections.unmodifiableMap(new LinkedHashMap<>(counts));
  }

  /// @param pageShift of the kernel: some lines name a physical address, some a frame
  public static LogTestimony of(List<LogBuffer.Line> log, int pageShift) {
    Map<Topic, Integer> counts = new LinkedHashMap<>();
    List<Report> reports = new ArrayList<>();
    // Before 5.5 the line of a general protection fault has no address: the registers tell.
    Set<LogBuffer.Line> poisoned = new HashSet<>();
    for (Oops oops : Oops.of(log)) {
      if (oops.line().text().contains("general protection fault")
          && oops.registers().values().stream().anyMatch(LogTestimony::isPoison)) {
        poisoned.add(oops.line());
      }
    }
    for (int i = 0; i < log.size(); i++) {
      Cancellation.check();
      LogBuffer.Line line = log.get(i);
      Report report = report(log, i, pageShift);
      if (report == null && poisoned.contains(line)) {
        report = new Report(Topic.POISON_FAULT, "", List.of(line), List.of(), -1);
      }
      if (report != null && counts.merge(report.topic, 1, Integer::sum) <= MAX_REPORTS) {
        reports.add(report);
      }
    }
    return new LogTestimony(reports, counts);
  }

  private static boolean isPoison(long word) {
    return POISON.matcher("%016x".formatted(word)).find();
  }

  private static Report report(List<LogBuffer.Line> log, int at, int pageShift) {
    LogBuffer.Line first = log.get(at);
    for (Kind kind : KINDS) {
      Matcher matcher = kind.pattern.matcher(first.text());
      if (matcher.find()) {
        String cache = "";
        if (kind.topic == Topic.SLAB) {
          for (String group : List.of("slub", "slab", "slaberr")) {
            cache = matcher.group(group) == null ? cache : matcher.group(group);
          }
        }
        List<LogBuffer.Line> lines = new ArrayList<>(List.of(first));
        if (kind.topic == Topic.SLAB) {
          details(log, at, lines);
        }
        List<Long> addresses = new ArrayList<>();
        for (LogBuffer.Line line : lines) {
          Matcher address = ADDRESS.matcher(line.text());
          while (address.find() && addresses.size() < MAX_ADDRESSES) {
            addresses.add(Long.parseUnsignedLong(address.group(1), 16));
          }
        }
        return new Report(kind.topic, cache, lines, addresses, pageFrame(first.text(), pageShift));
      }
    }
    return null;
  }

  private static void details(List<LogBuffer.Line> log, int at, List<LogBuffer.Line> lines) {
    int end = Math.min(log.size(), at + MAX_LINES_BETWEEN);
    for (int i = at + 1; i < end && lines.size() < MAX_LINES; i++) {
      String text = log.get(i).text();
      if (KINDS.getFirst().pattern.matcher(text).find()) {
        return;
      }
      if (SLAB_DETAIL.matcher(text).find()) {
        lines.add(log.get(i));
      }
      if (text.startsWith("FIX ")) {
        return;
      }
    }
  }

  private static long pageFrame(String text, int pageShift) {
    for (Pattern pattern : PAGE_FRAMES) {
      Matcher matcher = pattern.matcher(text);
      if (matcher.find()) {
        long pfn = Long.parseLong(matcher.group(1), 16);
        return pfn == 0 ? -1 : pfn; // Drivers that do not know the page say 0.
      }
    }
    for (Pattern pattern : PHYSICAL) {
      Matcher matcher = pattern.matcher(text);
      if (matcher.find()) {
        long pfn = Long.parseUnsignedLong(matcher.group(1), 16) >>> pageShift;
        return pfn == 0 ? -1 : pfn;
      }
    }
    return -1;
  }
}
