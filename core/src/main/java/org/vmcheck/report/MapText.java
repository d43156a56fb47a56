package org.vmcheck.report;

import java.util.EnumMap;
import java.util.Map;
import org.vmcheck.finding.PageMap;
import org.vmcheck.io.Printable;

/// A picture of memory in characters: a letter for the use of each page, a sign for its bytes, and
/// an exclamation mark where something was found. All of ASCII: a console under `LC_ALL=C` shows
/// it, too.
public final class MapText {
  private static final int CELLS_PER_LINE = 16;
  private static final int CELLS_PER_LONG_LINE = 64;
  private static final int MAX_MARKS = 40;

  private MapText() {}

  /// @param colour whether to use ANSI colours
  public static String render(PageMap map, boolean colour) {
    boolean small = map.cells().size() <= 256;
    int width = small ? CELLS_PER_LINE : CELLS_PER_LONG_LINE;
    StringBuilder out = new StringBuilder();
    Map<PageMap.Use, Integer> uses = new EnumMap<>(PageMap.Use.class);
    for (int i = 0; i < map.cells().size(); i += width) {
      out.append("%012x ".formatted(map.cells().get(i).pfn() * map.pageSize()));
      for (int j = i; j < Math.min(i + width, map.cells().size()); j++) {
        PageMap.Cell cell = map.cells().get(j);
        uses.merge(cell.use(), 1, Integer::sum);
        boolean marked = !cell.marks().isEmpty();
        String text =
            small
                ? " " + cell.use().letter() + sign(cell.looks()) + (marked ? '!' : ' ')
                : String.valueOf(marked ? '!' : cell.use().letter());
        out.append(colour && marked ? "\u001b[1;31m" + text + "\u001b[0m" : text);
      }
      out.append('\n');
    }
    out.append(
        "\none cell is %s of memory\n"
            .formatted(
                map.framesPerCell() < 256
                    ? map.framesPerCell() * 4 + " KiB"
                    : (map.framesPerCell() >> 8) + " MiB"));
    uses.forEach(
        (use, count) ->
            out.append("%c %s: %,d cells%n".formatted(use.letter(), use.words(), count)));
    if (small) {
      for (PageMap.Looks looks : PageMap.Looks.values()) {
        out.append("%c %s%n".formatted(sign(looks), looks.words()));
      }
    }
    int shown = 0;
    for (int i = 0; i < map.cells().size(); ) {
      int end = endOfRun(map, i);
      PageMap.Cell cell = map.cells().get(i);
      if (!cell.marks().isEmpty() && shown++ < MAX_MARKS) {
        out.append(
            "! physical 0x%x%s (%s): %s%n"
                .formatted(
                    cell.pfn() * map.pageSize(),
                    end == i + 1
                        ? ""
                        : " to 0x%x"
                            .formatted(
                                (map.cells().get(end - 1).pfn() + map.framesPerCell())
                                        * map.pageSize()
                                    - 1),
                    cell.role().isEmpty() ? "use not known" : Printable.of(cell.role()),
                    Printable.of(String.join("; ", cell.marks()))));
      }
      i = end;
    }
    if (shown > MAX_MARKS) {
      out.append("! and %d more%n".formatted(shown - MAX_MARKS));
    }
    return out.toString();
  }

  /// The end of the neighbouring cells of one use on which the same was found.
  private static int endOfRun(PageMap map, int from) {
    PageMap.Cell first = map.cells().get(from);
    int end = from + 1;
    while (end < map.cells().size()
        && map.cells().get(end).marks().equals(first.marks())
        && map.cells().get(end).role().equals(first.role())
        && map.cells().get(end).pfn() == map.cells().get(end - 1).pfn() + map.framesPerCell()) {
      end++;
    }
    return end;
  }

  private static char sign(PageMap.Looks looks) {
    return switch (looks) {
      case NOT_STORED -> ' ';
      case ZERO -> '.';
      case TEXT -> '"';
      case POINTERS -> '>';
      case DATA -> '%';
      case FILLED -> '=';
      case RANDOM -> '#';
    };
  }
}
