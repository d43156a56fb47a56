package org.vmcheck.report;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.regex.Pattern;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.archive.CrashGroup;
import org.vmcheck.archive.CrashSignature;
import org.vmcheck.archive.Selection;
import org.vmcheck.archive.Tally;
import org.vmcheck.archive.Trend;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Note;
import org.vmcheck.io.MalformedFileException;

/// A catalogue as a site that needs no server: an index with counts, trends, groups and a table
/// that a script of its own filters and orders, and a page an incident. Without the script all of
/// it reads as well, newest crash first.
///
/// Names of files come of ids and numbers alone: no text of a dump or of a path is in one.
public final class HtmlSite {
  /// Where the pages go.
  public interface Pages {
    /// Takes one page.
    ///
    /// @param name relative, its parts of `[0-9a-z.-]` with slashes between
    void page(String name, String html) throws IOException;
  }

  /// The page that the others hang on; it comes last, when all that it points to is there.
  public static final String INDEX = "index.html";

  /// More make a page slow; the rest is on further pages.
  private static final int ROWS_A_PAGE = 10_000;

  private static final int MAX_GROUPS = 30;
  private static final int MAX_KERNELS = 6;

  /// About half a year of the 20 kernels that are told apart, where each crashed each week.
  private static final int MAX_WEEKS = 500;

  private static final String STYLE =
      """
      body { max-width: 96rem; }
      form.filter { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center;
        position: sticky; top: 0; }
      form.filter label { white-space: nowrap; color: var(--faint); }
      input, select, button { font: inherit; color: inherit; background: var(--ground);
        border: 1px solid var(--line); border-radius: 4px; padding: .1rem .4rem; max-width: 15rem; }
      button { cursor: pointer; } summary { cursor: pointer; padding: .2rem 0; } th button { border: 0; padding: 0; font-weight: 600; }
      th button::after { content: " \\2195"; } th[aria-sort=ascending] button::after { content: " \\2191"; }
      th[aria-sort=descending] button::after { content: " \\2193"; }
      #incidents td:nth-child(-n+3) { white-space: nowrap; overflow-wrap: normal; }
      #incidents td:nth-child(4), #incidents td:nth-child(5) { min-width: 8.5rem; }
      #incidents td:nth-child(1), #incidents td.what div:last-child { font: 13px/1.45 ui-monospace, monospace; }
      """;

  private static final String SCRIPT = script();
  private static final Pattern ID = Pattern.compile("[0-9a-f]{12}");

  private final Catalogue catalogue;
  private final Selection selection;
  private final Tally tally;
  private final Pages pages;

  private HtmlSite(Catalogue catalogue, Selection selection, Pages pages) throws IOException {
    this.catalogue = catalogue;
    this.selection = selection;
    this.pages = pages;
    this.tally = catalogue.tally(selection);
  }

