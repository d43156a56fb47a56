package org.vmcheck.archive;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.vmcheck.io.Printable;
import org.vmcheck.io.Sha256;

/// The catalogue's tables in SQLite, version by version. Tells a catalogue of ours from a database
/// that only calls itself one: it has the tables and indexes that this program makes, word for
/// word, and nothing that computes (views, triggers).
final class SqliteSchema {
  private static final Pattern SPACES = Pattern.compile("\\s++");

  private static final List<String> FIRST_TABLES =
      List.of(
          """
          CREATE TABLE incident (
            location TEXT PRIMARY KEY, id TEXT NOT NULL, path TEXT NOT NULL,
            state TEXT NOT NULL, host TEXT NOT NULL, named_time TEXT NOT NULL,
            bytes INTEGER NOT NULL, identity TEXT NOT NULL, head_hash TEXT NOT NULL,
            tail_hash TEXT NOT NULL, files TEXT NOT NULL, tool TEXT NOT NULL,
            judged_at INTEGER NOT NULL, seconds REAL NOT NULL, verdict TEXT NOT NULL,
            summary TEXT NOT NULL, problem_kind TEXT NOT NULL, problem TEXT NOT NULL,
            format TEXT NOT NULL, release TEXT NOT NULL, machine TEXT NOT NULL,
            nodename TEXT NOT NULL, crash_time INTEGER NOT NULL, panic TEXT NOT NULL,
            panic_signature TEXT NOT NULL, panic_text TEXT NOT NULL,
            damage_signature TEXT NOT NULL, damage_text TEXT NOT NULL,
            remarks TEXT NOT NULL, vanished INTEGER NOT NULL DEFAULT 0)
          """,
          """
          CREATE TABLE cause (
            location TEXT NOT NULL REFERENCES incident(location) ON DELETE CASCADE,
            cause TEXT NOT NULL, PRIMARY KEY (location, cause)) WITHOUT ROWID
          """,
          """
          CREATE TABLE report (
            location TEXT PRIMARY KEY REFERENCES incident(location) ON DELETE CASCADE,
            deflated BLOB NOT NULL)
          """);

  private static final List<String> FIRST_INDEXES =
      List.of(
          "CREATE INDEX incident_content ON incident(bytes, head_hash, tail_hash)",
          "CREATE INDEX incident_id ON incident(id)",
          "CREATE INDEX incident_panic ON incident(panic_signature)",
          "CREATE INDEX incident_damage ON incident(damage_signature)",
          "CREATE INDEX cause_cause ON cause(cause)");

  /// An incident is of an origin; rows know each other by number.
  private static final List<String> WITH_ORIGIN =
      List.of(
          """
          CREATE TABLE incident (
            number INTEGER PRIMARY KEY, origin TEXT NOT NULL,
            location TEXT NOT NULL, id TEXT NOT NULL, path TEXT NOT NULL,
            state TEXT NOT NULL, host TEXT NOT NULL, named_time TEXT NOT NULL,
            bytes INTEGER NOT NULL, identity TEXT NOT NULL, head_hash TEXT NOT NULL,
            tail_hash TEXT NOT NULL, files TEXT NOT NULL, tool TEXT NOT NULL,
            judged_at INTEGER NOT NULL, seconds REAL NOT NULL, verdict TEXT NOT NULL,
            summary TEXT NOT NULL, problem_kind TEXT NOT NULL, problem TEXT NOT NULL,
            format TEXT NOT NULL, release TEXT NOT NULL, machine TEXT NOT NULL,
            nodename TEXT NOT NULL, crash_time INTEGER NOT NULL, panic TEXT NOT NULL,
            panic_signature TEXT NOT NULL, panic_text TEXT NOT NULL,
            damage_signature TEXT NOT NULL, damage_text TEXT NOT NULL,
            remarks TEXT NOT NULL, vanished INTEGER NOT NULL DEFAULT 0,
            UNIQUE (location, origin))
          """,
          """
          CREATE TABLE cause (
            number INTEGER NOT NULL REFERENCES incident(number) ON DELETE CASCADE,
            cause TEXT NOT NULL, PRIMARY KEY (number, cause)) WITHOUT ROWID
          """,
          """
          CREATE TABLE report (
            number INTEGER PRIMARY KEY REFERENCES incident(number) ON DELETE CASCADE,
            deflated BLOB NOT NULL)
          """,
          "CREATE INDEX incident_content ON incident(head_hash, tail_hash)",
          "CREATE INDEX incident_id ON incident(id)",
          "CREATE INDEX incident_panic ON incident(panic_signature)",
          "CREATE INDEX incident_damage ON incident(damage_signature)",
          "CREATE INDEX cause_cause ON cause(cause)");

  /// From the tables by location to those by origin and location. Nothing but the origin is new.
  private static final List<String> ADD_ORIGIN =
      Stream.of(
              List.of(
                  "DROP INDEX incident_content",
                  "DROP INDEX incident_id",
                  "DROP INDEX incident_panic",
                  "DROP INDEX incident_damage",
                  "DROP INDEX cause_cause",
                  "ALTER TABLE report RENAME TO old_report",
                  "ALTER TABLE cause RENAME TO old_cause",
                  "ALTER TABLE incident RENAME TO old_incident"),
              WITH_ORIGIN,
              List.of(
                  """
                  INSERT INTO incident SELECT NULL, '%s', location, id, path, state, host, named_time,
                    bytes, identity, head_hash, tail_hash, files, tool, judged_at, seconds, verdict,
                    summary, problem_kind, problem, format, release, machine, nodename, crash_time,
                    panic, panic_signature, panic_text, damage_signature, damage_text, remarks,
                    vanished FROM old_incident ORDER BY location
                  """,
                  """
                  INSERT INTO cause SELECT number, cause
                    FROM old_cause JOIN incident USING (location)
                  """,
                  """
                  INSERT INTO report SELECT number, deflated
                    FROM old_report JOIN incident USING (location)
                  """,
                  "DROP TABLE old_report",
                  "DROP TABLE old_cause",
                  "DROP TABLE old_incident"))
          .flatMap(List::stream)
          .toList();

