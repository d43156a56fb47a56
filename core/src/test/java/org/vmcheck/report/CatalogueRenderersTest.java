package org.vmcheck.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.archive.BatchScanner;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.archive.CrashGroup;
import org.vmcheck.archive.CrashSignature;
import org.vmcheck.archive.FileUri;
import org.vmcheck.archive.Selection;
import org.vmcheck.archive.Tally;
import org.vmcheck.archive.Trend;
import org.vmcheck.finding.Note;
import org.vmcheck.testing.SampleReports;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// Every form of the catalogue.
class CatalogueRenderersTest {
  private static CatalogueEntry entry(int number, String verdict, String text) {
    FileUri location = FileUri.of(Path.of("/var/crash/" + number + "/vmcore"));
    return new CatalogueEntry(
        "host-a",
        location,
        location.words(),
        CatalogueEntry.State.COMPLETE,
        text,
        text,
        1000,
        "identity",
        "head " + (number == 7 ? 2 : number),
        "tail",
        List.of(location.words(), text),
        "vmcheck 0.1.0",
        1_790_000_000,
        1.5,
        verdict,
        text,
        CatalogueEntry.Problem.NONE,
        "",
        "kdump-compressed",
        text,
        "x86_64",
        text,
        1_760_000_000L + number * 2_000_000L,
        text,
        new CrashSignature("0123456789ab", text),
        new CrashSignature("ba9876543210", text),
        verdict.equals("kernel-damaged") ? List.of("bit-flip", text) : List.of(),
        List.of(new Note(text, text)),
        number == 3,
        number == 7 ? "0123456789ab" : "");
  }

  static List<CatalogueEntry> entries() {
    List<CatalogueEntry> entries = new ArrayList<>();
    List<String> verdicts =
        List.of("intact", "kernel-damaged", "dump-damaged", "undetermined", "unreadable");
    for (int i = 0; i < 10; i++) {
      entries.add(entry(i, verdicts.get(i % 5), SampleReports.HOSTILE));
    }
    return entries;
  }

  @TempDir private Path dir;

  /// A catalogue of these entries.
  static Catalogue catalogue(Path dir, List<CatalogueEntry> entries) throws IOException {
    Catalogue catalogue = Catalogue.write(dir.resolve(entries.size() + ".sqlite"));
    for (CatalogueEntry entry : entries) {
      catalogue.put(entry, Optional.empty());
    }
    return catalogue;
  }

  @Test
  void htmlIsOneOfflinePageWithoutScripts() throws IOException {
    String html;
    try (Catalogue catalogue = catalogue(dir, entries())) {
      html = HtmlCatalogue.render(catalogue, Selection.ALL);
    }

    assertThat(html)
        .contains("Catalogue of 10 incidents", "<svg", "class=\"fill-kernel-damaged\"")
        .doesNotContain("<script", "<img", "http://", "https://", "\u001b");
    assertThat(html.chars().allMatch(c -> c == '\n' || (c >= 0x20 && c < 0x7f))).isTrue();
    List<String> open = new ArrayList<>();
    var tags = Pattern.compile("<(/?)([a-z0-9]+)([^>]*)>").matcher(html);
    while (tags.find()) {
      if (tags.group(2).equals("meta") || tags.group(3).endsWith("/")) {
        continue;
      }
      if (tags.group(1).isEmpty()) {
        open.add(tags.group(2));
      } else {
        assertThat(open.removeLast()).isEqualTo(tags.group(2));
      }
    }
    assertThat(open).isEmpty();
    try (Catalogue none = catalogue(dir, List.of())) {
      assertThat(HtmlCatalogue.render(none, Selection.ALL)).contains("Catalogue of 0 incidents");
    }
  }

