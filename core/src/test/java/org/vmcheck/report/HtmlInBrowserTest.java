package org.vmcheck.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.awt.image.BufferedImage;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.Selection;
import org.vmcheck.testing.SampleReports;

/// The page as a browser paints it, where there is a Chromium.
@Tag("slow")
class HtmlInBrowserTest {
  private static final Path CHROMIUM = Path.of("/usr/bin/chromium");

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

  private BufferedImage screenshot(Path page, String scheme) throws Exception {
    Path png = dir.resolve("page" + scheme + ".png");
    Process browser =
        new ProcessBuilder(
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
                    "--user-data-dir=" + dir.resolve("profile" + scheme),
                    "--blink-settings=preferredColorScheme=" + scheme,
                    "--window-size=1000,1400",
                    "--screenshot=" + png,
                    page.toUri().toString()))
            .redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .start();
    try {
      assertThat(browser.waitFor(120, TimeUnit.SECONDS)).isTrue();
    } finally {
      browser.destroyForcibly().waitFor();
    }
    return ImageIO.read(png.toFile());
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
