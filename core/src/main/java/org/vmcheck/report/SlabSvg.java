package org.vmcheck.report;

import java.util.List;
import org.vmcheck.finding.Evidence;

/// The picture of one slab: objects as cells, arrows along the freelist up to the break.
final class SlabSvg {
  private static final int CELL = 26;
  private static final int COLUMNS = 32;
  private static final int HEADER = 40;
  private static final int MIN_WIDTH = 600;

  /// From one row of cells to the next; the arrows run in between.
  private static final int ROW = CELL + 18;

  /// Arrows of a longer list hide each other: only the last ones before the break are drawn.
  private static final int MAX_ARROWS = 24;

  private final Markup page;
  private final Evidence.SlabPicture picture;

  private SlabSvg(Markup page, Evidence.SlabPicture picture) {
    this.page = page;
    this.picture = picture;
  }

  static void draw(Markup page, Evidence.SlabPicture picture) {
    new SlabSvg(page, picture).draw();
  }

  private void draw() {
    int objects = picture.cells().length();
    int columns = Math.min(COLUMNS, Math.max(objects, 12));
    int rows = (objects + columns - 1) / columns;
    int width = Math.max(MIN_WIDTH, columns * CELL + 4);
    int height = HEADER + rows * ROW + 8;
    page.picture(picture.sentence(), width, height, "class", "slab");
    page.newline();
    page.element("text", caption(), "x", "2", "y", "14");
    for (int i = 0; i < objects; i++) {
      cell(i, columns);
    }
    arrows(columns);
    legend(HEADER + rows * ROW);
    page.close("svg").newline();
  }

  private String caption() {
    return "objects of %d bytes from 0x%x on".formatted(picture.stride(), picture.first());
  }

  private static int x(int index, int columns) {
    return 2 + index % columns * CELL;
  }

  private static int y(int index, int columns) {
    return HEADER + index / columns * ROW;
  }

  private String style(int index) {
    if (index == picture.holder()) {
      return "broken";
    }
    return switch (picture.cells().charAt(index)) {
      case Evidence.SlabPicture.FREE -> "free";
      case Evidence.SlabPicture.ELSEWHERE -> "elsewhere";
      default -> "used";
    };
  }

  private void cell(int index, int columns) {
    page.open("g");
    String words =
        switch (style(index)) {
          case "broken" -> "holds the invalid pointer";
          case "free" -> "free, on this list";
          case "elsewhere" -> "free, on another list";
          default -> "allocated";
        };
    page.element(
        "title",
        "object %d, 0x%x: %s"
            .formatted(index, picture.first() + (long) index * picture.stride(), words));
    rectangle(style(index), x(index, columns), y(index, columns));
    page.element(
        "text",
        Integer.toString(index),
        "class",
        "index",
        "x",
        "" + (x(index, columns) + CELL / 2),
        "y",
        "" + (y(index, columns) + 16));
    page.close("g").newline();
  }

  private void rectangle(String style, int x, int y) {
    page.empty(
        "rect",
        "class",
        style,
        "x",
        "" + (x + 1),
        "y",
        "" + (y + 1),
        "width",
        "" + (CELL - 2),
        "height",
        "" + (CELL - 2),
        "rx",
        "3");
  }

  private void arrows(int columns) {
    List<Integer> path = picture.path();
    int from = Math.max(0, path.size() - 1 - MAX_ARROWS);
    for (int i = from; i + 1 < path.size(); i++) {
      arrow("way", path.get(i), path.get(i + 1), columns);
    }
    if (picture.holder() >= 0 && picture.target() >= 0) {
      arrow("astray", picture.holder(), picture.target(), columns);
    }
  }

  /// A curve from cell to cell, with a dot at its end.
  private void arrow(String style, int from, int to, int columns) {
    int x1 = x(from, columns) + CELL / 2;
    int y1 = y(from, columns) + CELL / 2;
    int x2 = x(to, columns) + CELL / 2;
    int y2 = y(to, columns) + 4;
    int bend = from == to ? 24 : 18;
    page.empty(
        "path",
        "class",
        style,
        "d",
        "M%d %d Q%d %d %d %d"
            .formatted(x1, y1 - 9, (x1 + x2) / 2, Math.min(y1, y2) - bend, x2, y2));
    page.empty("circle", "class", style + "-end", "cx", "" + x2, "cy", "" + y2, "r", "2.5");
  }

  private void legend(int y) {
    int x = 2;
    for (String[] entry :
        new String[][] {
          {"used", "allocated"},
          {"free", "free, on this list"},
          {"elsewhere", "free, on another"},
          {"broken", "holds the invalid pointer"}
        }) {
      if (entry[0].equals("elsewhere")
          && picture.cells().indexOf(Evidence.SlabPicture.ELSEWHERE) < 0) {
        continue;
      }
      page.empty(
          "rect",
          "class",
          entry[0],
          "x",
          "" + x,
          "y",
          "" + (y - 10),
          "width",
          "12",
          "height",
          "12",
          "rx",
          "2");
      page.element("text", entry[1], "x", "" + (x + 17), "y", "" + y);
      x += 17 + entry[1].length() * 8 + 12;
    }
  }
}
