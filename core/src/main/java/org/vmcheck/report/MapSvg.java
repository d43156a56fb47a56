package org.vmcheck.report;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.vmcheck.finding.PageMap;

/// A picture of memory as SVG: the use of each page by colour, its bytes by pattern, findings by a
/// frame, and the whole text when the pointer rests on a cell. It refers to nothing outside itself.
public final class MapSvg {
  private static final int LEFT = 110;
  private static final int TOP = 64;
  private static final int LEGEND = 350;
  private static final int SMALL_CELL = 34;
  private static final int LARGE_CELL = 11;
  private static final long BACKUP_END = 0xa0;

  /// The same picture where the reader's choice is dark: the colours of the attributes are the
  /// light ones, which every program that draws SVG knows.
  private static final String DARK =
      """
      <style>@media (prefers-color-scheme: dark) {
      .map-ground { fill: #14171a; } .map-word { fill: #e3e6e8; }
      .map-cell { stroke: #14171a; } .map-ink { stroke: #fff; } .map-dot { fill: #fff; }
      .map-frame { stroke: #ff6b62; } .map-limit { stroke: #e3e6e8; }
      .map-slab { fill: #b87f00; } .map-reserved { fill: #6d747a; } .map-free { fill: #274b5e; }
      .map-page_table { fill: #a85c86; } .map-anonymous { fill: #007a59; }
      .map-page_cache { fill: #8f8620; } .map-kernel { fill: #3f78ad; }
      .map-hwpoison { fill: #e3e6e8; } .map-unknown { fill: #2b3137; }
      }</style>
      """;

  private MapSvg() {}

  /// As part of an HTML page, whose ground and ink it takes.
  static String inside(PageMap map) {
    return render(map, "the low 1 MiB", "");
  }

