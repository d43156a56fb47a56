package org.vmcheck.cli;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;

/// What a manual page says at length: a file `man/PAGE.md` beside this class, which can be read as
/// it is, drawn for roff. The part of Markdown that those files use is known: headings of the
/// second rank, paragraphs, lists, fenced blocks and tables.
final class ManNotes {
  private static final Pattern LINK = Pattern.compile("\\[([^\\]]+)\\]\\([^)]+\\)");

  private final StringBuilder out = new StringBuilder();
  private final List<String> columns = new ArrayList<>();
  private boolean isLiteral;

  private ManNotes() {}

  /// The sections of a page.
  ///
  /// @param page its name, for example `vmcheck-scan`
  /// @return requests of roff's; empty if the page has no more to say
  static String of(String page) {
    return drawn(markdown(page));
  }

  /// The text as it is written.
  ///
  /// @return empty if the page has none
  static String markdown(String page) {
    try (InputStream file = ManNotes.class.getResourceAsStream("man/" + page + ".md")) {
      return file == null ? "" : new String(file.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  /// Markdown as roff.
  static String drawn(String markdown) {
    ManNotes notes = new ManNotes();
    markdown.lines().forEach(notes::line);
    return notes.out.toString();
  }

  private void line(String line) {
    if (line.startsWith("```")) {
      isLiteral = !isLiteral;
      out.append(isLiteral ? ".PP\n.RS 4\n.nf\n" : ".fi\n.RE\n");
    } else if (isLiteral) {
      out.append(ManPages.roff(line)).append('\n');
    } else if (line.startsWith("|")) {
      row(line);
    } else if (line.startsWith("## ")) {
      out.append(".SH ").append(ManPages.roff(line.substring(3).toUpperCase(Locale.ROOT)));
      out.append('\n');
    } else if (line.isEmpty()) {
      columns.clear();
      out.append(".PP\n");
    } else if (line.startsWith("- ")) {
      out.append(".IP \\(bu 2\n").append(inline(line.substring(2))).append('\n');
    } else if (!line.startsWith("# ")) {
      // The page has a title of its own.
      out.append(inline(line.strip())).append('\n');
    }
  }

  /// A row is a paragraph under its first cell; the head's other names stand before their cells
  /// where there are several.
  private void row(String line) {
    String[] cells = line.substring(1).split("\\|");
    if (columns.isEmpty()) {
      for (String cell : cells) {
        columns.add(cell.strip());
      }
    } else if (!cells[0].startsWith("---")) {
      out.append(".TP\n").append(bold(inline(cells[0].strip()))).append('\n');
      List<String> rest = new ArrayList<>();
      for (int i = 1; i < cells.length; i++) {
        String name = cells.length > 2 && i > 1 ? columns.get(i) + ": " : "";
        rest.add(inline(name + cells[i].strip()));
      }
      out.append(String.join("; ", rest)).append('\n');
    }
  }

  private static String bold(String text) {
    return text.startsWith("\\fB") ? text : "\\fB" + text + "\\fR";
  }

  /// Code and stressed words in bold, links by their text.
  private static String inline(String text) {
    String[] pieces = LINK.matcher(text).replaceAll("$1").split("`", -1);
    StringBuilder drawn = new StringBuilder();
    for (int i = 0; i < pieces.length; i++) {
      String piece = ManPages.roff(pieces[i]);
      drawn.append(
          i % 2 == 1
              ? "\\fB" + piece + "\\fR"
              : piece.replaceAll("\\*\\*([^*]+)\\*\\*", "\\\\fB$1\\\\fR"));
    }
    return drawn.toString();
  }
}