  @Test
  void jsonIsOneObjectALine() throws Exception {
    for (CatalogueEntry entry : entries()) {
      String line = CatalogueJson.incident(entry);
      assertThat(line.lines()).hasSize(1);
      JsonNode json = JsonMapper.shared().readTree(line);
      assertThat(json.get("verdict").asString()).isEqualTo(entry.verdict());
      assertThat(json.get("path").asString()).isEqualTo(entry.path());
    }
    try (Catalogue catalogue = catalogue(dir, entries())) {
      CrashGroup group =
          catalogue.groups(Selection.ALL, CrashGroup.By.PANIC, 9).groups().getFirst();
      assertThat(JsonMapper.shared().readTree(CatalogueJson.group(group)).get("count").asInt())
          .isEqualTo(9);
      for (Trend trend : catalogue.trend(Selection.ALL)) {
        JsonNode json = JsonMapper.shared().readTree(CatalogueJson.trend(trend));
        assertThat(json.get("count").asLong()).isEqualTo(trend.count());
      }
    }
    BatchScanner.Summary summary =
        new BatchScanner.Summary(3, 2, 1, 0, 1, 0, 0, 0, java.util.Map.of("intact", 3), 100, 1.25);
    assertThat(JsonMapper.shared().readTree(CatalogueJson.summary(summary)).get("event").asString())
        .isEqualTo("summary");
    assertThat(CatalogueText.summary(summary)).contains("intact        3\n");
  }

  @Test
  void csvAndTextAreHarmless() throws IOException {
    String groups;
    String trend;
    StringBuilder lines = new StringBuilder(CatalogueText.listHead());
    try (Catalogue catalogue = catalogue(dir, entries())) {
      Tally tally = catalogue.tally(Selection.ALL);
      groups =
          CatalogueText.groups(catalogue.groups(Selection.ALL, CrashGroup.By.KERNEL, 9), tally);
      trend = CatalogueText.trend(catalogue.trend(Selection.ALL), tally);
      catalogue.forEachLine(Selection.ALL, line -> lines.append(CatalogueText.line(line)));
    }
    assertThat(groups).contains("9 in 1 group; 10 incidents, of which 9 count (not 1 copy)");
    StringBuilder csvRows = new StringBuilder(CatalogueText.csvHead());
    entries().forEach(entry -> csvRows.append(CatalogueText.csv(entry)));
    String csv = csvRows.toString();

    assertThat(csv.lines()).hasSize(11);
    assertThat(csv).doesNotContain(",=cmd", ",\"=cmd", "\u001b");
    String list = lines.toString();
    assertThat(list.lines()).hasSize(11);
    for (String text :
        List.of(
            list,
            CatalogueText.show(entries().getFirst()),
            CatalogueText.judged(entries().getFirst()),
            groups,
            trend)) {
      assertThat(text).doesNotContain("\u001b", "\u202e", "\u0000");
    }
  }

  /// The rules of the text format that promtool checks: one HELP and TYPE a metric, before its
  /// samples, samples of one metric together, no series twice, a newline at the end.
  @Test
  void prometheusParses() throws IOException {
    String text;
    try (Catalogue catalogue = catalogue(dir, entries())) {
      text = PrometheusReport.render(catalogue, 1_790_000_000);
    }

    assertThat(text).endsWith("\n").contains("vmcheck_incidents{verdict=\"kernel-damaged\"} 2\n");
    Pattern sample = Pattern.compile("([a-z_]+)(\\{[a-z]+=\"[a-z-]+\"\\})? (-?[0-9.]+)");
    List<String> series = new ArrayList<>();
    List<String> closed = new ArrayList<>();
    String current = "";
    for (String line : text.lines().toList()) {
      if (line.startsWith("# HELP ")) {
        closed.add(current);
        current = line.split(" ")[2];
        assertThat(closed).doesNotContain(current);
      } else if (line.startsWith("# TYPE ")) {
        assertThat(line).isEqualTo("# TYPE " + current + " gauge");
      } else {
        var matcher = sample.matcher(line);
        assertThat(matcher.matches()).as(line).isTrue();
        assertThat(matcher.group(1)).isEqualTo(current);
        series.add(line.substring(0, line.lastIndexOf(' ')));
      }
    }
    assertThat(series).doesNotHaveDuplicates().hasSizeGreaterThan(6);
    assertThat(text).doesNotContain("/var/crash", "cmd");
  }
}
