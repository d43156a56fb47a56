package org.vmcheck.report;

import org.vmcheck.io.Printable;

/// Builds HTML, SVG and XML. Whatever is not a tag or an attribute's name written in this program
/// is escaped here, so no text of a dump can become markup.
final class Markup {
  private final StringBuilder out = new StringBuilder();

  /// Text, with control and markup characters escaped.
  static String escape(String untrusted) {
    String printable = Printable.of(untrusted);
    StringBuilder safe = new StringBuilder(printable.length() + 16);
    for (int i = 0; i < printable.length(); i++) {
      char c = printable.charAt(i);
      switch (c) {
        case '&' -> safe.append("&amp;");
        case '<' -> safe.append("&lt;");
        case '>' -> safe.append("&gt;");
        case '"' -> safe.append("&quot;");
        case '\'' -> safe.append("&#39;");
        default -> safe.append(c);
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
