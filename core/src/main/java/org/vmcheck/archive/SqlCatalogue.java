package org.vmcheck.archive;

import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.KernelFacts;

/// The catalogue in a database. The statements are of the SQL that all its databases share.
final class SqlCatalogue implements Catalogue {
  /// Rows that come without anybody waiting are written so many at a time.
  private static final int BATCH = 500;

  private static final int FETCHED_ROWS = 500;

  /// Rows with their reports, which may be large.
  private static final int FETCHED_REPORTS = 25;

  private static final String ORDER = " ORDER BY incident.location, incident.origin";

  /// A time that is none, of an older version, is as good as unknown.
  private static final String NEWEST =
      " ORDER BY CASE WHEN incident.crash_time BETWEEN 1 AND "
          + KernelFacts.PanicFacts.LAST_SECOND
          + " THEN incident.crash_time ELSE 0 END DESC, incident.location, incident.origin";

  /// All or the start of an id.
  private static final Pattern ID_START = Pattern.compile("[0-9a-f]{1,12}");

  private final Database database;

  SqlCatalogue(Database database) {
    this.database = database;
  }

  // ---- writing

  @Override
  public void put(CatalogueEntry entry, Optional<DumpReport> report) throws IOException {
    byte[] stored = StoredReport.of(report);
    database.write(
        connection -> {
          insert(connection, new Stored(entry, stored));
          ClaimTable.done(connection, entry.key());
          return null;
        });
  }

  private static void insert(Connection connection, Stored row) throws SQLException {
    CatalogueEntry entry = row.entry();
    delete(connection, entry.key());
    long number;
    try (PreparedStatement incident = connection.prepareStatement(IncidentColumns.INSERT)) {
      IncidentColumns.bind(incident, entry);
      try (ResultSet made = incident.executeQuery()) {
        made.next();
        number = made.getLong(1);
      }
    }
    if (!entry.causes().isEmpty()) {
      try (PreparedStatement cause =
          connection.prepareStatement("INSERT INTO cause VALUES (?, ?) ON CONFLICT DO NOTHING")) {
        for (String id : entry.causes()) {
          IncidentColumns.bind(cause, List.of(number, id));
          cause.executeUpdate();
        }
      }
    }
    if (row.report().length > 0) {
      try (PreparedStatement report =
          connection.prepareStatement("INSERT INTO report VALUES (?, ?)")) {
        report.setLong(1, number);
        report.setBytes(2, row.report());
        report.executeUpdate();
      }
    }
  }

  private static int delete(Connection connection, IncidentKey key) throws SQLException {
    return update(connection, "DELETE FROM incident WHERE location = ? AND origin = ?", key(key));
  }

  private static List<Object> key(IncidentKey key) {
    return List.of(key.location().uri(), key.origin());
  }

