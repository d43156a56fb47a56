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

  /// The name of a file as its user knows it: letters, digits, marks, punctuation and symbols of
  /// any script stay, what a terminal would not show, or would show otherwise (controls, changes of
  /// direction, blanks of all kinds but one, halves of characters), is written as [#of] does.
  public static String path(String name) {
    if (firstUnsafe(name) < 0) {
      return name;
    }
    StringBuilder shown = new StringBuilder(name.length() + 16);
    name.codePoints()
        .forEach(
            c -> {
              String one = Character.toString(c);
              shown.append(isShown(c) ? one : of(one));
            });
    return shown.toString();
  }

  /// Whether [#path] leaves a name as it is.
  public static boolean isShown(String name) {
    return name.codePoints().allMatch(Printable::isShown);
  }

  private static boolean isShown(int c) {
    return switch (Character.getType(c)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.SURROGATE,
          Character.PRIVATE_USE,
          Character.UNASSIGNED,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR ->
          false;
      case Character.SPACE_SEPARATOR -> c == ' ';
      default -> c != 0xfffd; // What Java makes of a byte that is no UTF-8.
    };
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