  private static String script() {
    try (InputStream in = HtmlSite.class.getResourceAsStream("site.js")) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException failure) {
      throw new IllegalStateException("the script of the site is not there", failure);
    }
  }

  /// Makes the whole site; of the rows, those of one page are in memory.
  public static void write(Catalogue catalogue, Selection selection, Pages pages)
      throws IOException {
    new HtmlSite(catalogue, selection, pages).write();
  }

  /// Where the page of an incident is, seen from the index.
  static String pageOf(String id) {
    return "incident/" + id.substring(0, 2) + "/" + id + ".html";
  }

  /// An id as a link to its page, if it is one: what a row says of another is the row's own word.
  private static void link(Markup page, String id, String root) {
    if (ID.matcher(id).matches()) {
      page.element("a", id, "href", root + pageOf(id), "class", "mono");
    } else {
      page.element("span", id, "class", "mono");
    }
  }

  private void write() throws IOException {
    CatalogueCharts charts = new CatalogueCharts(catalogue, selection);
    Rows rows = new Rows();
    catalogue.forEachNewest(
        selection,
        entry -> {
          charts.gather(entry);
          incident(entry);
          rows.add(entry);
        });
    rows.end();
    Markup page = HtmlPage.open("vmcheck catalogue", STYLE, SCRIPT);
    page.element("h1", "Catalogue of " + Counted.of(tally.selected(), "incidents")).newline();
    page.element("p", CatalogueText.counted(tally), "class", "faint").newline();
    page.open("nav").element("a", "Same panic, damage, host, kernel", "href", "#groups");
    page.element("a", "Weeks", "href", "#weeks").element("a", "Incidents", "href", "#table");
    page.close("nav").newline();
    charts.write(page);
    page.element("h2", "In common", "id", "groups").newline();
    groups(page, "The same panic", CrashGroup.By.PANIC);
    groups(page, "The same damage", CrashGroup.By.DAMAGE);
    groups(page, "The same host", CrashGroup.By.HOST);
    groups(page, "The same kernel", CrashGroup.By.KERNEL);
    weeks(page);
    page.element("h2", "Incidents", "id", "table").newline();
    others(page, 1);
    page.raw(rows.first);
    pages.page(INDEX, HtmlPage.close(page, SCRIPT));
  }

  /// Tables of rows, page by page. The first is kept for the index.
  private final class Rows {
    private String first = "";
    private Markup table = start();
    private int count;
    private int number = 1;

    private Markup start() {
      return new Markup()
          .raw("<table id=\"incidents\" data-all=\"" + tally.selected() + "\">\n<thead><tr>")
          .raw("<th>id</th><th>verdict</th><th>crashed (UTC)</th><th>host</th><th>kernel</th>")
          .raw("<th>causes</th><th>what</th></tr></thead>\n<tbody>\n");
    }

    private void add(CatalogueEntry entry) throws IOException {
      if (count == ROWS_A_PAGE) {
        end();
        table = start();
        count = 0;
        number++;
      }
      row(table, entry);
      count++;
    }

    private void end() throws IOException {
      String rows = table.raw("</tbody>\n</table>\n").toString();
      if (number == 1) {
        first = rows;
        return;
      }
      long from = (long) ROWS_A_PAGE * (number - 1) + 1;
      String title =
          "Incidents %,d to %,d of %,d".formatted(from, from + count - 1, tally.selected());
      Markup page = HtmlPage.open(title, STYLE, SCRIPT).element("h1", title).newline();
      others(page, number);
      pages.page(more(number), HtmlPage.close(page.raw(rows), SCRIPT));
    }
  }

  private static String more(int number) {
    return number == 1 ? INDEX : "more-" + number + ".html";
  }

  /// Links to the other pages of the table.
  private void others(Markup page, int here) {
    long count = (tally.selected() + ROWS_A_PAGE - 1) / ROWS_A_PAGE;
    if (count < 2) {
      return;
    }
    page.element(
        "p",
        "Newest first, %,d a page; a filter looks at one page.".formatted(ROWS_A_PAGE),
        "class",
        "faint");
    page.open("nav");
    for (int number = 1; number <= count; number++) {
      if (number == here) {
        page.element("b", "" + number);
      } else {
        page.element("a", "" + number, "href", more(number));
      }
    }
    page.close("nav").newline();
  }

  /// What the dump, its directory or the scan calls the host, as the groups do.
  private static String host(CatalogueEntry entry) {
    return !entry.nodename().isEmpty()
        ? entry.nodename()
        : !entry.host().isEmpty() ? entry.host() : entry.origin();
  }

  private static void row(Markup table, CatalogueEntry entry) {
    table.raw("<tr class=\"").text(entry.verdict()).raw("\"");
    data(table, "p", entry.panicSignature().id());
    data(table, "d", entry.damageSignature().id());
    table.raw(entry.isCounted() ? ">" : " data-x>");
    table.open("td").element("a", entry.id(), "href", pageOf(entry.id())).close("td");
    table.open("td").element("span", entry.verdict(), "class", "word").close("td");
    table.element("td", CatalogueText.time(entry.crashTime())).named("td", host(entry));
    table.named("td", entry.release()).element("td", String.join(" ", entry.causes()));
    table.open("td", "class", "what").element("div", entry.summary());
    if (!entry.panic().isEmpty()) {
      table.element("div", entry.panic(), "class", "faint");
    }
    table.open("div", "class", "faint").text(entry.origin()).raw(":");
    table.raw(Markup.escapePath(entry.path())).text(CatalogueText.marks(entry));
    table.close("div").close("td").close("tr").newline();
  }

  private static void data(Markup table, String name, String value) {
    if (!value.isEmpty()) {
      table.raw(" data-" + name + "=\"" + Markup.escapePath(value) + "\"");
    }
  }

  private void groups(Markup page, String title, CrashGroup.By by) throws IOException {
    Tally.Groups groups = catalogue.groups(selection, by, MAX_GROUPS);
    if (groups.groups().stream().noneMatch(group -> group.count() > 1)) {
      return;
    }
    page.raw("<details><summary>");
    page.text(
        "%s: %s, the largest of %s"
            .formatted(
                title,
                Counted.of(groups.all(), "groups"),
                Counted.of(groups.groups().getFirst().count(), "incidents")));
    page.raw("</summary>\n<table>\n<tr><th>times</th><th>what</th><th>verdicts</th>");
    page.raw("<th>kernels</th><th>last crash (UTC)</th><th>newest of each kind</th></tr>\n");
    for (CrashGroup group : groups.groups()) {
      if (group.count() > 1) {
        group(page, by, group);
      }
    }
    page.raw("</table>\n");
    if (groups.all() > groups.groups().size()) {
      page.element(
          "p",
          "%,d more in %s."
              .formatted(
                  groups.keyed() - groups.shown(),
                  Counted.of(groups.all() - groups.groups().size(), "smaller groups")),
          "class",
          "faint");
    }
    page.close("details").newline();
  }

  private static void group(Markup page, CrashGroup.By by, CrashGroup group) {
    page.raw("<tr><td class=\"number\" data-of=\"");
    page.raw(
        switch (by) {
          case PANIC -> "panic";
          case DAMAGE -> "damage";
          case HOST -> "host";
          case KERNEL -> "kernel";
          case VERDICT -> "verdict";
          case CAUSE -> "cause";
        });
    page.raw("\" data-key=\"" + Markup.escapePath(group.key()) + "\">");
    page.text("%,d".formatted(group.count())).close("td").open("td").text(group.text());
    page.named("div", group.key(), "class", group.text().isEmpty() ? "" : "mono faint");
    page.close("td").element("td", String.join(", ", group.verdicts()));
    String kernels = String.join(", ", group.kernels().stream().limit(MAX_KERNELS).toList());
    int left = group.kernels().size() - MAX_KERNELS;
    page.named("td", left > 0 ? kernels + " and %,d more".formatted(left) : kernels);
    page.element("td", CatalogueText.time(group.lastCrash())).open("td");
    for (String id : group.newest()) {
      link(page, id, "");
      page.raw(" ");
    }
    page.close("td").close("tr").newline();
  }

  /// Verdicts by week and kernel, latest first.
  private void weeks(Markup page) throws IOException {
    List<Trend> trends = catalogue.trend(selection).reversed();
    if (trends.isEmpty()) {
      return;
    }
    page.raw("<details id=\"weeks\"><summary>Crashes by week and kernel</summary>\n<table>\n");
    page.raw("<tr><th>week of</th><th>kernel</th><th>crashes</th><th>verdicts</th>");
    page.raw("<th>causes</th></tr>\n");
    for (Trend trend : trends.subList(0, Math.min(MAX_WEEKS, trends.size()))) {
      page.open("tr");
      page.element(
          "td", trend.week().equals(Trend.UNKNOWN) ? "not known" : trend.week().toString());
      page.named("td", trend.kernel().isEmpty() ? "-" : trend.kernel());
      page.element("td", "%,d".formatted(trend.count()), "class", "number");
      page.element("td", words(trend.verdicts())).element("td", words(trend.causes()));
      page.close("tr").newline();
    }
    page.raw("</table>\n");
    if (trends.size() > MAX_WEEKS) {
      page.element(
          "p", "%,d earlier rows: vmcheck catalogue trend.".formatted(trends.size() - MAX_WEEKS));
    }
    page.close("details").newline();
  }

  private static String words(SortedMap<String, Long> counts) {
    StringBuilder words = new StringBuilder();
    counts.forEach(
        (kind, count) ->
            words.append(words.isEmpty() ? "" : ", ").append(kind).append(' ').append(count));
    return words.toString();
  }

  // ---- one incident

  private void incident(CatalogueEntry entry) throws IOException {
    Optional<DumpReport> report;
    String trouble = "";
    try {
      report = catalogue.report(entry);
    } catch (MalformedFileException damaged) {
      // One row that is damaged must not cost the pages of all others.
      report = Optional.empty();
      trouble = damaged.getMessage();
    }
    Markup page = HtmlPage.open("vmcheck: " + entry.id() + ": " + entry.verdict());
    page.open("nav").element("a", "All incidents", "href", "../../" + INDEX).close("nav").newline();
    if (report.isPresent()) {
      HtmlReport.write(page, report.get(), Optional.empty(), List.of());
    } else {
      page.open("header", "class", "panel verdict " + entry.verdict()).newline();
      page.open("h1").element("span", entry.verdict(), "class", "word").close("h1").newline();
      page.element("div", entry.summary()).newline();
      page.named("div", entry.path(), "class", "mono faint").close("header").newline();
      page.element("p", trouble.isEmpty() ? "No report of it is in the catalogue." : trouble);
    }
    facts(page, entry);
    pages.page(pageOf(entry.id()), HtmlPage.close(page));
  }

  private void facts(Markup page, CatalogueEntry entry) {
    page.element("h2", "In the catalogue", "id", "catalogue").raw("\n<table>\n");
    HtmlPage.row(page, "id", entry.id());
    HtmlPage.row(page, "origin", entry.origin());
    for (String file : entry.files()) {
      page.open("tr").element("th", "file", "scope", "row").named("td", file, "class", "mono");
      page.close("tr").newline();
    }
    HtmlPage.row(page, "state", entry.state().word() + (entry.vanished() ? ", vanished" : ""));
    if (!entry.duplicateOf().isEmpty()) {
      page.raw("<tr><th scope=\"row\">same content as</th><td>");
      if (selection.equals(Selection.ALL)) {
        link(page, entry.duplicateOf(), "../../");
      } else {
        page.text(entry.duplicateOf());
      }
      page.raw("</td></tr>\n");
    }
    HtmlPage.row(page, "crashed (UTC)", CatalogueText.time(entry.crashTime()));
    page.open("tr").element("th", "host", "scope", "row").named("td", host(entry)).close("tr");
    optional(page, "time in the name", entry.namedTime());
    optional(page, "problem", entry.problem());
    optional(page, "panic", entry.panic());
    optional(page, "same panic", both(entry.panicSignature()));
    optional(page, "same damage", both(entry.damageSignature()));
    for (Note remark : entry.remarks()) {
      HtmlPage.row(page, "remark", remark.text());
    }
    HtmlPage.row(page, "judged", CatalogueText.judgement(entry));
    page.raw("</table>\n");
  }

  private static String both(CrashSignature signature) {
    return (signature.id() + " " + signature.text()).strip();
  }

  private static void optional(Markup page, String name, String value) {
    if (!value.isBlank()) {
      HtmlPage.row(page, name, value);
    }
  }
}
