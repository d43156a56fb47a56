package org.vmcheck.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.awt.image.BufferedImage;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.Selection;
import org.vmcheck.archive.SyntheticFleet;
import org.vmcheck.testing.SampleReports;

/// The page as a browser paints it, where there is a Chromium.
@Tag("slow")
class HtmlInBrowserTest {
  private static final Path CHROMIUM = Path.of("/usr/bin/chromium");

  @TempDir private static Path shared;
  @TempDir private Path dir;

  @Test
  void hostilePageIsPaintedDarkAndLight() throws Exception {
    assumeTrue(Files.isExecutable(CHROMIUM));
    Path page =
        Files.writeString(
            dir.resolve("page.html"),
            HtmlReport.render(SampleReports.damaged(SampleReports.HOSTILE)));

    BufferedImage light = screenshot(page, "1");
    BufferedImage dark = screenshot(page, "0");

    assertThat(light.getRGB(2, 2) & 0xffffff).isEqualTo(0xffffff);
    assertThat(dark.getRGB(2, 2) & 0xffffff).isEqualTo(0x14171a);
    // The verdict's bar, the text and the panel: an empty or broken page has a colour or two.
    assertThat(colours(light)).contains(0xc62828).hasSizeGreaterThan(20);
    assertThat(colours(dark)).contains(0xff6b62).hasSizeGreaterThan(20);
  }

  @Test
  void catalogueIsPaintedDarkAndLight() throws Exception {
    String html;
    try (Catalogue catalogue =
        CatalogueRenderersTest.catalogue(dir, CatalogueRenderersTest.entries())) {
      html = HtmlCatalogue.render(catalogue, Selection.ALL);
    }
    assumeTrue(Files.isExecutable(CHROMIUM));
    Path page = Files.writeString(dir.resolve("page.html"), html);

    // Bars of all verdicts, on the ground of the reader's choice.
    assertThat(colours(screenshot(page, "1")))
        .contains(0xffffff, 0xc62828, 0x1a7f37, 0x9a6700, 0x0b6e99, 0x6b4ea0);
    assertThat(colours(screenshot(page, "0")))
        .contains(0x14171a, 0xff6b62, 0x3fb950, 0xe0a93b, 0x58b7dd, 0xb597ee);
  }

  /// A site of 10,001 incidents, so that its table has a second page.
  private static Path site() throws Exception {
    Path file = shared.resolve("fleet.sqlite");
    Path site = shared.resolve("site");
    if (Files.exists(file)) {
      return site;
    }
    try (Catalogue catalogue = Catalogue.write(file)) {
      catalogue.merge(SyntheticFleet.catalogue(10_001));
      HtmlSite.write(
          catalogue,
          Selection.ALL,
          (name, html) -> {
            Files.createDirectories(site.resolve(name).getParent());
            Files.writeString(site.resolve(name), html);
          });
    }
    return site;
  }

  /// What a reader does, by the elements of the page; how long each took is written down.
  private static final String DRIVER =
      """
      const said = [];
      const rows = () => document.querySelectorAll("#incidents tbody tr");
      const column = (n) => Array.from(rows()).map((row) => row.cells[n].textContent);
      const status = () => document.querySelector("form.filter output").value;
      const tell = (name, act) => {
        const start = performance.now();
        act();
        document.body.offsetHeight;
        said.push(name + ": " + status() + "; " + rows().length + " rows; "
            + Math.round(performance.now() - start) + " ms");
      };
      const put = (n, value) => {
        const input = document.querySelectorAll("form.filter input, form.filter select")[n];
        input.value = value;
        input.dispatchEvent(new Event("input"));
      };
      const press = (selector) => document.querySelector(selector).click();
      tell("all", () => {});
      tell("verdict", () => put(1, "kernel-damaged"));
      said.push("only " + [...new Set(column(1))]);
      tell("words", () => put(0, "BIT-flip do_it_5"));
      tell("clear", () => press("form.filter button"));
      tell("sorted", () => press("#incidents th:nth-child(4) button"));
      said.push("hosts " + column(3).slice(0, 3));
      tell("down", () => press("#incidents th:nth-child(4) button"));
      said.push("order " + document.querySelector("#incidents th:nth-child(4)").ariaSort);
      tell("more", () => document.querySelector("#incidents").nextElementSibling.click());
      tell("group", () => press("td[data-of=damage] button"));
      said.push("hash " + location.hash.includes("damage="));
      document.title = said.join(" | ");
      """;

