package org.vmcheck.finding;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.SequencedMap;

/// All that a renderer needs to know of one dump.
///
/// @param tool name and version of the program that made it
/// @param kernel empty when no kernel could be found in the dump
/// @param kernels all that were found in the dump's memory, in the order of their numbers; empty
///   where none was
/// @param seconds wall time of the analysis
/// @param state the machine at a glance; empty where no tasks could be found, and in a redacted
///   report
/// @param origin whether hardware or software is to blame; empty where nothing was found and
///   nothing recorded
public record DumpReport(
    String tool,
    DumpFacts dump,
    Optional<KernelFacts> kernel,
    List<KernelEntry> kernels,
    List<CheckOutcome> checks,
    Verdict verdict,
    double seconds,
    Optional<MachineState> state,
    Optional<Origin> origin) {
  private static final Map<String, String> DOMAINS =
      Map.ofEntries(
          Map.entry("container", "file"),
          Map.entry("memory", "address translation and encryption"),
          Map.entry("debuginfo", "debug files"),
          Map.entry("lowmem", "low memory"),
          Map.entry("slab", "slab allocator"),
          Map.entry("page", "page allocator"),
          Map.entry("image", "kernel image"),
          Map.entry("task", "tasks"),
          Map.entry("list", "lists"),
          Map.entry("kfence", "KFENCE"),
          Map.entry("log", "kernel log"));

  public DumpReport {
    kernels = List.copyOf(kernels);
    checks = List.copyOf(checks);
  }

  /// Without the machine's state, the list of kernels and what is to blame.
  public DumpReport(
      String tool,
      DumpFacts dump,
      Optional<KernelFacts> kernel,
      List<CheckOutcome> checks,
      Verdict verdict,
      double seconds) {
    this(
        tool,
        dump,
        kernel,
        List.of(),
        checks,
        verdict,
        seconds,
        Optional.empty(),
        Optional.empty());
  }

  /// What the checks looked at, by what it is of: the checks of one domain share the first word of
  /// their ids.
  public SequencedMap<String, Coverage> coverageByDomain() {
    SequencedMap<String, Coverage> domains = new LinkedHashMap<>();
    for (CheckOutcome outcome : checks) {
      String domain = outcome.id().replaceFirst("\\..*", "");
      domains.merge(DOMAINS.getOrDefault(domain, domain), outcome.coverageIfRan(), Coverage::plus);
    }
    return domains;
  }

  /// How much memory each check held against other memory that says what it must be, in bytes, in
  /// the order of the checks: those that say so. Two may have held the same word.
  public SequencedMap<String, Long> bytesHeld() {
    SequencedMap<String, Long> held = new LinkedHashMap<>();
    for (CheckOutcome outcome : checks) {
      if (outcome instanceof CheckOutcome.Ran ran && ran.facts().containsKey("bytes")) {
        try {
          held.put(ran.id(), Long.parseLong(ran.facts().get("bytes")));
        } catch (NumberFormatException _) {
          // Of a report that another version wrote.
        }
      }
    }
    return held;
  }

  /// Bytes of memory that the file holds, unpacked; empty where no check says how large a page is.
  public OptionalLong bytesStored() {
    for (CheckOutcome outcome : checks) {
      if (outcome instanceof CheckOutcome.Ran ran && ran.facts().containsKey("page size")) {
        try {
          return OptionalLong.of(
              dump.pages().stored() * Long.parseLong(ran.facts().get("page size")));
        } catch (NumberFormatException _) {
          // Of a report that another version wrote.
        }
      }
    }
    return OptionalLong.empty();
  }

  /// How many of the stored pages were decoded; empty where nobody asked, or where pages are stored
  /// as they were.
  public OptionalLong pagesDecoded() {
    return checks.stream()
        .map(outcome -> outcome.coverageIfRan().lookedAt().get("pages decoded"))
        .filter(Objects::nonNull)
        .mapToLong(Long::longValue)
        .reduce(Long::sum);
  }

  /// The report as it is written where there is no time for all of it.
  ///
  /// @param why the time is over, as in `the deadline of 5 s`
  public DumpReport shortened(String why) {
    return ShortReport.of(this, why);
  }

  /// The findings of all checks, the most important first; where nothing tells two apart, in the
  /// order of the checks.
  public List<Finding> findings() {
    return checks.stream()
        .flatMap(outcome -> outcome.findingsIfRan().stream())
        .sorted(Finding.BY_IMPORTANCE)
        .toList();
  }
}