  /// @param title shown above the picture, unescaped
  public static String render(PageMap map, String title) {
    return render(
        map, title, "<rect class=\"map-ground\" width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
  }

  private static String render(PageMap map, String title, String ground) {
    boolean small = map.cells().size() <= 256;
    int columns = small ? 16 : 64;
    int size = small ? SMALL_CELL : LARGE_CELL;
    int rows = (map.cells().size() + columns - 1) / columns;
    int width = LEFT + columns * size + LEGEND;
    int height = Math.max(TOP + rows * size + 30, TOP + 480);
    StringBuilder out = new StringBuilder();
    out.append(
        """
        <svg xmlns="http://www.w3.org/2000/svg" width="%1$d" height="%2$d" \
        viewBox="0 0 %1$d %2$d" font-family="sans-serif" font-size="12" role="img">
        <title>%3$s</title>
        <defs>
        <pattern id="text" width="6" height="6" patternUnits="userSpaceOnUse">\
        <path class="map-ink" d="M0 1.5H6M0 4.5H4" stroke="#000" stroke-width="1"/></pattern>
        <pattern id="pointers" width="6" height="6" patternUnits="userSpaceOnUse">\
        <circle class="map-dot" cx="3" cy="3" r="1.3"/></pattern>
        <pattern id="data" width="6" height="6" patternUnits="userSpaceOnUse">\
        <path class="map-ink" d="M-1 7L7 -1" stroke="#000" stroke-width="0.9"/></pattern>
        <pattern id="filled" width="5" height="5" patternUnits="userSpaceOnUse">\
        <path class="map-ink" d="M2.5 0V5" stroke="#000" stroke-width="1.2"/></pattern>
        <pattern id="random" width="5" height="5" patternUnits="userSpaceOnUse">\
        <path class="map-ink" d="M0 0L5 5M5 0L0 5" stroke="#000" stroke-width="1.1"/></pattern>
        </defs>
        %6$s%5$s<text class="map-word" x="12" y="24" font-size="16" font-weight="bold">%3$s</text>
        <text class="map-word" x="12" y="44" fill="#444">%4$s</text>
        """
            .formatted(
                width,
                height,
                escaped(title),
                escaped(
                    "one cell is %s; colour: use, pattern: bytes, red frame: a finding"
                        .formatted(
                            map.framesPerCell() < 256
                                ? map.framesPerCell() * 4 + " KiB"
                                : (map.framesPerCell() >> 8) + " MiB")),
                ground,
                DARK));
    Map<PageMap.Use, Integer> uses = new EnumMap<>(PageMap.Use.class);
    Set<PageMap.Looks> looked = EnumSet.noneOf(PageMap.Looks.class);
    List<PageMap.Cell> marked = new ArrayList<>();
    StringBuilder frames = new StringBuilder();
    for (int i = 0; i < map.cells().size(); i++) {
      PageMap.Cell cell = map.cells().get(i);
      uses.merge(cell.use(), 1, Integer::sum);
      looked.add(cell.looks());
      int x = LEFT + i % columns * size;
      int y = TOP + i / columns * size;
      if (i % columns == 0 && (small || i / columns % 4 == 0)) {
        out.append(
            "<text class=\"map-word\" x=\"%d\" y=\"%d\" text-anchor=\"end\" font-family=\"monospace\">0x%x</text>\n"
                .formatted(LEFT - 8, y + size / 2 + 4, cell.pfn() * map.pageSize()));
      }
      out.append("<g><title>").append(escaped(hover(map, cell))).append("</title>");
      square(out, x, y, size, cell.use(), cell.looks());
      out.append("</g>\n");
      if (!cell.marks().isEmpty()) {
        marked.add(cell);
        frames.append(
            ("<rect class=\"map-frame\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\""
                    + " stroke=\"#c00000\" stroke-width=\"%d\" pointer-events=\"none\"/>\n")
                .formatted(x + 1, y + 1, size - 3, size - 3, small ? 3 : 2));
      }
    }
    out.append(frames);
    if (small && map.framesPerCell() == 1 && map.firstPfn() == 0) {
      int y = TOP + (int) (BACKUP_END / columns) * size;
      out.append(
          ("<path class=\"map-limit\" d=\"M%d %dH%d\" stroke=\"#000\" stroke-width=\"2\""
                  + " stroke-dasharray=\"6 3\"/><text class=\"map-word\" x=\"%d\" y=\"%d\""
                  + " font-weight=\"bold\">640 KiB</text>\n")
              .formatted(
                  LEFT - 8, y - 1, LEFT + columns * size + 8, LEFT + columns * size + 12, y + 3));
    }
    legend(out, LEFT + columns * size + 76, uses, looked, marked.size());
    return out.append("</svg>\n").toString();
  }

  private static String hover(PageMap map, PageMap.Cell cell) {
    StringBuilder text = new StringBuilder("physical 0x%x".formatted(cell.pfn() * map.pageSize()));
    if (map.framesPerCell() > 1) {
      text.append(" and %d more page frames".formatted(map.framesPerCell() - 1));
    }
    text.append("\n").append(cell.role().isEmpty() ? "use not known" : cell.role());
    text.append("\n")
        .append(cell.looks() == PageMap.Looks.NOT_STORED ? cell.stored() : cell.looks().words());
    cell.marks().forEach(mark -> text.append("\n").append(mark));
    return text.toString();
  }

  private static void square(
      StringBuilder out, int x, int y, int size, PageMap.Use use, PageMap.Looks looks) {
    boolean stored = looks != PageMap.Looks.NOT_STORED;
    out.append(
        ("<rect class=\"map-cell map-%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\""
                + " stroke=\"#fff\" stroke-width=\"1\"%s/>")
            .formatted(
                use.name().toLowerCase(Locale.ROOT),
                x,
                y,
                size - 1,
                size - 1,
                colour(use),
                stored ? "" : " fill-opacity=\"0.25\""));
    String pattern = pattern(looks);
    if (!pattern.isEmpty()) {
      out.append(
          "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"url(#%s)\" opacity=\"0.55\"/>"
              .formatted(x, y, size - 1, size - 1, pattern));
    }
  }

  private static void legend(
      StringBuilder out,
      int x,
      Map<PageMap.Use, Integer> uses,
      Set<PageMap.Looks> looked,
      int findings) {
    int y = TOP + 8;
    out.append(
        "<text class=\"map-word\" x=\"%d\" y=\"%d\" font-weight=\"bold\">use</text>\n"
            .formatted(x, y));
    for (PageMap.Use use : uses.keySet()) {
      y += 22;
      square(out, x, y - 13, 19, use, PageMap.Looks.ZERO);
      out.append(
          "<text class=\"map-word\" x=\"%d\" y=\"%d\">%s: %,d</text>\n"
              .formatted(x + 26, y + 1, escaped(use.words()), uses.get(use)));
    }
    y += 32;
    out.append(
        "<text class=\"map-word\" x=\"%d\" y=\"%d\" font-weight=\"bold\">bytes</text>\n"
            .formatted(x, y));
    for (PageMap.Looks looks : looked) {
      y += 22;
      square(out, x, y - 13, 19, PageMap.Use.RESERVED, looks);
      out.append(
          "<text class=\"map-word\" x=\"%d\" y=\"%d\">%s</text>\n"
              .formatted(x + 26, y + 1, escaped(looks.words())));
    }
    y += 32;
    out.append(
        ("<rect class=\"map-frame\" x=\"%d\" y=\"%d\" width=\"16\" height=\"16\" fill=\"none\""
                + " stroke=\"#c00000\" stroke-width=\"3\"/><text class=\"map-word\" x=\"%d\""
                + " y=\"%d\">a finding: %,d</text>\n")
            .formatted(x + 1, y - 12, x + 26, y + 1, findings));
  }

  /// Colours that colour-blind readers tell apart.
  private static String colour(PageMap.Use use) {
    return switch (use) {
      case SLAB -> "#e69f00";
      case RESERVED -> "#b0b0b0";
      case FREE -> "#bfe3f7";
      case PAGE_TABLE -> "#cc79a7";
      case ANONYMOUS -> "#009e73";
      case PAGE_CACHE -> "#f0e442";
      case KERNEL -> "#5b9bd5";
      case HWPOISON -> "#404040";
      case UNKNOWN -> "#f2f2f2";
    };
  }

  private static String pattern(PageMap.Looks looks) {
    return switch (looks) {
      case NOT_STORED, ZERO -> "";
      case TEXT -> "text";
      case POINTERS -> "pointers";
      case DATA -> "data";
      case FILLED -> "filled";
      case RANDOM -> "random";
    };
  }

  private static String escaped(String text) {
    StringBuilder out = new StringBuilder();
    for (String line : text.split("\n", -1)) {
      out.append(out.isEmpty() ? "" : "\n").append(Markup.escape(line));
    }
    return out.toString();
  }
}
