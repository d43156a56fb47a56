package org.vmcheck.io;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/// Hostile text in lines, cut before anything is matched against them.
public final class Lines {
  /// Characters of a line that are looked at. printk's longest record has 2,048 bytes
  /// (`PRINTK_MESSAGE_MAX`).
  public static final int MAX_CHARS = 2048;

  /// The largest logs of printk have about that many.
  private static final int MAX_LINES = 1 << 18;

  private Lines() {}

  /// The lines of a text, each cut to [#MAX_CHARS]; of a text of more than 262,144 the last.
  public static List<String> of(String text) {
    Cancellation cancellation = Cancellation.current();
    Deque<String> lines = new ArrayDeque<>();
    int at = 0;
    while (at < text.length()) {
      cancellation.step();
      int newline = text.indexOf('\n', at);
      int end = newline < 0 ? text.length() : newline;
      int next = end + 1;
      if (end > at && text.charAt(end - 1) == '\r') {
        end--;
      }
      lines.add(text.substring(at, Math.min(end, at + MAX_CHARS)));
      if (lines.size() > MAX_LINES) {
        lines.remove();
      }
      at = next;
    }
    return List.copyOf(lines);
  }

  /// One line, cut to [#MAX_CHARS].
  public static String cut(String line) {
    return line.length() <= MAX_CHARS ? line : line.substring(0, MAX_CHARS);
  }
}
