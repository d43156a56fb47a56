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
