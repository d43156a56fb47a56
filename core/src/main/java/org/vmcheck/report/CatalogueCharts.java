package org.vmcheck.report;

import static java.time.ZoneOffset.UTC;

import java.io.IOException;
import java.time.Instant;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.archive.CrashGroup;
import org.vmcheck.archive.Selection;

/// The pictures of a catalogue: how many of which verdict, kernel and cause, and when.
final class CatalogueCharts {
  private static final int MAX_MONTHS = 36;
  private static final int MAX_BARS = 20;
  private static final int MAX_DAYS = 62;
  static final List<String> VERDICTS =
      List.of("kernel-damaged", "dump-damaged", "undetermined", "unreadable", "intact");

  /// Colours that are told apart without red and green too; the last is for the rest.
  private static final List<String> CAUSE_FILLS =
      List.of("cause-1", "cause-2", "cause-3", "cause-4", "cause-5", "cause-6", "cause-other");

  /// Of the crashes that count and whose time is known: how many a day, by kind.
  private final SortedMap<LocalDate, Map<String, Integer>> verdictDays = new TreeMap<>();

  private final SortedMap<LocalDate, Map<String, Integer>> causeDays = new TreeMap<>();
  private final Map<String, Long> verdicts;
  private final Map<String, Long> kernels;
  private final Map<String, Long> causes;

  /// Causes that have a colour of their own.
  private final List<String> common;

  private Markup page;

  /// @param catalogue that is counted; the days are told of by [#gather]
  CatalogueCharts(Catalogue catalogue, Selection selection) throws IOException {
    verdicts = counts(catalogue, selection, CrashGroup.By.VERDICT);
    kernels = counts(catalogue, selection, CrashGroup.By.KERNEL);
    causes = counts(catalogue, selection, CrashGroup.By.CAUSE);
    common = causes.keySet().stream().limit(CAUSE_FILLS.size() - 1).toList();
  }

  private static Map<String, Long> counts(
      Catalogue catalogue, Selection selection, CrashGroup.By by) throws IOException {
    Map<String, Long> counts = new LinkedHashMap<>();
    for (CrashGroup group : catalogue.groups(selection, by, MAX_BARS).groups()) {
      counts.put(group.key(), group.count());
    }
    return counts;
  }

  /// Takes the day of one incident down.
  void gather(CatalogueEntry entry) {
    if (entry.crashTime() > 0 && entry.isCounted()) {
      LocalDate day = LocalDate.ofInstant(Instant.ofEpochSecond(entry.crashTime()), UTC);
      count(verdictDays, day, VERDICTS.contains(entry.verdict()) ? entry.verdict() : "other");
      for (String cause : entry.causes()) {
        count(causeDays, day, common.contains(cause) ? cause : "other");
      }
    }
  }

  private static void count(
      SortedMap<LocalDate, Map<String, Integer>> days, LocalDate day, String kind) {
    days.computeIfAbsent(day, _ -> new TreeMap<>()).merge(kind, 1, Integer::sum);
  }

  /// Draws what was counted.
  void write(Markup onto) {
    page = onto;
    bars("By verdict", verdicts, true);
    timeline(
        "Verdicts over time",
        verdictDays,
        VERDICTS,
        VERDICTS.stream().map(verdict -> "fill-" + verdict).toList());
    bars("By kernel", kernels, false);
    bars("By cause", causes, false);
    timeline("Causes over time", causeDays, common, CAUSE_FILLS);
  }

