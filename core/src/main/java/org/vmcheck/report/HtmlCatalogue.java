package org.vmcheck.report;

import java.time.Instant;
import java.time.YearMonth;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.archive.CrashGroup;
import org.vmcheck.archive.Entry;
import org.vmcheck.finding.Note;

/// A catalogue as one HTML file: counts, crashes over time, what is the same crash, and a table.
public final class HtmlCatalogue {
  private static final int MAX_ROWS = 5000;
  private static final int MAX_GROUPS = 30;
  private static final int MAX_MONTHS = 36;
  private static final int MAX_BARS = 20;
  private static final List<String> VERDICTS =
      List.of("kernel-damaged", "dump-damaged", "undetermined", "unreadable", "intact");

  private final Markup page;
  private final List<Entry> entries;

  private HtmlCatalogue(Markup page, List<Entry> entries) {
    this.page = page;
    this.entries = entries;
  }

  public static String render(List<Entry> entries) {
    Markup page = HtmlPage.open("vmcheck catalogue");
    HtmlCatalogue html = new HtmlCatalogue(page, entries);
    page.element("h1", "Catalogue of %,d incidents".formatted(entries.size())).newline();
    html.bars("By verdict", count(CrashGroup.By.VERDICT, entries), true);
    html.months();
    html.bars("By kernel", count(CrashGroup.By.KERNEL, entries), false);
    html.bars("By cause", count(CrashGroup.By.CAUSE, entries), false);
    html.groups("The same panic", CrashGroup.of(entries, CrashGroup.By.PANIC));
    html.groups("The same damage", CrashGroup.of(entries, CrashGroup.By.DAMAGE));
    html.table();
    return HtmlPage.close(page);
  }

  private static Map<String, Integer> count(CrashGroup.By by, List<Entry> entries) {
    Map<String, Integer> counts = new LinkedHashMap<>();
    CrashGroup.of(entries, by).forEach(group -> counts.put(group.key(), group.members().size()));
    return counts;
  }

  private void bars(String title, Map<String, Integer> counts, boolean coloured) {
    if (counts.isEmpty()) {
      return;
    }
    List<Map.Entry<String, Integer>> shown =
        List.copyOf(counts.entrySet()).subList(0, Math.min(MAX_BARS, counts.size()));
    int most = counts.values().stream().mapToInt(Integer::intValue).max().orElse(1);
    page.element("h2", title).newline();
    picture(title, 720, shown.size() * 22 + 4);
    int y = 2;
    for (Map.Entry<String, Integer> bar : shown) {
      int width = Math.max(2, (int) (380L * bar.getValue() / most));
      page.element("text", shorten(bar.getKey(), 36), "x", "0", "y", "" + (y + 14));
      page.empty(
          "rect",
          "class",
          coloured && VERDICTS.contains(bar.getKey()) ? "fill-" + bar.getKey() : "fill-cause",
          "x",
          "280",
          "y",
          "" + y,
          "width",
          "" + width,
          "height",
          "17");
      page.element(
          "text", "%,d".formatted(bar.getValue()), "x", "" + (286 + width), "y", "" + (y + 14));
      y += 22;
    }
    page.close("svg").newline();
    if (counts.size() > shown.size()) {
      page.element("p", "and %,d more".formatted(counts.size() - shown.size()), "class", "faint");
    }
  }

  private void picture(String label, int width, int height) {
    page.open(
        "svg",
        "viewBox",
        "0 0 %d %d".formatted(width, height),
        "width",
        "" + width,
        "height",
        "" + height,
        "style",
        "max-width:100%",
        "role",
        "img",
        "aria-label",
        label);
  }

  private static String shorten(String text, int most) {
    return text.length() <= most ? text : text.substring(0, most - 3) + "...";
  }

