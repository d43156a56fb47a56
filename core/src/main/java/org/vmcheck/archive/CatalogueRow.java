package org.vmcheck.archive;

import java.sql.ResultSet;
import java.sql.SQLException;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Printable;

/// One row of a catalogue: each column has the type and the range that this program writes, or the
/// row is refused by the column's name.
final class CatalogueRow {
  /// The longest text that is written: the names of ten thousand files.
  private static final int MAX_CHARS = 4 << 20;

  private static final int ID_CHARS = 12;

  private final String file;
  private final ResultSet row;

  /// @param file what messages call the catalogue
  CatalogueRow(String file, ResultSet row) {
    this.file = file;
    this.row = row;
  }

  /// A text as it was stored; empty text for NULL where a join has no row.
  ///
  /// @throws MalformedFileException if it is none
  String text(String column) throws SQLException, MalformedFileException {
    Object value = row.getObject(column);
    if (value instanceof String text && text.length() <= MAX_CHARS) {
      return text;
    }
    throw wrong(column, "a text of at most " + MAX_CHARS + " characters", value);
  }

  /// [#text], or empty where there is none.
  String textOrNone(String column) throws SQLException, MalformedFileException {
    Object value = row.getObject(column);
    if (value == null) {
      return "";
    }
    if (value instanceof String text && text.length() <= MAX_CHARS) {
      return text;
    }
    throw wrong(column, "a text of at most " + MAX_CHARS + " characters", value);
  }

  /// Bytes, or none where a join has no row.
  byte[] bytesOrNone(String column) throws SQLException, MalformedFileException {
    Object value = row.getObject(column);
    if (value == null) {
      return new byte[0];
    }
    if (value instanceof byte[] bytes) {
      return bytes;
    }
    throw wrong(column, "bytes", value);
  }

  /// Several values that a query has put together, with line ends between them.
  ///
  /// @param count of values; the last may hold line ends itself
  Parts parts(String column, int count) throws SQLException, MalformedFileException {
    String joined = text(column);
    String[] parts = new String[count];
    int start = 0;
    for (int i = 0; i < count - 1; i++) {
      int end = joined.indexOf('\n', start);
      if (end < 0) {
        throw wrong(column, count + " values", joined);
      }
      parts[i] = joined.substring(start, end);
      start = end + 1;
    }
    parts[count - 1] = joined.substring(start);
    return new Parts(column, parts);
  }

  /// Values of one text. One that has a line end where none can be moves the others out of their
  /// places, where they are refused.
  final class Parts {
    private final String column;
    private final String[] parts;

    private Parts(String column, String[] parts) {
      this.column = column;
      this.parts = parts;
    }

    String text(int at) {
      return parts[at];
    }

    /// The id of an incident.
    String id(int at) throws MalformedFileException {
      if (parts[at].length() != ID_CHARS || !isHexadecimal(parts[at])) {
        throw wrong(column, "an id of " + ID_CHARS + " hexadecimal digits", parts[at]);
      }
      return parts[at];
    }

    /// A whole number in a range.
    long number(int at, long least, long most) throws MalformedFileException {
      try {
        long number = Long.parseLong(parts[at]);
        if (number >= least && number <= most) {
          return number;
        }
      } catch (NumberFormatException _) {
        // Refused below.
      }
      throw wrong(column, "a number from %d to %d".formatted(least, most), parts[at]);
    }
  }

  private static boolean isHexadecimal(String text) {
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) {
        return false;
      }
    }
    return true;
  }

  /// A whole number in a range.
  long number(String column, long least, long most) throws SQLException, MalformedFileException {
    Object value = row.getObject(column);
    if (value instanceof Number number
        && (value instanceof Long || value instanceof Integer)
        && number.longValue() >= least
        && number.longValue() <= most) {
      return number.longValue();
    }
    throw wrong(column, "a number from %d to %d".formatted(least, most), value);
  }

  /// A sum, which databases give in types of their own; 0 of no rows.
  long sum(String column) throws SQLException, MalformedFileException {
    Object value = row.getObject(column);
    if (value == null) {
      return 0;
    }
    if (value instanceof Number number && number.longValue() >= 0) {
      return number.longValue();
    }
    throw wrong(column, "a sum, 0 or more", value);
  }

  /// Seconds that something took.
  double seconds(String column) throws SQLException, MalformedFileException {
    Object value = row.getObject(column);
    if (value instanceof Number number
        && number.doubleValue() >= 0
        && number.doubleValue() < 1e12) {
      return number.doubleValue();
    }
    throw wrong(column, "seconds, 0 or more", value);
  }

  private MalformedFileException wrong(String column, String expected, Object value) {
    String what =
        switch (value) {
          case null -> "nothing";
          case String text -> "a text of %d characters".formatted(text.length());
          case byte[] bytes -> "%d bytes".formatted(bytes.length);
          default -> Printable.of(value.toString(), 40);
        };
    return new MalformedFileException(
        "[%s] incident.%s: expected %s, got %s; it is left as it is"
            .formatted(file, column, expected, what));
  }
}
