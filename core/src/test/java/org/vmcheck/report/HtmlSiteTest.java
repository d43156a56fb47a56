package org.vmcheck.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.archive.SampleEntries;
import org.vmcheck.archive.Selection;
import org.vmcheck.io.Sha256;
import org.vmcheck.testing.SampleReports;

/// The site of a catalogue, as files.
class HtmlSiteTest {
  private static final Pattern TAG = Pattern.compile("<(/?)([a-z0-9]+)((?:\"[^\"]*\"|[^>\"])*)>");
  private static final Pattern LINK = Pattern.compile("href=\"([^\"]*)\"");

  @TempDir private Path dir;

  private static Map<String, String> site(Catalogue catalogue, Selection selection)
      throws IOException {
    Map<String, String> pages = new TreeMap<>();
    HtmlSite.write(catalogue, selection, pages::put);
    return pages;
  }

  private Map<String, String> hostileSite() throws IOException {
    try (Catalogue catalogue = Catalogue.write(dir.resolve("c"))) {
      for (CatalogueEntry entry : CatalogueRenderersTest.entries()) {
        catalogue.put(
            entry,
            entry.verdict().equals("unreadable")
                ? Optional.empty()
                : Optional.of(SampleReports.damaged(SampleReports.HOSTILE)));
      }
      return site(catalogue, Selection.ALL);
    }
  }

  @Test
  void eachIncidentHasAPageAndEachLinkLeadsToOne() throws IOException {
    Map<String, String> site = hostileSite();

    assertThat(site).hasSize(11);
    assertThat(site.keySet())
        .allMatch(name -> name.matches("index\\.html|incident/[0-9a-f]{2}/[0-9a-f]{12}\\.html"));
    site.forEach(
        (name, html) -> {
          Matcher link = LINK.matcher(html);
          while (link.find()) {
            String to = link.group(1);
            String target =
                to.startsWith("#")
                    ? name
                    : Path.of("/" + name).resolveSibling(to).normalize().toString().substring(1);
            assertThat(to.startsWith("#") || site.containsKey(target))
                .as(name + ": " + to)
                .isTrue();
          }
        });
    // One that could not be read has no report, but what the catalogue knows of it.
    assertThat(site.values().stream().filter(html -> html.contains("No report of it is in")))
        .hasSize(2);
    assertThat(site.values().stream().filter(html -> html.contains("slab.freelist"))).hasSize(8);
  }

  @Test
  void hostileRowsMakeNoMarkupAndRunNoScript() throws IOException {
    hostileSite()
        .forEach(
            (name, html) -> {
              String body = html.replaceFirst("(?s)<script>.*</script>", "");
              assertThat(body).doesNotContain("<script", "<img", "http://", "https://");
              assertThat(html.chars().allMatch(c -> c == '\n' || (c >= 0x20 && c < 0x7f)))
                  .as(name)
                  .isTrue();
              assertThat(html).contains("default-src 'none'");
              assertBalanced(body.replaceFirst("(?s)<style>.*</style>", ""));
            });
  }

  private static void assertBalanced(String html) {
    List<String> open = new ArrayList<>();
    Matcher tag = TAG.matcher(html);
    while (tag.find()) {
      if (tag.group(2).equals("meta") || tag.group(3).endsWith("/")) {
        continue;
      }
      if (tag.group(1).isEmpty()) {
        open.add(tag.group(2));
      } else {
        assertThat(open.removeLast()).isEqualTo(tag.group(2));
      }
    }
    assertThat(open).isEmpty();
  }

  /// A policy that named another script would leave the page without one.
  @Test
  void theOnlyScriptIsTheOneThatThePolicyNames() throws IOException {
    String index = hostileSite().get("index.html");
    Matcher script = Pattern.compile("(?s)<script>(.*?)</script>").matcher(index);

    assertThat(script.find()).isTrue();
    assertThat(index)
        .contains(
            "script-src 'sha256-"
                + Base64.getEncoder().encodeToString(Sha256.of(script.group(1)))
                + "'");
    assertThat(script.find()).isFalse();
  }

