package org.vmcheck.report;

import java.util.stream.Stream;
import org.vmcheck.io.Printable;

/// Builds HTML, SVG and XML. Whatever is not a tag or an attribute's name written in this program
/// is escaped here, so no text of a dump can become markup.
final class Markup {
  private final StringBuilder out = new StringBuilder();

  /// Text, with control and markup characters escaped.
  static String escape(String untrusted) {
    return escaped(Printable.of(untrusted));
  }

  /// The name of a file, or a command with one: letters of any script are character references, so
  /// that they do not depend on how this file is read.
  static String escapePath(String name) {
    return escaped(Printable.path(name));
  }

  private static String escaped(String printable) {
    StringBuilder safe = new StringBuilder(printable.length() + 16);
    for (int i = 0; i < printable.length(); i += Character.charCount(printable.codePointAt(i))) {
      int c = printable.codePointAt(i);
      switch (c) {
        case '&' -> safe.append("&amp;");
        case '<' -> safe.append("&lt;");
        case '>' -> safe.append("&gt;");
        case '"' -> safe.append("&quot;");
        case '\'' -> safe.append("&#39;");
        default -> {
          if (c < 0x7f) {
            safe.append((char) c);
          } else {
            safe.append("&#").append(c).append(';');
          }
        }
      }
    }
    return safe.toString();
  }

  /// Markup written in this program.
  Markup raw(String markup) {
    out.append(markup);
    return this;
  }

  Markup text(String untrusted) {
    out.append(escape(untrusted));
    return this;
  }

  /// A start tag.
  ///
  /// @param attributes names and values in turn; the values are escaped
  Markup open(String tag, String... attributes) {
    out.append('<').append(tag);
    for (int i = 0; i < attributes.length; i += 2) {
      out.append(' ').append(attributes[i]).append("=\"").append(escape(attributes[i + 1]));
      out.append('"');
    }
    out.append('>');
    return this;
  }

  /// The start tag of a picture.
  ///
  /// @param label what it shows, for who does not see it
  /// @param attributes more, before the others
  Markup picture(String label, int width, int height, String... attributes) {
    String[] own = {
      "viewBox",
      "0 0 %d %d".formatted(width, height),
      "width",
      "" + width,
      "height",
      "" + height,
      "role",
      "img",
      "aria-label",
      label
    };
    return open("svg", Stream.of(attributes, own).flatMap(Stream::of).toArray(String[]::new));
  }

  Markup close(String tag) {
    out.append("</").append(tag).append('>');
    return this;
  }

  /// A tag with nothing in it, closed.
  Markup empty(String tag, String... attributes) {
    open(tag, attributes);
    out.setLength(out.length() - 1);
    out.append("/>");
    return this;
  }

  /// [#element] around the name of a file, or a command with one.
  Markup named(String tag, String name, String... attributes) {
    return open(tag, attributes).raw(escapePath(name)).close(tag);
  }

  /// A whole element around text.
  Markup element(String tag, String untrusted, String... attributes) {
    return open(tag, attributes).text(untrusted).close(tag);
  }

  Markup newline() {
    out.append('\n');
    return this;
  }

  @Override
  public String toString() {
    return out.toString();
  }
}
