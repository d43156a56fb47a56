package org.vmcheck.archive;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;

/// The catalogue's tables in PostgreSQL, version by version; the version of a database stands in a
/// table of its own. Text is ordered by its bytes, as in the other databases.
final class PostgresSchema {
  /// Held while tables are made: several workers may start on a new database at once ("vmcheck").
  private static final long LOCK = 0x766d_6368_6563_6bL;

  private static final List<String> FIRST =
      List.of(
          "CREATE TABLE vmcheck_schema (version INTEGER NOT NULL)",
          "INSERT INTO vmcheck_schema VALUES (0)",
          """
          CREATE TABLE incident (
            number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            origin TEXT COLLATE "C" NOT NULL, location TEXT COLLATE "C" NOT NULL,
            id TEXT COLLATE "C" NOT NULL, path TEXT NOT NULL, state TEXT NOT NULL,
            host TEXT COLLATE "C" NOT NULL, named_time TEXT NOT NULL, bytes BIGINT NOT NULL,
            identity TEXT NOT NULL, head_hash TEXT COLLATE "C" NOT NULL,
            tail_hash TEXT COLLATE "C" NOT NULL, files TEXT NOT NULL, tool TEXT NOT NULL,
            judged_at BIGINT NOT NULL, seconds DOUBLE PRECISION NOT NULL,
            verdict TEXT COLLATE "C" NOT NULL, summary TEXT NOT NULL, problem_kind TEXT NOT NULL,
            problem TEXT NOT NULL, format TEXT NOT NULL, release TEXT COLLATE "C" NOT NULL,
            machine TEXT NOT NULL, nodename TEXT COLLATE "C" NOT NULL, crash_time BIGINT NOT NULL,
            panic TEXT NOT NULL, panic_signature TEXT COLLATE "C" NOT NULL,
            panic_text TEXT COLLATE "C" NOT NULL, damage_signature TEXT COLLATE "C" NOT NULL,
            damage_text TEXT COLLATE "C" NOT NULL, remarks TEXT NOT NULL,
            vanished INTEGER NOT NULL DEFAULT 0, UNIQUE (location, origin))
          """,
          """
          CREATE TABLE cause (
            number BIGINT NOT NULL REFERENCES incident(number) ON DELETE CASCADE,
            cause TEXT COLLATE "C" NOT NULL, PRIMARY KEY (number, cause))
          """,
          """
          CREATE TABLE report (
            number BIGINT PRIMARY KEY REFERENCES incident(number) ON DELETE CASCADE,
            deflated BYTEA NOT NULL)
          """,
          """
          CREATE TABLE work (
            location TEXT COLLATE "C" NOT NULL, origin TEXT COLLATE "C" NOT NULL,
            bytes BIGINT NOT NULL, holder TEXT NOT NULL, until BIGINT NOT NULL,
            attempts INTEGER NOT NULL, queued INTEGER NOT NULL, PRIMARY KEY (location, origin))
          """,
          "CREATE INDEX incident_content ON incident(head_hash, tail_hash)",
          "CREATE INDEX incident_id ON incident(id)",
          "CREATE INDEX incident_panic ON incident(panic_signature)",
          "CREATE INDEX incident_damage ON incident(damage_signature)",
          "CREATE INDEX cause_cause ON cause(cause)",
          "CREATE INDEX work_bytes ON work(bytes)",
          "CREATE INDEX work_holder ON work(holder)");

  /// What brings a database of each version to the next. Steps are never changed.
  private static final List<List<String>> STEPS = List.of(FIRST);

  static final int VERSION = STEPS.size();

  private PostgresSchema() {}

  /// The version of a database; 0 if it has none of the catalogue's tables, -1 if it has tables of
  /// their names that are somebody else's.
  static int version(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      try (ResultSet row =
          statement.executeQuery(
              "SELECT to_regclass('vmcheck_schema') IS NOT NULL,"
                  + " to_regclass('incident') IS NOT NULL OR to_regclass('cause') IS NOT NULL"
                  + " OR to_regclass('report') IS NOT NULL OR to_regclass('work') IS NOT NULL")) {
        row.next();
        if (!row.getBoolean(1)) {
          return row.getBoolean(2) ? -1 : 0;
        }
      }
      try (ResultSet row = statement.executeQuery("SELECT max(version) FROM vmcheck_schema")) {
        row.next();
        return row.getInt(1);
      }
    }
  }

  /// Brings the tables to the newest version, within a transaction of the caller's.
  static void migrate(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute("SELECT pg_advisory_xact_lock(" + LOCK + ")");
      // Asked again under the lock: another worker may have been faster.
      for (int step = version(connection); step < VERSION; step++) {
        for (String sql : STEPS.get(step)) {
          statement.execute(sql);
        }
      }
      statement.execute("UPDATE vmcheck_schema SET version = " + VERSION);
    }
  }
}