  /// A row's word for another row is taken for an id only if it is one.
  @Test
  void anIdThatIsNoneIsNoLink() throws Exception {
    Path file = dir.resolve("c");
    try (Catalogue catalogue = Catalogue.write(file)) {
      for (int i = 0; i < 3; i++) {
        catalogue.put(
            SampleEntries.damaged("a", "/srv/crash/" + i + "/vmcore", "x" + i, 1),
            Optional.empty());
      }
    }
    try (var connection = DriverManager.getConnection("jdbc:sqlite:" + file);
        var statement = connection.createStatement()) {
      statement.executeUpdate("UPDATE incident SET id = '../\"x'");
    }

    try (Catalogue catalogue = Catalogue.read(file)) {
      Map<String, String> site = site(catalogue, Selection.ALL);

      assertThat(site).hasSize(4);
      assertThat(site.get("index.html"))
          .doesNotContain("href=\"incident/..")
          .contains("../&quot;x");
    }
  }

  /// A report that cannot be read costs its own page and no other.
  @Test
  void aDamagedReportIsSaidOnItsPage() throws Exception {
    Path file = dir.resolve("c");
    try (Catalogue catalogue = Catalogue.write(file)) {
      for (int i = 0; i < 2; i++) {
        catalogue.put(
            SampleEntries.damaged("a", "/srv/crash/" + i + "/vmcore", "x" + i, 1),
            Optional.of(SampleReports.damaged()));
      }
    }
    try (var connection = DriverManager.getConnection("jdbc:sqlite:" + file);
        var statement = connection.createStatement()) {
      statement.executeUpdate("UPDATE report SET deflated = x'789c00' WHERE number = 1");
    }

    try (Catalogue catalogue = Catalogue.read(file)) {
      assertThat(site(catalogue, Selection.ALL).values())
          .hasSize(3)
          .filteredOn(html -> html.contains("a stored report is damaged"))
          .hasSize(1);
    }
  }

  /// Letters of any script stay letters; what turns the line around does not.
  @Test
  void namesOfAnyScriptAreRead() throws Exception {
    Path file = dir.resolve("c");
    try (Catalogue catalogue = Catalogue.write(file)) {
      for (int i = 0; i < 2; i++) {
        catalogue.put(
            SampleEntries.damaged("a", "/srv/crash/" + i + "/vmcore", "x" + i, 1),
            Optional.empty());
      }
    }
    try (var connection = DriverManager.getConnection("jdbc:sqlite:" + file);
        var statement = connection.createStatement()) {
      statement.executeUpdate(
          "UPDATE incident SET nodename = '\u65e5\u672c-\u202e', path = '/srv/\u0416/vmcore'");
    }

    try (Catalogue catalogue = Catalogue.read(file)) {
      assertThat(site(catalogue, Selection.ALL).get("index.html"))
          .contains(
              "<td>&#26085;&#26412;-\\u202e</td>",
              "data-key=\"&#26085;&#26412;-\\u202e\"",
              "a:/srv/&#1046;/vmcore");
    }
  }

  @Test
  void theLatestCrashComesFirstAndUnknownTimesLast() throws IOException {
    try (Catalogue catalogue = Catalogue.write(dir.resolve("c"))) {
      long[] times = {1_790_000_000L, 0, 1_795_000_000L};
      for (int i = 0; i < 3; i++) {
        catalogue.put(
            SampleEntries.entry(
                "a", "/srv/" + i + "/vmcore", "x" + i, "intact", "6.1", times[i], 1),
            Optional.empty());
      }

      assertThat(site(catalogue, Selection.ALL).get("index.html"))
          .containsSubsequence("a:/srv/2/vmcore", "a:/srv/0/vmcore", "a:/srv/1/vmcore");
      assertThat(site(catalogue, Selection.ofVerdict("kernel-damaged")))
          .containsOnlyKeys("index.html");
    }
  }
}
