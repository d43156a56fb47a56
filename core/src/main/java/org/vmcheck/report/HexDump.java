package org.vmcheck.report;

import java.util.function.IntPredicate;
import org.vmcheck.finding.Evidence;

/// Bytes in lines of sixteen: address, hexadecimal, text. Marked bytes stand in brackets, guessed
/// ones behind a question mark.
public final class HexDump {
  private static final int WIDTH = 16;

  private HexDump() {}

  /// @param address of the first byte; where it is not known lines count from it
  /// @param hex two digits a byte
  /// @param markFrom first marked byte
  /// @param markTo end (exclusive) of the marked bytes
  public static void append(
      StringBuilder out, long address, String hex, int markFrom, int markTo, String indent) {
    append(out, address, hex, markFrom, markTo, indent, _ -> false);
  }

  /// @param isGuessed whether a byte, counted from the first, is only guessed
  public static void append(
      StringBuilder out,
      long address,
      String hex,
      int markFrom,
      int markTo,
      String indent,
      IntPredicate isGuessed) {
    int count = hex.length() / 2;
    for (int line = 0; line < count; line += WIDTH) {
      out.append(indent)
          .append(
              address == Evidence.UNKNOWN
                  ? "+%04x ".formatted(line)
                  : "%016x ".formatted(address + line));
      StringBuilder text = new StringBuilder();
      for (int i = line; i < line + WIDTH; i++) {
        if (i >= count) {
          out.append("   ");
          continue;
        }
        boolean marked = i >= markFrom && i < markTo;
        boolean first = marked && (i == markFrom || i == line);
        boolean afterMark = !marked && i > line && i - 1 >= markFrom && i - 1 < markTo;
        char before = isGuessed.test(i) ? '?' : ' ';
        out.append(first ? '[' : afterMark ? ']' : before).append(hex, 2 * i, 2 * i + 2);
        int b = Integer.parseInt(hex, 2 * i, 2 * i + 2, 16);
        text.append(b >= 0x20 && b < 0x7f ? (char) b : '.');
      }
      int last = Math.min(line + WIDTH, count) - 1;
      out.append(last >= markFrom && last < markTo ? ']' : ' ');
      out.append(" |").append(text).append("|\n");
    }
  }
}
