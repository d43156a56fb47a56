package org.vmcheck.report;

import java.util.List;
import org.vmcheck.finding.LogLine;

/// The kernel log as text, as makedumpfile writes it: time stamp, text, other bytes as `\xNN`.
public final class LogText {
  private LogText() {}

  public static String render(List<LogLine> lines) {
    StringBuilder out = new StringBuilder();
    for (LogLine line : lines) {
      long micros = Long.divideUnsigned(line.timestampNanos(), 1000);
      String stamp =
          "[%5d.%06d] "
              .formatted(
                  Long.divideUnsigned(micros, 1_000_000),
                  Long.remainderUnsigned(micros, 1_000_000));
      out.append(stamp);
      for (int i = 0; i < line.text().length(); i++) {
        char c = line.text().charAt(i);
        if (c == '\n') {
          // A record of several lines goes on under its own time stamp's width.
          out.append('\n').append(" ".repeat(stamp.length()));
        } else if ((c >= 0x20 && c < 0x7f) || c == '\t') {
          out.append(c);
        } else {
          out.append("\\x%02x".formatted((int) c));
        }
      }
      out.append('\n');
    }
    return out.toString();
  }
}