  private void bars(String title, Map<String, Long> counts, boolean coloured) {
    if (counts.isEmpty()) {
      return;
    }
    long most = counts.values().stream().mapToLong(Long::longValue).max().orElse(1);
    page.element("h2", title).newline();
    page.picture(title, 720, counts.size() * 22 + 4);
    int y = 2;
    for (Map.Entry<String, Long> bar : counts.entrySet()) {
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
    if (counts.size() == MAX_BARS) {
      page.element("p", "the %d most frequent".formatted(MAX_BARS), "class", "faint");
    }
  }

  private static String shorten(String text, int most) {
    return text.length() <= most ? text : text.substring(0, most - 3) + "...";
  }

  /// What the crashes of a time were, stacked: days where they span two months, else months.
  ///
  /// @param order of the kinds, from the ground up; others stand together above them
  /// @param fills the class of each kind's colour, one more for the others
  private void timeline(
      String title,
      SortedMap<LocalDate, Map<String, Integer>> days,
      List<String> order,
      List<String> fills) {
    if (days.isEmpty()) {
      return;
    }
    boolean daily = days.firstKey().plusDays(MAX_DAYS).isAfter(days.lastKey());
    TreeMap<LocalDate, Map<String, Integer>> spans = new TreeMap<>();
    LocalDate last = daily ? days.lastKey() : days.lastKey().withDayOfMonth(1);
    LocalDate first = daily ? days.firstKey() : days.firstKey().withDayOfMonth(1);
    if (!daily && first.isBefore(last.minusMonths(MAX_MONTHS - 1))) {
      first = last.minusMonths(MAX_MONTHS - 1);
    }
    for (LocalDate at = first; !at.isAfter(last); at = daily ? at.plusDays(1) : at.plusMonths(1)) {
      spans.put(at, new TreeMap<>());
    }
    days.forEach(
        (day, counts) -> {
          Map<String, Integer> span = spans.get(daily ? day : day.withDayOfMonth(1));
          if (span != null) {
            counts.forEach((kind, count) -> span.merge(kind, count, Integer::sum));
          }
        });
    page.element("h2", title).newline();
    paint(title, spans, daily, order, fills);
  }

  private void paint(
      String title,
      SortedMap<LocalDate, Map<String, Integer>> spans,
      boolean daily,
      List<String> order,
      List<String> fills) {
    int most = spans.values().stream().mapToInt(CatalogueCharts::sum).max().orElse(1);
    List<String> met = new ArrayList<>(order);
    met.add("other");
    met.removeIf(kind -> spans.values().stream().noneMatch(counts -> counts.containsKey(kind)));
    page.picture(title, 720, 178 + 18 * ((met.size() + 2) / 3));
    int step = Math.clamp(660 / spans.size(), 8, 60);
    page.element("text", "%,d".formatted(most), "x", "0", "y", "18");
    page.element("text", "0", "x", "0", "y", "144");
    page.empty("line", "class", "axis", "x1", "36", "y1", "144.5", "x2", "716", "y2", "144.5");
    int x = 40;
    int labelled = -1000;
    for (Map.Entry<LocalDate, Map<String, Integer>> span : spans.entrySet()) {
      String when = span.getKey().toString().substring(0, daily ? 10 : 7);
      int y = 144;
      page.open("g").element("title", when + ": " + words(span.getValue()));
      for (String kind : met) {
        int count = span.getValue().getOrDefault(kind, 0);
        if (count > 0) {
          int height = Math.max(2, (int) (130L * count / most));
          y -= height;
          square(fill(kind, order, fills), x, y, step - 2, height);
        }
      }
      page.close("g");
      if (x - labelled >= 110) {
        page.element("text", when, "x", "" + x, "y", "160");
        labelled = x;
      }
      x += step;
    }
    for (int i = 0; i < met.size(); i++) {
      int left = 40 + 225 * (i % 3);
      int top = 170 + 18 * (i / 3);
      square(fill(met.get(i), order, fills), left, top, 11, 11);
      page.element("text", met.get(i), "x", "" + (left + 17), "y", "" + (top + 10));
    }
    page.close("svg").newline();
  }

  private static int sum(Map<String, Integer> counts) {
    return counts.values().stream().mapToInt(Integer::intValue).sum();
  }

  private static String fill(String kind, List<String> order, List<String> fills) {
    return order.contains(kind) ? fills.get(order.indexOf(kind)) : fills.getLast();
  }

  private void square(String fill, int x, int y, int width, int height) {
    page.empty(
        "rect",
        "class",
        fill,
        "x",
        "" + x,
        "y",
        "" + y,
        "width",
        "" + width,
        "height",
        "" + height);
  }

  private static String words(Map<String, Integer> counts) {
    List<String> words = new ArrayList<>();
    counts.forEach((verdict, count) -> words.add(count + " " + verdict));
    return words.isEmpty() ? "none" : String.join(", ", words);
  }
}
