package org.vmcheck.report;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.archive.CrashGroup;
import org.vmcheck.archive.Selection;
import org.vmcheck.archive.Tally;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.Note;

/// A catalogue as one HTML file: counts, crashes over time, what is the same crash, and a table.
public final class HtmlCatalogue {
  private static final int MAX_ROWS = 5000;
  private static final int MAX_GROUPS = 30;

  private final Markup page;
  private final List<CatalogueEntry> rows = new ArrayList<>();

  private HtmlCatalogue(Markup page) {
    this.page = page;
  }

  /// @param catalogue that the page is made of; no more than the rows of its table are in memory
  public static String render(Catalogue catalogue, Selection selection) throws IOException {
    Markup page = HtmlPage.open("vmcheck catalogue");
    HtmlCatalogue html = new HtmlCatalogue(page);
    Tally tally = catalogue.tally(selection);
    CatalogueCharts charts = new CatalogueCharts(catalogue, selection);
    catalogue.forEach(
        selection,
        entry -> {
          if (html.rows.size() < MAX_ROWS) {
            html.rows.add(entry);
          }
          charts.gather(entry);
        });
    page.element("h1", "Catalogue of " + Counted.of(tally.selected(), "incidents")).newline();
    page.element("p", CatalogueText.counted(tally), "class", "faint").newline();
    charts.write(page);
    html.groups("The same panic", catalogue.groups(selection, CrashGroup.By.PANIC, MAX_GROUPS));
    html.groups("The same damage", catalogue.groups(selection, CrashGroup.By.DAMAGE, MAX_GROUPS));
    html.table(tally.selected());
    return HtmlPage.close(page);
  }

  private void groups(String title, Tally.Groups groups) {
    List<CrashGroup> several = groups.groups().stream().filter(group -> group.count() > 1).toList();
    if (several.isEmpty()) {
      return;
    }
    page.element("h2", title).raw("\n<table>\n<tr><th>times</th><th>what</th><th>kernels</th>");
    page.raw("<th>incidents</th></tr>\n");
    for (CrashGroup group : several) {
      page.open("tr").element("td", "" + group.count(), "class", "number");
      page.open("td").text(group.text()).element("div", group.key(), "class", "mono faint");
      page.close("td").element("td", String.join(", ", group.kernels())).open("td");
      for (String id : group.newest()) {
        page.element("a", id, "href", "#i" + id, "class", "mono").raw(" ");
      }
      page.close("td").close("tr").newline();
    }
    page.raw("</table>\n");
  }

  private void table(long selected) {
    page.element("h2", "Incidents").raw("\n<table>\n<tr><th>id</th><th>verdict</th>");
    page.raw("<th>crashed (UTC)</th><th>kernel</th><th>dump</th></tr>\n");
    for (CatalogueEntry entry : rows) {
      page.open("tr", "id", "i" + entry.id(), "class", entry.verdict());
      page.element("td", entry.id(), "class", "mono id");
      page.open("td").element("span", entry.verdict(), "class", "word");
      page.element("div", entry.summary(), "class", "faint").close("td");
      page.element("td", CatalogueText.time(entry.crashTime()), "class", "id");
      page.element("td", entry.release()).open("td");
      page.open("div", "class", "mono");
      String uri = entry.location().uri();
      if (uri.startsWith("file:///")) {
        page.named("a", entry.path(), "href", uri).close("div");
      } else {
        page.raw(Markup.escapePath(entry.path())).close("div");
      }
      page.element("div", "on " + entry.origin(), "class", "faint");
      page.element("div", entry.panic(), "class", "faint");
      if (entry.state() != CatalogueEntry.State.COMPLETE || entry.vanished()) {
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
    if (selected > rows.size()) {
      page.element("p", "%,d more are in the catalogue.".formatted(selected - rows.size()));
    }
  }
}