  /// What a scan is at, and what waits for one.
  private static final List<String> WORK =
      List.of(
          """
          CREATE TABLE work (
            location TEXT NOT NULL, origin TEXT NOT NULL, bytes INTEGER NOT NULL,
            holder TEXT NOT NULL, until INTEGER NOT NULL, attempts INTEGER NOT NULL,
            queued INTEGER NOT NULL, PRIMARY KEY (location, origin)) WITHOUT ROWID
          """,
          "CREATE INDEX work_bytes ON work(bytes)",
          "CREATE INDEX work_holder ON work(holder)");

  /// The columns of lists, groups and trends side by side in the order of a list: of a million rows
  /// that lie elsewhere in the table, each would be looked up in a page of its own. Signatures are
  /// found in it too.
  private static final List<String> LIST =
      List.of(
          """
          CREATE INDEX incident_list ON incident(location, origin, id, state, verdict, release,
            crash_time, vanished, host, nodename, panic_signature, damage_signature)
          """);

  private static final List<String> ADD_LIST =
      Stream.concat(
              Stream.of("DROP INDEX incident_panic", "DROP INDEX incident_damage"), LIST.stream())
          .toList();

  /// What brings a database of each version to the next. Steps are never changed.
  private static final List<List<String>> STEPS =
      List.of(FIRST_TABLES, FIRST_INDEXES, ADD_ORIGIN, WORK, ADD_LIST);

  /// What a database of version n has been made by, at n - 1.
  private static final List<List<String>> MADE =
      List.of(
          FIRST_TABLES,
          Stream.concat(FIRST_TABLES.stream(), FIRST_INDEXES.stream()).toList(),
          WITH_ORIGIN,
          Stream.concat(WITH_ORIGIN.stream(), WORK.stream()).toList(),
          Stream.of(WITH_ORIGIN, WORK, LIST)
              .flatMap(List::stream)
              .filter(statement -> !ADD_LIST.contains(dropOf(statement)))
              .toList());

  static final int VERSION = STEPS.size();
  private static final int ORIGIN_VERSION = 3;

  private static final int MAX_OBJECTS = 64;

  private SqliteSchema() {}

  /// What is foreign in a database; empty if nothing is.
  ///
  /// @param version that the database says it has, at least 1
  static Optional<String> foreign(Connection connection, int version) throws SQLException {
    Map<String, String> missing = new HashMap<>();
    for (String statement : MADE.get(version - 1)) {
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

  /// Brings the tables from one version to the newest, within a transaction of the caller's.
  ///
  /// @param version 0 if there are none
  static void migrate(Connection connection, int version) throws SQLException {
    if (version == 0) {
      // A new catalogue needs no history.
      for (String statement : MADE.getLast()) {
        run(connection, statement);
      }
    }
    for (int step = version == 0 ? VERSION : version; step < VERSION; step++) {
      String origin = step + 1 == ORIGIN_VERSION ? unrecordedOrigin(connection) : "";
      for (String statement : STEPS.get(step)) {
        run(connection, statement.replace("'%s'", "'" + origin + "'"));
      }
      if (step + 1 == ORIGIN_VERSION) {
        nameAgain(connection);
      }
    }
    run(connection, "PRAGMA user_version = " + VERSION);
  }

  /// Of which host the rows are, nobody wrote down: they get an origin that says so, and that only
  /// a copy of this catalogue shares. Where a scan meets one of the files unchanged, it knows.
  private static String unrecordedOrigin(Connection connection) throws SQLException {
    MessageDigest digest = Sha256.digest();
    try (Statement query = connection.createStatement();
        ResultSet row =
            query.executeQuery(
                "SELECT location || ' ' || identity || ' ' || judged_at FROM incident"
                    + " ORDER BY location")) {
      while (row.next()) {
        digest.update((row.getString(1) + "\n").getBytes(StandardCharsets.UTF_8));
      }
    }
    return IncidentKey.UNRECORDED + HexFormat.of().formatHex(digest.digest(), 0, 4);
  }

  /// Ids name the origin too.
  private static void nameAgain(Connection connection) throws SQLException {
    try (Statement query = connection.createStatement();
        PreparedStatement update =
            connection.prepareStatement("UPDATE incident SET id = ? WHERE number = ?");
        ResultSet row =
            query.executeQuery("SELECT number, origin, location FROM incident ORDER BY number")) {
      while (row.next()) {
        update.setString(1, new IncidentKey(row.getString(2), new FileUri(row.getString(3))).id());
        update.setLong(2, row.getLong(1));
        update.executeUpdate();
      }
    }
  }

  private static void run(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private static String word(String type) {
    return switch (type) {
      case "table", "index", "view", "trigger" -> type;
      default -> "object";
    };
  }

  /// What undoes a statement that makes an index or a table.
  private static String dropOf(String statement) {
    return "DROP " + key(statement).replaceFirst("index", "INDEX");
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
