package org.vmcheck.io;

/// Text from a dump made safe to print: what a file holds must never move a terminal's cursor.
public final class Printable {
  private Printable() {}

  /// The text with every control character, and every character above ASCII, written as `\xNN`.
  public static String of(String untrusted) {
    int at = firstUnsafe(untrusted);
    if (at < 0) {
      return untrusted;
    }
    StringBuilder safe = new StringBuilder(untrusted.length() + 16);
    safe.append(untrusted, 0, at);
    for (; at < untrusted.length(); at++) {
      char c = untrusted.charAt(at);
      if (isSafe(c)) {
        safe.append(c);
      } else if (c < 0x100) {
        safe.append("\\x%02x".formatted((int) c));
      } else {
        safe.append("\\u%04x".formatted((int) c));
      }
    }
    return safe.toString();
  }

  /// [#of], cut to `maxChars` with an ellipsis.
  public static String of(String untrusted, int maxChars) {
    String safe = of(untrusted);
    return safe.length() <= maxChars ? safe : safe.substring(0, maxChars - 3) + "...";
  }

  private static int firstUnsafe(String text) {
    for (int i = 0; i < text.length(); i++) {
      if (!isSafe(text.charAt(i))) {
        return i;
      }
    }
    return -1;
  }

  private static boolean isSafe(char c) {
    return c >= 0x20 && c < 0x7f;
  }
}