  /// Verdicts month by month, stacked; the last three years.
  private void months() {
    TreeMap<YearMonth, Map<String, Integer>> months = new TreeMap<>();
    for (Entry entry : entries) {
      if (entry.crashTime() > 0 && entry.duplicateOf().isEmpty()) {
        YearMonth month =
            YearMonth.from(Instant.ofEpochSecond(entry.crashTime()).atZone(ZoneOffset.UTC));
        months.computeIfAbsent(month, _ -> new TreeMap<>()).merge(entry.verdict(), 1, Integer::sum);
      }
    }
    if (months.isEmpty()) {
      return;
    }
    YearMonth last = months.lastKey();
    YearMonth first = months.firstKey();
    if (first.isBefore(last.minusMonths(MAX_MONTHS - 1))) {
      first = last.minusMonths(MAX_MONTHS - 1);
    }
    List<YearMonth> shown = new ArrayList<>();
    for (YearMonth month = first; !month.isAfter(last); month = month.plusMonths(1)) {
      shown.add(month);
    }
    int most =
        months.tailMap(first).values().stream()
            .mapToInt(counts -> counts.values().stream().mapToInt(Integer::intValue).sum())
            .max()
            .orElse(1);
    page.element("h2", "Over time").newline();
    int step = Math.min(60, 700 / shown.size());
    picture("Crashes by month", 720, 170);
    int x = 4;
    for (int i = 0; i < shown.size(); i++) {
      YearMonth month = shown.get(i);
      Map<String, Integer> counts = months.getOrDefault(month, Map.of());
      int y = 140;
      page.open("g").element("title", month + ": " + words(counts));
      for (String verdict : VERDICTS) {
        int height = (int) (130L * counts.getOrDefault(verdict, 0) / most);
        if (counts.containsKey(verdict)) {
          height = Math.max(2, height);
          y -= height;
          page.empty(
              "rect",
              "class",
              "fill-" + verdict,
              "x",
              "" + x,
              "y",
              "" + y,
              "width",
              "" + Math.max(3, step - 4),
              "height",
              "" + height);
        }
      }
      page.close("g");
      if (i == 0 || (i == shown.size() - 1 && step * i > 60)) {
        page.element("text", month.toString(), "x", "" + x, "y", "158");
      }
      x += step;
    }
    page.close("svg").newline();
  }

  private static String words(Map<String, Integer> counts) {
    List<String> words = new ArrayList<>();
    counts.forEach((verdict, count) -> words.add(count + " " + verdict));
    return words.isEmpty() ? "none" : String.join(", ", words);
  }

  private void groups(String title, List<CrashGroup> groups) {
    List<CrashGroup> several =
        groups.stream().filter(group -> group.members().size() > 1).limit(MAX_GROUPS).toList();
    if (several.isEmpty()) {
      return;
    }
    page.element("h2", title).raw("\n<table>\n<tr><th>times</th><th>what</th><th>kernels</th>");
    page.raw("<th>incidents</th></tr>\n");
    for (CrashGroup group : several) {
      page.open("tr").element("td", "" + group.members().size(), "class", "number");
      page.open("td").text(group.text()).element("div", group.key(), "class", "mono faint");
      page.close("td").element("td", String.join(", ", group.kernels())).open("td");
      for (Entry member : group.members().subList(0, Math.min(8, group.members().size()))) {
        page.element("a", member.id(), "href", "#i" + member.id(), "class", "mono").raw(" ");
      }
      page.close("td").close("tr").newline();
    }
    page.raw("</table>\n");
  }

  private void table() {
    page.element("h2", "Incidents").raw("\n<table>\n<tr><th>id</th><th>verdict</th>");
    page.raw("<th>crashed (UTC)</th><th>kernel</th><th>dump</th></tr>\n");
    for (Entry entry : entries.subList(0, Math.min(MAX_ROWS, entries.size()))) {
      page.open("tr", "id", "i" + entry.id(), "class", entry.verdict());
      page.element("td", entry.id(), "class", "mono id");
      page.open("td").element("span", entry.verdict(), "class", "word");
      page.element("div", entry.summary(), "class", "faint").close("td");
      page.element("td", CatalogueText.time(entry.crashTime()), "class", "id");
      page.element("td", entry.release()).open("td");
      page.element("div", entry.path(), "class", "mono");
      page.element("div", entry.panic(), "class", "faint");
      if (entry.state() != Entry.State.COMPLETE || entry.vanished()) {
        page.element("div", entry.state().word() + (entry.vanished() ? ", vanished" : ""));
      }
      if (!entry.duplicateOf().isEmpty()) {
        page.open("div").text("same content as ");
        page.element("a", entry.duplicateOf(), "href", "#i" + entry.duplicateOf()).close("div");
      }
      for (Note remark : entry.remarks()) {
        page.element("div", "remark: " + remark.text());
      }
      page.close("td").close("tr").newline();
    }
    page.raw("</table>\n");
    if (entries.size() > MAX_ROWS) {
      page.element("p", "%,d more are in the catalogue.".formatted(entries.size() - MAX_ROWS));
    }
  }
}
