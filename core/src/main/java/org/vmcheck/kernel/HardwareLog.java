package org.vmcheck.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import org.vmcheck.finding.Origin;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.LogTestimony.Report;
import org.vmcheck.kernel.LogTestimony.Topic;

/// What the kernel's own log tells of the hardware's memory errors (Linux `drivers/edac`,
/// `arch/x86/kernel/cpu/mce`, `drivers/acpi/apei/ghes.c`, `mm/memory-failure.c`).
public final class HardwareLog {
  /// What lines about memory errors have in common: no pattern is tried on others.
  private static final List<String> MARKS =
      List.of("[Hardware Error]", "Machine check", "Memory failure: 0x", "EDAC");

  /// Page frames that are kept.
  private static final int MAX_FRAMES = 256;

  private HardwareLog() {}

  /// @param log the kernel's own records
  /// @param pagesGivenUp pages marked PG_hwpoison
  /// @param pageShift of the kernel
  public static Origin.Signs signs(List<LogBuffer.Line> log, long pagesGivenUp, int pageShift) {
    List<LogBuffer.Line> marked = new ArrayList<>();
    int injected = 0;
    boolean isWatched = false;
    boolean isGuest = false;
    for (LogBuffer.Line line : log) {
      Cancellation.check();
      String text = line.text();
      if (MARKS.stream().anyMatch(text::contains)) {
        marked.add(line);
        isWatched |= text.contains("Giving out device to module");
      }
      // memory-failure.c: hwpoison-inject, madvise and soft offlining; mce-inject.
      if (text.contains("Injecting memory failure")
          || text.startsWith("Soft offlin")
          || text.startsWith("Unpoison: ")
          || text.contains("Starting machine check poll CPU")) {
        injected++;
      }
      isGuest |=
          text.startsWith("Hypervisor detected: ")
              || text.toLowerCase(Locale.ROOT).contains("booting paravirtualized kernel on kvm");
    }
    int edac = 0;
    int firmware = 0;
    int machine = 0;
    Set<Long> frames = new TreeSet<>();
    LogTestimony testimony = LogTestimony.of(marked, pageShift);
    for (Report report : testimony.reports()) {
      if (report.topic() == Topic.EDAC) {
        edac++;
      } else if (report.topic() == Topic.MACHINE_CHECK) {
        if (isFirmwares(report.first().text())) {
          firmware++;
        } else {
          machine++;
        }
      } else {
        continue;
      }
      if (report.pfn() >= 0 && frames.size() < MAX_FRAMES) {
        frames.add(report.pfn());
      }
    }
    // Beyond the reports that are kept only their number is known.
    edac = Math.max(edac, testimony.counts().getOrDefault(Topic.EDAC, 0));
    machine = Math.max(machine, testimony.counts().getOrDefault(Topic.MACHINE_CHECK, 0) - firmware);
    return new Origin.Signs(
        edac, machine, firmware, injected, pagesGivenUp, frames, pageShift, isWatched, isGuest);
  }

  /// Lines of APEI begin with the number of their event, or name it.
  private static boolean isFirmwares(String text) {
    return (text.startsWith("{") && text.contains("}[Hardware Error]"))
        || text.contains("APEI")
        || text.contains("GHES")
        || text.startsWith("BERT:");
  }
}
