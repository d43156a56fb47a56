package org.vmcheck.archive;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;

/// Table `work`: who judges which incident just now. A claim is a lease: it is renewed while its
/// claimant lives, and runs out if nobody does.
final class ClaimTable {
  private final Connection connection;
  private final long now;

  /// @param now by the database's clock, milliseconds since 1970: claimants' clocks differ
  ClaimTable(Connection connection, long now) {
    this.connection = connection;
    this.now = now;
  }

  /// Takes an incident, if nobody else has it.
  boolean take(IncidentKey key, long bytes, Claimant claimant) throws SQLException {
    String holder = "";
    long until = 0;
    try (PreparedStatement query =
        connection.prepareStatement(
            "SELECT holder, until FROM work WHERE location = ? AND origin = ?")) {
      IncidentColumns.bind(query, key(key));
      try (ResultSet row = query.executeQuery()) {
        if (row.next()) {
          holder = row.getString(1);
          until = row.getLong(2);
        }
      }
    }
    if (isHeld(holder, until, claimant)) {
      return false;
    }
    // Only over what was seen: of two that saw the same, one takes it.
    return update(
            "INSERT INTO work (location, origin, bytes, holder, until, attempts, queued)"
                + " VALUES (?, ?, ?, ?, ?, 1, 0) ON CONFLICT (location, origin) DO UPDATE"
                + " SET holder = excluded.holder, until = excluded.until,"
                + " attempts = work.attempts + 1 WHERE work.holder = ? AND work.until = ?",
            List.of(
                key.location().uri(),
                key.origin(),
                bytes,
                claimant.id(),
                now + Claimant.LEASE_MILLIS,
                holder,
                until))
        == 1;
  }

  /// A lease that would run longer than any is of a clock that jumped.
  private boolean isHeld(String holder, long until, Claimant claimant) {
    return !holder.isEmpty()
        && !holder.equals(claimant.id())
        && until > now
        && until <= now + 2 * Claimant.LEASE_MILLIS
        && !claimant.isDead(holder);
  }

  /// Puts incidents into the queue that are not there yet.
  ///
  /// @param incidents with the bytes of their dumps
  void enqueue(Map<IncidentKey, Long> incidents) throws SQLException {
    for (Map.Entry<IncidentKey, Long> incident : incidents.entrySet()) {
      update(
          "INSERT INTO work (location, origin, bytes, holder, until, attempts, queued)"
              + " VALUES (?, ?, ?, '', 0, 0, 1) ON CONFLICT (location, origin) DO UPDATE"
              + " SET queued = 1, bytes = excluded.bytes",
          List.of(
              incident.getKey().location().uri(), incident.getKey().origin(), incident.getValue()));
    }
  }

  /// Takes the largest incident of the queue that nobody has.
  ///
  /// @param lock what the database adds to have other workers pass over a row that is being taken
  Optional<Catalogue.Queued> next(Claimant claimant, String lock) throws SQLException {
    String columns = "SELECT location, origin, bytes, attempts, holder FROM work WHERE queued = 1";
    // Free, or its lease ran out, or is longer than any: the clock jumped.
    Optional<Catalogue.Queued> free =
        first(
            columns
                + " AND (until <= ? OR until > ?) ORDER BY bytes DESC, location, origin LIMIT 1"
                + lock,
            List.of(now, now + 2 * Claimant.LEASE_MILLIS),
            _ -> true);
    Optional<Catalogue.Queued> next =
        free.isPresent()
            ? free
            : first(
                columns + " AND holder <> ? ORDER BY bytes DESC, location, origin LIMIT 100" + lock,
                List.of(claimant.id()),
                claimant::isDead);
    if (next.isPresent()) {
      IncidentKey key = next.get().key();
      update(
          "UPDATE work SET holder = ?, until = ?, attempts = attempts + 1"
              + " WHERE location = ? AND origin = ?",
          List.of(claimant.id(), now + Claimant.LEASE_MILLIS, key.location().uri(), key.origin()));
    }
    return next;
  }

  private Optional<Catalogue.Queued> first(String sql, List<?> values, Predicate<String> isWanted)
      throws SQLException {
    try (PreparedStatement query = connection.prepareStatement(sql)) {
      IncidentColumns.bind(query, values);
      try (ResultSet row = query.executeQuery()) {
        while (row.next()) {
          if (isWanted.test(row.getString("holder"))) {
            return Optional.of(
                new Catalogue.Queued(
                    new IncidentKey(
                        row.getString("origin"), new FileUri(row.getString("location"))),
                    row.getLong("bytes"),
                    row.getInt("attempts")));
          }
        }
      }
    }
    return Optional.empty();
  }

  /// How many incidents are in the queue, taken or not.
  int queued() throws SQLException {
    try (PreparedStatement query =
            connection.prepareStatement("SELECT count(*) FROM work WHERE queued = 1");
        ResultSet row = query.executeQuery()) {
      return row.next() ? row.getInt(1) : 0;
    }
  }

  void renew(Claimant claimant) throws SQLException {
    update(
        "UPDATE work SET until = ? WHERE holder = ?",
        List.of(now + Claimant.LEASE_MILLIS, claimant.id()));
  }

  /// Gives one claim back, undone.
  void release(IncidentKey key, Claimant claimant) throws SQLException {
    List<Object> values = List.of(key.location().uri(), key.origin(), claimant.id());
    String which = " WHERE location = ? AND origin = ? AND holder = ?";
    update("DELETE FROM work" + which + " AND queued = 0", values);
    update("UPDATE work SET holder = '', until = 0" + which, values);
  }

  /// Gives all claims back that a scan still has.
  void releaseAll(Claimant claimant) throws SQLException {
    update("DELETE FROM work WHERE holder = ? AND queued = 0", List.of(claimant.id()));
    update("UPDATE work SET holder = '', until = 0 WHERE holder = ?", List.of(claimant.id()));
  }

  /// An incident is judged: nobody need have it any more.
  static void done(Connection connection, IncidentKey key) throws SQLException {
    new ClaimTable(connection, 0)
        .update("DELETE FROM work WHERE location = ? AND origin = ?", key(key));
  }

  private static List<Object> key(IncidentKey key) {
    return List.of(key.location().uri(), key.origin());
  }

  private int update(String sql, List<?> values) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      IncidentColumns.bind(statement, values);
      return statement.executeUpdate();
    }
  }
}
