package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.vmcheck.dump.Container;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.finding.CacheUse;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.kernel.Identity;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.kernel.Modules;
import org.vmcheck.kernel.Oops;
import org.vmcheck.slab.ClassicSlabLayout;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabFlags;
import org.vmcheck.slab.SlabLayout;
import org.vmcheck.slab.SlabSurvey;

/// Gathers what is known of a kernel into the words of a report.
final class KernelDescription {
  /// What the kernel says when it dies, in order of preference.
  private static final List<Pattern> PANIC_LINES =
      Stream.of(
              List.of(Pattern.compile("(?m)^Kernel panic - not syncing")),
              Oops.HEADS,
              List.of(Pattern.compile("(?m)^(sysrq: |SysRq : )Trigger a crash")))
          .flatMap(List::stream)
          .toList();

  private KernelDescription() {}

  static KernelFacts of(Kernel kernel, Optional<SlabSurvey> survey) {
    Identity identity = kernel.identity();
    SlabLayout.Detection detection = SlabCaches.of(kernel).detection();
    return new KernelFacts(
        identity.release(),
        identity.version(),
        identity.machine(),
        identity.nodename(),
        identity.buildId(),
        identity.commandLine(),
        identity.taint(),
        kernel.perCpu().online(),
        kernel.dump().container().pages().total() * kernel.dump().memory().pageSize(),
        kernel.vmcoreinfo().kernelOffset().orElse(Evidence.UNKNOWN),
        kernel.memory().map().physBase(),
        kernel.memory().paging().levels(),
        kernel.memory().paging().encryptionMask(),
        kernel.symbols().map(symbols -> symbols.source()).orElse(""),
        kernel.symbols().map(symbols -> symbols.count()).orElse(0),
        kernel.types().map(types -> types.source()).orElse(""),
        switch (detection) {
          case SlabLayout.Detection.Known _ -> "SLUB";
          case SlabLayout.Detection.Old _ -> "SLAB";
          case SlabLayout.Detection.Unknown unknown -> unknown.allocator();
        },
        switch (detection) {
          case SlabLayout.Detection.Known(SlabLayout layout) -> layout.variant();
          case SlabLayout.Detection.Old(ClassicSlabLayout layout) -> layout.variant();
          case SlabLayout.Detection.Unknown _ -> "";
        },
        detection instanceof SlabLayout.Detection.Known
            ? survey.map(s -> s.vote().decoder().words()).orElse("")
            : "",
        panic(kernel));
  }

  /// What header and VMCOREINFO say of a kernel that was not found; empty if neither names it.
  static Optional<KernelFacts> ofFile(Dump dump) {
    Container container = dump.container();
    Vmcoreinfo info = dump.vmcoreinfo().orElseGet(() -> Vmcoreinfo.parse(""));
    String release = info.release().isEmpty() ? container.release() : info.release();
    if (release.isEmpty()) {
      return Optional.empty();
    }
    return Optional.of(
        new KernelFacts(
            release,
            "",
            container.machine(),
            "",
            info.value("BUILD-ID").orElse(""),
            "",
            "",
            -1,
            container.pages().total() * dump.memory().pageSize(),
            info.kernelOffset().orElse(Evidence.UNKNOWN),
            info.number("phys_base").orElse(Evidence.UNKNOWN),
            info.number("pgtable_l5_enabled").orElse(0) == 1 ? 5 : 4,
            info.number("sme_mask").orElse(0),
            "",
            0,
            "",
            "",
            "",
            "",
            new KernelFacts.PanicFacts("", -1, info.crashTime().orElse(0), List.of())));
  }

  /// The names of the loaded modules; empty if the list is not whole.
  static Optional<List<String>> modules(Kernel kernel) {
    Modules modules = kernel.modules();
    return modules.isWhole()
        ? Optional.of(modules.all().stream().map(Modules.Module::name).sorted().toList())
        : Optional.empty();
  }

  /// What each cache holds.
  static List<CacheUse> caches(Kernel kernel, SlabSurvey survey) {
    Optional<SlabFlags> flags =
        switch (SlabCaches.of(kernel).detection()) {
          case SlabLayout.Detection.Known(SlabLayout layout) -> Optional.of(layout.flags());
          case SlabLayout.Detection.Old(ClassicSlabLayout layout) -> Optional.of(layout.flags());
          case SlabLayout.Detection.Unknown _ -> Optional.empty();
        };
    List<CacheUse> caches = new ArrayList<>();
    for (SlabSurvey.Tally tally : survey.tallies()) {
      SlabCache cache = tally.cache();
      caches.add(
          new CacheUse(
              cache.name(),
              cache.objectSize(),
              Math.max(0, tally.allocated()),
              tally.objects(),
              flags.isPresent() && flags.get().isReclaimable(cache)));
    }
    caches.sort(Comparator.comparing(CacheUse::name));
    return caches;
  }

  /// That nothing says that the kernel panicked, and what would have said so.
  static String notPanicked(Kernel kernel) {
    LogBuffer log = kernel.log();
    boolean isCpuKnown =
        kernel.variable32("panic_cpu").isPresent() || kernel.variable32("crashing_cpu").isPresent();
    if (log.problem().isEmpty() && !log.records().isEmpty()) {
      return "the kernel had not panicked: no line of its log says so"
          + (isCpuKnown ? ", and no CPU panicked" : "");
    }
    String unread = log.problem().isEmpty() ? "its log is empty" : log.problem();
    return isCpuKnown
        ? "the kernel had not panicked: no CPU did (its log does not tell: %s)".formatted(unread)
        : "whether the kernel had panicked is not known: " + unread;
  }

  private static KernelFacts.PanicFacts panic(Kernel kernel) {
    return panic(
        kernel.log().kernelRecords(),
        kernel.identity().panicCpu(),
        kernel.vmcoreinfo().crashTime().orElse(0));
  }

  static KernelFacts.PanicFacts panic(List<LogBuffer.Line> log, int cpu, long crashTime) {
    String best = "";
    int bestRank = PANIC_LINES.size();
    List<String> context = new ArrayList<>();
    for (LogBuffer.Line line : log) {
      for (int rank = 0; rank < PANIC_LINES.size(); rank++) {
        if (PANIC_LINES.get(rank).matcher(line.text()).find()) {
          context.add(line.text());
          if (rank < bestRank) {
            best = line.text();
            bestRank = rank;
          }
          break;
        }
      }
    }
    return new KernelFacts.PanicFacts(
        best, cpu, crashTime, context.subList(0, Math.min(8, context.size())));
  }
}
