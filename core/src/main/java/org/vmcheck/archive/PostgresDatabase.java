package org.vmcheck.archive;

import java.io.IOException;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import org.postgresql.Driver;
import org.vmcheck.io.Printable;

/// A catalogue for a fleet, in PostgreSQL 13 or later. A connection that is lost is made again, and
/// what was to be written is written again: of a transaction nothing stays, or all of it.
final class PostgresDatabase extends Database {
  /// How often something is tried, with pauses of one second, two and four.
  private static final int TRIES = 4;

  private final PostgresAddress address;
  private final boolean readOnly;
  private Connection connection;
  private int depth;

  private PostgresDatabase(PostgresAddress address, boolean readOnly) {
    this.address = address;
    this.readOnly = readOnly;
  }

  /// @throws CatalogueException if there is no catalogue, or none that can be used
  static PostgresDatabase read(String place) throws IOException {
    return open(place, true);
  }

  /// Makes the tables if there are none.
  static PostgresDatabase write(String place) throws IOException {
    return open(place, false);
  }

  private static PostgresDatabase open(String place, boolean readOnly) throws IOException {
    PostgresDatabase database = new PostgresDatabase(PostgresAddress.of(place), readOnly);
    try {
      database.connect();
      database.prepare();
      return database;
    } catch (SQLException failure) {
      database.drop();
      throw database.refusal(failure);
    } catch (IOException | RuntimeException failure) {
      database.drop();
      throw failure;
    }
  }

  private void connect() throws SQLException {
    connection = new Driver().connect(address.jdbc(), address.properties());
    connection.setAutoCommit(false);
    connection.setReadOnly(readOnly);
  }

  /// Closes what may be broken.
  private void drop() {
    if (connection != null) {
      try {
        connection.close();
      } catch (SQLException _) {
        // What was not committed is gone either way.
      }
      connection = null;
    }
  }

  private void prepare() throws SQLException, IOException {
    int version = PostgresSchema.version(connection);
    connection.rollback();
    if (version < 0) {
      throw refusal("has tables of another program, which are left as they are", null);
    }
    if (version > PostgresSchema.VERSION) {
      throw refusal(
          "was written by a newer vmcheck (schema %d; this one knows %d)"
              .formatted(version, PostgresSchema.VERSION),
          null);
    }
    if (version < PostgresSchema.VERSION) {
      if (readOnly) {
        throw refusal(
            version == 0
                ? "there is no catalogue in it: a scan makes one"
                : "has the older schema %d: a scan brings it up to %d"
                    .formatted(version, PostgresSchema.VERSION),
            null);
      }
      PostgresSchema.migrate(connection);
      connection.commit();
    }
  }

  @Override
  String name() {
    return address.words();
  }

  /// In one transaction; within another read, in that one.
  @Override
  synchronized <T> T read(Work<T> work) throws IOException {
    if (depth > 0) {
      return within(work);
    }
    return again(work, false);
  }

  private <T> T within(Work<T> work) throws IOException {
    try {
      return work.run(connection);
    } catch (SQLException failure) {
      throw refusal(failure);
    }
  }

  @Override
  synchronized <T> T write(Work<T> work) throws IOException {
    if (depth > 0) {
      throw new IllegalStateException("a catalogue is written to while it is read");
    }
    return again(work, true);
  }

  /// Does something as one, and once more where the connection or the transaction was lost and
  /// nothing of it can have stayed.
  private <T> T again(Work<T> work, boolean isRepeatable) throws IOException {
    for (int attempt = 1; ; attempt++) {
      try {
        if (connection == null) {
          connect();
        }
        depth++;
        T result = work.run(connection);
        connection.commit();
        return result;
      } catch (SQLException failure) {
        boolean lost = isLost(failure);
        if (lost) {
          drop();
        } else {
          rollback(failure);
        }
        if (attempt == TRIES || !(lost || isConflict(failure)) || !(isRepeatable || depth == 0)) {
          throw refusal(failure);
        }
      } catch (IOException | RuntimeException failure) {
        rollback(failure);
        throw failure;
      } finally {
        depth = 0;
      }
      pause(attempt);
    }
  }

  private static void pause(int attempt) throws IOException {
    try {
      Thread.sleep(500L << attempt);
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted; what was judged is in the catalogue");
    }
  }

  private void rollback(Exception failure) {
    try {
      if (connection != null) {
        connection.rollback();
      }
    } catch (SQLException second) {
      failure.addSuppressed(second);
      drop();
    }
  }

  /// Connection exceptions, and a server that is shut down or starts.
  private static boolean isLost(SQLException failure) {
    String state = String.valueOf(failure.getSQLState());
    return state.startsWith("08") || state.startsWith("57P");
  }

  /// Serialization failures and deadlocks.
  private static boolean isConflict(SQLException failure) {
    return "40001".equals(failure.getSQLState()) || "40P01".equals(failure.getSQLState());
  }

  @Override
  long now(Connection same) throws SQLException {
    try (Statement statement = same.createStatement();
        ResultSet row =
            statement.executeQuery(
                "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")) {
      row.next();
      return row.getLong(1);
    }
  }

  private CatalogueException refusal(String what, Throwable cause) {
    return new CatalogueException("catalogue " + address.words() + ": " + what, cause);
  }

  private CatalogueException refusal(SQLException failure) {
    String state = String.valueOf(failure.getSQLState());
    String said =
        Printable.of(String.valueOf(failure.getMessage()).lines().findFirst().orElse(""), 200);
    String what =
        switch (state) {
          case "42501" -> "this role has no right to do that (" + said + ")";
          case "53100" -> "no space left on its disk";
          case "25006" -> "is read-only (" + said + ")";
          default -> isLost(failure) ? "the connection failed: " + said : said;
        };
    return refusal(what, failure);
  }

  @Override
  String listHint() {
    return "";
  }

  @Override
  String skipLocked() {
    return " FOR UPDATE SKIP LOCKED";
  }

  @Override
  public synchronized void close() throws IOException {
    if (connection != null) {
      try {
        connection.close();
      } catch (SQLException failure) {
        throw refusal(failure);
      }
    }
  }
}
