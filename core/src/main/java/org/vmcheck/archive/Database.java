package org.vmcheck.archive;

import java.io.IOException;
import java.sql.Connection;
import java.sql.SQLException;

/// A connection to a database that has the catalogue's tables, and how that kind of database begins
/// and ends what belongs together.
abstract class Database implements AutoCloseable {
  /// Something that is done as one.
  interface Work<T> {
    T run(Connection connection) throws SQLException, IOException;
  }

  /// What messages call it.
  abstract String name();

  /// Reads: everything in it is of one moment, and rows come one at a time.
  abstract <T> T read(Work<T> work) throws IOException;

  /// Writes in one transaction, of which nothing stays where it throws.
  abstract <T> T write(Work<T> work) throws IOException;

  /// The time that all its users share, in milliseconds since 1970.
  abstract long now(Connection connection) throws SQLException;

  /// What a query adds to lock the rows that it finds, and to pass over those that others have
  /// locked; empty where one process at a time writes.
  abstract String skipLocked();

  /// What a query for a list adds to the table's name; empty if the database finds its way.
  abstract String listHint();

  @Override
  public abstract void close() throws IOException;
}
