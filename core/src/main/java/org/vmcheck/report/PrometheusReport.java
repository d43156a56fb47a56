package org.vmcheck.report;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.archive.Selection;
import org.vmcheck.finding.Cause;

/// Gauges of a catalogue in the text format that Prometheus' node exporter collects from files. Few
/// labels, all from closed lists: no path, no host and no address makes a time series.
public final class PrometheusReport {
  private static final List<String> VERDICTS =
      List.of(
          "intact", "kernel-damaged", "dump-damaged", "undetermined", CatalogueEntry.UNREADABLE);

  private PrometheusReport() {}

  /// @param completedAt when the catalogue was brought up to date, seconds since 1970
  public static String render(Catalogue catalogue, long completedAt) throws IOException {
    Map<String, Integer> verdicts = new TreeMap<>();
    Map<String, Integer> causes = new TreeMap<>();
    VERDICTS.forEach(verdict -> verdicts.put(verdict, 0));
    int[] vanished = new int[1];
    catalogue.forEach(
        Selection.ALL,
        entry -> {
          if (entry.vanished()) {
            vanished[0]++;
          } else if (entry.isCounted() && !entry.state().isWithoutDump()) {
            verdicts.computeIfPresent(entry.verdict(), (_, count) -> count + 1);
            for (String cause : entry.causes()) {
              if (Cause.byId(cause).isPresent()) {
                causes.merge(cause, 1, Integer::sum);
              }
            }
          }
        });
    StringBuilder out = new StringBuilder();
    head(
        out,
        "vmcheck_incidents",
        "Dumps in the archive by verdict, copies once and self-tests not.");
    verdicts.forEach(
        (verdict, count) -> sample(out, "vmcheck_incidents", "verdict", verdict, count));
    head(out, "vmcheck_incidents_with_cause", "The same, with a finding of a cause.");
    causes.forEach(
        (cause, count) -> sample(out, "vmcheck_incidents_with_cause", "cause", cause, count));
    head(out, "vmcheck_incidents_vanished", "Crashes known from the archive that are gone.");
    out.append("vmcheck_incidents_vanished ").append(vanished[0]).append('\n');
    head(
        out,
        "vmcheck_completed_timestamp_seconds",
        "When the catalogue was last brought up to date.");
    out.append("vmcheck_completed_timestamp_seconds ").append(completedAt).append('\n');
    return out.toString();
  }

  private static void head(StringBuilder out, String name, String help) {
    out.append("# HELP ").append(name).append(' ').append(help).append('\n');
    out.append("# TYPE ").append(name).append(" gauge\n");
  }

  private static void sample(
      StringBuilder out, String name, String label, String value, int count) {
    out.append("%s{%s=\"%s\"} %d\n".formatted(name, label, value, count));
  }
}
