package org.vmcheck.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.vmcheck.finding.PageMap;
import org.w3c.dom.Document;

/// The picture of memory, in characters and as SVG.
class MapTest {
  private static PageMap map(String role) {
    List<PageMap.Cell> cells = new ArrayList<>();
    for (long pfn = 0; pfn < 256; pfn++) {
      cells.add(
          pfn == 0x70
              ? new PageMap.Cell(
                  pfn,
                  "stored",
                  PageMap.Use.SLAB,
                  role,
                  PageMap.Looks.RANDOM,
                  List.of("ciphertext"))
              : new PageMap.Cell(
                  pfn,
                  "not in dump",
                  PageMap.Use.RESERVED,
                  "reserved",
                  PageMap.Looks.NOT_STORED,
                  List.of()));
    }
    return new PageMap(0, 1, 4096, cells);
  }

  private static Document parsed(String svg) throws Exception {
    DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
    factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
    return factory
        .newDocumentBuilder()
        .parse(new ByteArrayInputStream(svg.getBytes(StandardCharsets.UTF_8)));
  }

  @Test
  void everyCellHasItsHoverText() throws Exception {
    Document svg = parsed(MapSvg.render(map("slab dma-kmalloc-512"), "web7"));

    assertThat(svg.getElementsByTagName("g").getLength()).isEqualTo(256);
    assertThat(svg.getElementsByTagName("g").item(0x70).getTextContent())
        .contains("physical 0x70000", "slab dma-kmalloc-512", "random-looking", "ciphertext");
  }

  @Test
  void namesFromTheDumpCannotBreakThePicture() throws Exception {
    String hostile = "slab </title><script>alert(1)</script>\u001b[2J\"&'\u0000";

    String svg = MapSvg.render(map(hostile), hostile);

    assertThat(parsed(svg).getElementsByTagName("script").getLength()).isZero();
    assertThat(svg).doesNotContain("\u001b");
    assertThat(MapText.render(map(hostile), false)).doesNotContain("\u001b");
  }

  @Test
  void theTerminalShowsUseBytesAndFindings() {
    String text = MapText.render(map("slab dma-kmalloc-512"), false);

    assertThat(text.lines().toList().get(7)).startsWith("000000070000  S#! R  ");
    assertThat(text).contains("! physical 0x70000 (slab dma-kmalloc-512): ciphertext");
  }
}