  private static int update(Connection connection, String sql, List<?> values) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      IncidentColumns.bind(statement, values);
      return statement.executeUpdate();
    }
  }

  @Override
  public void mark(Collection<IncidentKey> keys, boolean vanished) throws IOException {
    forEachKey(
        keys,
        "UPDATE incident SET vanished = "
            + (vanished ? 1 : 0)
            + " WHERE location = ? AND origin = ?",
        SqlCatalogue::key);
  }

  @Override
  public void adopt(Collection<IncidentKey> keys, String origin) throws IOException {
    forEachKey(
        keys,
        // Not where a row of that origin is there already: that one knows more.
        "UPDATE incident SET origin = ?, id = ? WHERE location = ? AND origin = ? AND NOT EXISTS"
            + " (SELECT 1 FROM incident other WHERE other.location = ? AND other.origin = ?)",
        key ->
            List.of(
                origin,
                new IncidentKey(origin, key.location()).id(),
                key.location().uri(),
                key.origin(),
                key.location().uri(),
                origin));
  }

  @Override
  public void remove(Collection<IncidentKey> keys) throws IOException {
    forEachKey(keys, "DELETE FROM incident WHERE location = ? AND origin = ?", SqlCatalogue::key);
  }

  private interface Values {
    List<Object> of(IncidentKey key);
  }

  private void forEachKey(Collection<IncidentKey> keys, String sql, Values values)
      throws IOException {
    if (keys.isEmpty()) {
      return;
    }
    database.write(
        connection -> {
          try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (IncidentKey key : keys) {
              IncidentColumns.bind(statement, values.of(key));
              statement.executeUpdate();
            }
          }
          return null;
        });
  }

  @Override
  public int merge(Catalogue other) throws IOException {
    List<Stored> batch = new ArrayList<>();
    int[] taken = new int[1];
    other.forEachStored(
        row -> {
          batch.add(row);
          if (batch.size() == BATCH) {
            taken[0] += take(batch);
          }
        });
    return taken[0] + take(batch);
  }

  /// Writes those of some rows that were judged later than what is here.
  private int take(List<Stored> batch) throws IOException {
    int taken =
        database.write(
            connection -> {
              int written = 0;
              try (PreparedStatement known =
                  connection.prepareStatement(
                      "SELECT judged_at FROM incident WHERE location = ? AND origin = ?")) {
                for (Stored row : batch) {
                  IncidentColumns.bind(known, key(row.entry().key()));
                  try (ResultSet own = known.executeQuery()) {
                    if (own.next() && own.getLong(1) >= row.entry().judgedAt()) {
                      continue;
                    }
                  }
                  insert(connection, row);
                  written++;
                }
              }
              return written;
            });
    batch.clear();
    return taken;
  }

  // ---- claims

  private interface ClaimWork<T> {
    T on(ClaimTable table) throws SQLException;
  }

  private <T> T claims(ClaimWork<T> work) throws IOException {
    return database.write(
        connection -> work.on(new ClaimTable(connection, database.now(connection))));
  }

  @Override
  public boolean claim(IncidentKey key, long bytes, Claimant claimant) throws IOException {
    return claims(table -> table.take(key, bytes, claimant));
  }

  @Override
  public void enqueue(Map<IncidentKey, Long> incidents) throws IOException {
    claims(
        table -> {
          table.enqueue(incidents);
          return null;
        });
  }

  @Override
  public Optional<Queued> next(Claimant claimant) throws IOException {
    return claims(table -> table.next(claimant, database.skipLocked()));
  }

  @Override
  public int queued() throws IOException {
    return claims(ClaimTable::queued);
  }

  @Override
  public void dequeue(IncidentKey key) throws IOException {
    database.write(
        connection -> {
          ClaimTable.done(connection, key);
          return null;
        });
  }

  @Override
  public void renew(Claimant claimant) throws IOException {
    claims(
        table -> {
          table.renew(claimant);
          return null;
        });
  }

  @Override
  public void release(IncidentKey key, Claimant claimant) throws IOException {
    claims(
        table -> {
          table.release(key, claimant);
          return null;
        });
  }

  @Override
  public void releaseAll(Claimant claimant) throws IOException {
    claims(
        table -> {
          table.releaseAll(claimant);
          return null;
        });
  }

  // ---- reading

  private interface Rows {
    void row(CatalogueRow row) throws SQLException, IOException;
  }

  /// Tells of rows as the database finds them: no more than some are in memory.
  private void query(String sql, List<?> values, Rows rows) throws IOException {
    database.read(
        connection -> {
          try (PreparedStatement query = connection.prepareStatement(sql)) {
            query.setFetchSize(sql.contains("report.deflated") ? FETCHED_REPORTS : FETCHED_ROWS);
            IncidentColumns.bind(query, values);
            try (ResultSet row = query.executeQuery()) {
              CatalogueRow columns = new CatalogueRow(database.name(), row);
              while (row.next()) {
                rows.row(columns);
              }
            }
          }
          return null;
        });
  }

  @Override
  public void forEachKnown(Consumer<Known> consumer) throws IOException {
    query(
        "SELECT " + IncidentColumns.KNOWN + " FROM incident",
        List.of(),
        row -> consumer.accept(IncidentColumns.known(row)));
  }

  @Override
  public Optional<Known> known(IncidentKey key) throws IOException {
    List<Known> found = new ArrayList<>();
    query(
        "SELECT " + IncidentColumns.KNOWN + " FROM incident WHERE location = ? AND origin = ?",
        key(key),
        row -> found.add(IncidentColumns.known(row)));
    return found.stream().findFirst();
  }

  @Override
  public void forEachStored(Sink<Stored> sink) throws IOException {
    query(
        IncidentColumns.WITH_COPIES
            + "SELECT "
            + IncidentColumns.SELECTED
            + ", report.deflated"
            + IncidentColumns.FROM
            + "LEFT JOIN report ON report.number = incident.number"
            + ORDER,
        List.of(),
        row -> sink.accept(new Stored(IncidentColumns.entry(row), row.bytesOrNone("deflated"))));
  }

  @Override
  public void forEach(Selection selection, Sink<CatalogueEntry> sink) throws IOException {
    forEach(selection, ORDER, sink);
  }

  @Override
  public void forEachNewest(Selection selection, Sink<CatalogueEntry> sink) throws IOException {
    forEach(selection, NEWEST, sink);
  }

  private void forEach(Selection selection, String order, Sink<CatalogueEntry> sink)
      throws IOException {
    List<Object> values = new ArrayList<>();
    query(
        IncidentColumns.WITH_COPIES
            + "SELECT "
            + IncidentColumns.SELECTED
            + IncidentColumns.FROM
            + selection.where(values)
            + order,
        values,
        row -> sink.accept(IncidentColumns.entry(row)));
  }

  @Override
  public void forEachLine(Selection selection, Sink<Line> sink) throws IOException {
    List<Object> values = new ArrayList<>();
    query(
        IncidentColumns.WITH_COPIES
            + "SELECT "
            + IncidentColumns.LINE
            + IncidentColumns.from(database.listHint())
            + selection.where(values)
            + ORDER,
        values,
        row -> sink.accept(IncidentColumns.line(row)));
  }

  private void selectFew(String where, List<?> values, Sink<CatalogueEntry> sink)
      throws IOException {
    query(
        "SELECT " + IncidentColumns.SELECTED_FEW + " FROM incident " + where,
        values,
        row -> sink.accept(IncidentColumns.entry(row)));
  }

  @Override
  public Tally tally(Selection selection) throws IOException {
    SqlTotals totals = new SqlTotals(selection);
    List<Tally> tally = new ArrayList<>();
    query(totals.tally(), totals.values(), row -> tally.add(SqlTotals.tally(row)));
    return tally.getFirst();
  }

  @Override
  public Tally.Groups groups(Selection selection, CrashGroup.By by, int top) throws IOException {
    SqlTotals totals = new SqlTotals(selection);
    SqlTotals.Gatherer gatherer = new SqlTotals.Gatherer();
    query(totals.groups(by, top), totals.values(), gatherer::cell);
    return gatherer.result();
  }

  @Override
  public List<Trend> trend(Selection selection) throws IOException {
    SqlTotals totals = new SqlTotals(selection);
    SqlTotals.Weeks weeks = new SqlTotals.Weeks();
    query(totals.trend(false), totals.values(), weeks::verdict);
    query(totals.trend(true), totals.values(), weeks::cause);
    return weeks.result();
  }

  @Override
  public Optional<CatalogueEntry> entry(IncidentKey key) throws IOException {
    List<CatalogueEntry> found = new ArrayList<>();
    selectFew("WHERE location = ? AND origin = ?", key(key), found::add);
    return found.stream().findFirst();
  }

  @Override
  public List<CatalogueEntry> find(String words) throws IOException {
    List<CatalogueEntry> named = new ArrayList<>();
    if (ID_START.matcher(words).matches()) {
      // Behind all digits comes 'g'.
      selectFew(
          "WHERE id >= ? AND id < ?" + ORDER + " LIMIT 100",
          List.of(words, words + "g"),
          named::add);
    }
    return named.isEmpty() ? findPath(words) : named;
  }

  private List<CatalogueEntry> findPath(String words) throws IOException {
    String location = "";
    String spelt = words;
    try {
      Path path = Path.of(words).normalize();
      location = FileUri.of(path).uri();
      // As the catalogue spells it, of as many names as were given.
      String whole = FileUri.of(path).words();
      int end = whole.length();
      for (int i = 0; i < path.getNameCount() && end > 0; i++) {
        end = whole.lastIndexOf('/', end - 1);
      }
      spelt = whole.substring(Math.min(end + 1, whole.length()));
    } catch (InvalidPathException _) {
      // No path in this locale, but perhaps the catalogue's spelling of one.
    }
    List<CatalogueEntry> found = new ArrayList<>();
    String end = "substr(path, length(path) - length(?) + 1) = ?";
    selectFew(
        "WHERE path = ? OR location = ? OR " + end + " OR " + end + ORDER + " LIMIT 100",
        List.of(words, location, "/" + words, "/" + words, "/" + spelt, "/" + spelt),
        found::add);
    return found;
  }

  @Override
  public Optional<DumpReport> report(CatalogueEntry entry) throws IOException {
    List<byte[]> stored = new ArrayList<>();
    query(
        "SELECT report.deflated FROM report JOIN incident ON incident.number = report.number"
            + " WHERE incident.location = ? AND incident.origin = ?",
        key(entry.key()),
        row -> stored.add(row.bytesOrNone("deflated")));
    return stored.isEmpty()
        ? Optional.empty()
        : StoredReport.read(database.name(), entry.path(), stored.getFirst());
  }

  @Override
  public void close() throws IOException {
    database.close();
  }
}
