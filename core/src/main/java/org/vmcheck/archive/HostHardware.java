package org.vmcheck.archive;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.vmcheck.analysis.HardwareRule;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Origin;

/// Hardware or software, of one host over all its dumps. Physical addresses are the same from boot
/// to boot, so the same bit in two crashes is a stuck one.
///
/// @param host the dump's name for it, else its directory's, else the origin
/// @param crashes ids of the incidents that were weighed, one a crash; a flipped bit names its
///   crash by the place here
public record HostHardware(String host, List<String> crashes, Origin origin) {
  /// Findings of one dump that are weighed: one smear makes many.
  private static final int MAX_FINDINGS = 64;

  public HostHardware {
    crashes = List.copyOf(crashes);
  }

  /// What all hosts of a selection come to.
  ///
  /// @param hosts those with damage or with something that the kernel recorded of the hardware,
  ///   hardware first
  /// @param others how many hosts have neither
  /// @param dumps that were weighed
  public record Hosts(List<HostHardware> hosts, int others, int dumps) {
    public Hosts {
      hosts = List.copyOf(hosts);
    }
  }

  /// The crashes of a host by what tells them apart.
  private static final class Crashes {
    private final Map<String, String> ids = new LinkedHashMap<>();
    private final Map<String, HardwareRule.Part> parts = new LinkedHashMap<>();
  }

  /// Weighs the selected incidents that count and have a report.
  public static Hosts of(Catalogue catalogue, Selection selection) throws IOException {
    Map<String, Crashes> hosts = new TreeMap<>();
    int[] dumps = {0};
    catalogue.forEach(
        selection,
        entry -> {
          Optional<DumpReport> report =
              entry.isCounted() ? catalogue.report(entry) : Optional.empty();
          if (report.isPresent()) {
            dumps[0]++;
            String key = crash(entry, report.get());
            Crashes crashes = hosts.computeIfAbsent(host(entry), _ -> new Crashes());
            crashes.ids.putIfAbsent(key, entry.id());
            crashes.parts.putIfAbsent(key, part(report.get()));
          }
        });
    List<HostHardware> answers = new ArrayList<>();
    hosts.forEach(
        (host, crashes) ->
            HardwareRule.judge(List.copyOf(crashes.parts.values()))
                .ifPresent(
                    origin ->
                        answers.add(
                            new HostHardware(host, List.copyOf(crashes.ids.values()), origin))));
    answers.sort(
        Comparator.comparing((HostHardware answer) -> answer.origin.side())
            .thenComparing(HostHardware::host));
    return new Hosts(answers, hosts.size() - answers.size(), dumps[0]);
  }

  private static HardwareRule.Part part(DumpReport report) {
    List<Finding> findings =
        report.findings().stream()
            .filter(finding -> !finding.cause().isArtefact())
            .limit(MAX_FINDINGS)
            .toList();
    return new HardwareRule.Part(
        findings, report.origin().map(Origin::signs).orElse(Origin.Signs.NONE));
  }

  private static String host(CatalogueEntry entry) {
    return entry.nodename().isEmpty()
        ? entry.host().isEmpty() ? entry.origin() : entry.host()
        : entry.nodename();
  }

  /// Two dumps of one boot must not count as two crashes: what flipped once is in both. Where no
  /// time of the crash is known, where the kernel lay tells boots apart.
  private static String crash(CatalogueEntry entry, DumpReport report) {
    return entry.crashTime() > 0
        ? "time " + entry.crashTime()
        : "kernel at " + report.kernel().map(kernel -> kernel.kaslrOffset()).orElse(0L);
  }
}
