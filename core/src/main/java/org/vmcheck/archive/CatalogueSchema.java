package org.vmcheck.archive;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import org.vmcheck.io.Printable;

/// Tells a catalogue of ours from a database that only calls itself one: it has the tables and
/// indexes that this program makes, word for word, and nothing that computes (views, triggers).
final class CatalogueSchema {
  private static final Pattern SPACES = Pattern.compile("\\s++");
  private static final int MAX_OBJECTS = 64;

  private CatalogueSchema() {}

  /// What is foreign in a database; empty if nothing is.
  ///
  /// @param statements that made a database of its version
  static Optional<String> foreign(Connection connection, List<String> statements)
      throws SQLException {
    Map<String, String> missing = new HashMap<>();
    for (String statement : statements) {
      missing.put(key(statement), plain(statement));
    }
    // Of longer statements the start differs already.
    try (Statement query = connection.createStatement();
        ResultSet row =
            query.executeQuery(
                "SELECT type, substr(name, 1, 80), substr(sql, 1, 4096) FROM sqlite_schema WHERE"
                    + " NOT (name LIKE 'sqlite\\_%' ESCAPE '\\' AND type IN ('index', 'table'))"
                    + " LIMIT "
                    + MAX_OBJECTS)) {
      while (row.next()) {
        String type = String.valueOf(row.getString(1));
        String name = String.valueOf(row.getString(2));
        String sql = plain(String.valueOf(row.getString(3)));
        if (!sql.equals(missing.remove(type + " " + name))) {
          return Optional.of("the %s %s".formatted(word(type), Printable.of(name, 40)));
        }
      }
    }
    return missing.keySet().stream().sorted().findFirst().map(name -> "no " + name);
  }

  private static String word(String type) {
    return switch (type) {
      case "table", "index", "view", "trigger" -> type;
      default -> "object";
    };
  }

  /// `table incident` of `CREATE TABLE incident (...)`.
  private static String key(String statement) {
    String[] words = plain(statement).split("[ (]", 4);
    return words[1].toLowerCase(java.util.Locale.ROOT) + " " + words[2];
  }

  private static String plain(String statement) {
    return SPACES.matcher(statement).replaceAll(" ").strip();
  }
}