  @Test
  void aSiteOfTenThousandIncidentsFiltersAndSortsQuickly() throws Exception {
    assumeTrue(Files.isExecutable(CHROMIUM));
    Path site = site();
    assertThat(site.resolve("more-2.html")).content().contains("Incidents 10,001 to 10,001");
    Path index = site.resolve("index.html");
    String html = Files.readString(index);

    // As it is, with its policy and a question in its address.
    String asked = run(index.toUri() + "#verdict=dump-damaged&sort=-host", "dump", "--dump-dom");
    assertThat(asked).contains(">show more (").doesNotContain(">intact</span>");
    // As a reader uses it. A second script is let in for that.
    Path driven =
        Files.writeString(
            site.resolve("driven.html"),
            html.replaceFirst("<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "")
                .replace("</body>", "<script>" + DRIVER + "</script></body>"));
    Matcher title =
        Pattern.compile("<title>(.*?)</title>")
            .matcher(run(driven.toUri().toString(), "drive", "--dump-dom"));
    assertThat(title.find()).isTrue();
    List<String> said = List.of(title.group(1).split(" \\| "));
    List<String> times = said.stream().filter(text -> text.endsWith(" ms")).toList();

    assertThat(said.getFirst())
        .startsWith("all: 10,000 of 10,000 on this page, of which 9,900 count; 200 rows");
    assertThat(said)
        .contains("only kernel-damaged", "hosts web0,web0,web1", "order descending", "hash true");
    assertThat(times).hasSize(8);
    // A tenth of a second on a machine of one's own; what is quadratic takes minutes.
    assertThat(times)
        .allSatisfy(
            text ->
                assertThat(Integer.parseInt(text.replaceFirst(".*; (\\d+) ms", "$1")))
                    .as(text)
                    .isLessThan(10_000));
  }

  /// Without its script the page has every row, and nothing that only the script could use.
  @Test
  void aSiteReadsWithoutItsScript() throws Exception {
    assumeTrue(Files.isExecutable(CHROMIUM));
    Path site = site();
    Path index =
        Files.writeString(
            site.resolve("plain.html"),
            Files.readString(site.resolve("index.html"))
                .replaceFirst("(?s)<script>.*</script>", ""));

    String plain = run(index.toUri().toString(), "plain", "--dump-dom");

    assertThat(plain).doesNotContain("<button", "<input", "<form");
    assertThat(Pattern.compile("<td><a href=\"incident/[^\"]*\">").matcher(plain).results().count())
        .isEqualTo(10_000);
    assertThat(colours(screenshot(index, "0"))).contains(0x14171a, 0xff6b62, 0x3fb950);
  }

  private BufferedImage screenshot(Path page, String scheme) throws Exception {
    Path png = dir.resolve("page" + scheme + ".png");
    run(
        page.toUri().toString(),
        "profile" + scheme,
        "--blink-settings=preferredColorScheme=" + scheme,
        "--window-size=1000,1400",
        "--screenshot=" + png);
    return ImageIO.read(png.toFile());
  }

  /// What the browser prints.
  private String run(String url, String profile, String... options) throws Exception {
    List<String> command =
        new ArrayList<>(
            List.of(
                CHROMIUM.toString(),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--user-data-dir=" + dir.resolve(profile)));
    command.addAll(List.of(options));
    command.add(url);
    Path out = dir.resolve(profile + ".out");
    Process browser =
        new ProcessBuilder(command)
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .redirectOutput(out.toFile())
            .start();
    try {
      assertThat(browser.waitFor(120, TimeUnit.SECONDS)).isTrue();
    } finally {
      browser.destroyForcibly().waitFor();
    }
    return Files.readString(out);
  }

  private static Set<Integer> colours(BufferedImage image) {
    Set<Integer> colours = new TreeSet<>();
    for (int y = 0; y < image.getHeight(); y++) {
      for (int x = 0; x < image.getWidth(); x++) {
        colours.add(image.getRGB(x, y) & 0xffffff);
      }
    }
    return colours;
  }
}
