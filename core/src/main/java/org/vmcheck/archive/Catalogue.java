package org.vmcheck.archive;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import org.vmcheck.finding.DumpReport;

/// What is known of an archive, one row an incident. Each incident is one transaction, so a process
/// that is killed loses only the incidents it was at; several processes may write at once. Safe for
/// use by several threads.
public interface Catalogue extends AutoCloseable {
  /// Opens a catalogue for reading only.
  ///
  /// @throws CatalogueException if it is not there or is no catalogue
  static Catalogue read(Path file) throws IOException {
    return new SqlCatalogue(SqliteDatabase.read(file));
  }

  /// Opens a catalogue for reading and writing; makes it, for its owner only, if it is not there.
  ///
  /// @throws CatalogueException if it cannot be written to, or the file is no catalogue
  static Catalogue write(Path file) throws IOException {
    return new SqlCatalogue(SqliteDatabase.write(file));
  }

  /// [#read(Path)], or of a place in PostgreSQL: `postgresql://USER@HOST:PORT/DATABASE`.
  static Catalogue read(String place) throws IOException {
    return isInPostgres(place)
        ? new SqlCatalogue(PostgresDatabase.read(place))
        : read(Path.of(place));
  }

  /// [#write(Path)], or of a place in PostgreSQL.
  static Catalogue write(String place) throws IOException {
    return isInPostgres(place)
        ? new SqlCatalogue(PostgresDatabase.write(place))
        : write(Path.of(place));
  }

  /// Whether a user's word for a catalogue means one in PostgreSQL, and no file.
  static boolean isInPostgres(String place) {
    return PostgresAddress.isOne(place);
  }

  /// Told of one row after another.
  ///
  /// @param <T> what is known of it
  interface Sink<T> {
    void accept(T row) throws IOException;
  }

  /// What a rescan needs to know of an incident.
  record Known(
      IncidentKey key,
      String identity,
      String tool,
      String verdict,
      CatalogueEntry.Problem problemKind,
      boolean withoutDump,
      boolean vanished,
      long judgedAt) {}

  /// What a list shows of an incident: of a million, no more is read.
  ///
  /// @param id of the key, as it is stored
  /// @param duplicateOf id of an incident with the same content, or empty
  record Line(
      IncidentKey key,
      String id,
      CatalogueEntry.State state,
      String verdict,
      String release,
      long crashTime,
      boolean vanished,
      String duplicateOf) {
    /// Of the dump, for people.
    public String path() {
      return key.location().words();
    }
  }

  /// An incident that waits in the queue.
  ///
  /// @param bytes of its dump
  /// @param attempts how often somebody took it before and did not end
  record Queued(IncidentKey key, long bytes, int attempts) {}

  /// A row as another catalogue takes it over.
  ///
  /// @param report as it is stored; empty if there is none
  @SuppressWarnings("ArrayRecordComponent") // handed on at once, never compared
  record Stored(CatalogueEntry entry, byte[] report) {}

  /// Takes an incident to judge it, unless another scan has it.
  ///
  /// @param bytes of its dump
  boolean claim(IncidentKey key, long bytes, Claimant claimant) throws IOException;

  /// Puts incidents into the queue, from which scans take their work.
  ///
  /// @param incidents with the bytes of their dumps
  void enqueue(Map<IncidentKey, Long> incidents) throws IOException;

  /// Takes the largest incident of the queue that nobody has; empty if there is none.
  Optional<Queued> next(Claimant claimant) throws IOException;

  /// How many incidents are in the queue, taken or not.
  int queued() throws IOException;

  /// Takes an incident out of the queue for good.
  void dequeue(IncidentKey key) throws IOException;

  /// Keeps the claims of a scan alive.
  void renew(Claimant claimant) throws IOException;

  /// Gives a claim back, undone.
  void release(IncidentKey key, Claimant claimant) throws IOException;

  /// Gives back all claims of a scan.
  void releaseAll(Claimant claimant) throws IOException;

  /// Writes one incident, replacing what was known of it, in a transaction of its own; whoever had
  /// it claimed has it no more.
  ///
  /// @param report empty if there is none
  void put(CatalogueEntry entry, Optional<DumpReport> report) throws IOException;

  /// Notes that incidents are gone, or there again.
  void mark(Collection<IncidentKey> keys, boolean vanished) throws IOException;

  /// Gives rows without a recorded origin the one that they turned out to have.
  void adopt(Collection<IncidentKey> keys, String origin) throws IOException;

  /// Takes over the incidents of another catalogue. Of an incident in both, the later judgement
  /// stays.
  ///
  /// @return how many were taken
  int merge(Catalogue other) throws IOException;

  /// Forgets incidents.
  void remove(Collection<IncidentKey> keys) throws IOException;

  /// Tells of every incident, one at a time: a catalogue may know more than fits into memory.
  void forEachKnown(Consumer<Known> consumer) throws IOException;

  /// What a rescan needs to know of one incident; empty if it has no row.
  Optional<Known> known(IncidentKey key) throws IOException;

  /// Tells of every incident with its report, in order of location.
  void forEachStored(Sink<Stored> sink) throws IOException;

  /// Tells of the selected incidents, in order of location.
  void forEach(Selection selection, Sink<CatalogueEntry> sink) throws IOException;

  /// Tells of the selected incidents, the latest crash first, those of no known time last.
  void forEachNewest(Selection selection, Sink<CatalogueEntry> sink) throws IOException;

  /// Tells in short of the selected incidents, in order of location.
  void forEachLine(Selection selection, Sink<Line> sink) throws IOException;

  /// How many are selected, and how many of them count.
  Tally tally(Selection selection) throws IOException;

  /// The largest groups of the selected incidents that count, largest first; an incident without
  /// the key is in none.
  ///
  /// @param top how many groups at most
  Tally.Groups groups(Selection selection, CrashGroup.By by, int top) throws IOException;

  /// The selected incidents that count, by week and kernel, in this order.
  List<Trend> trend(Selection selection) throws IOException;

  Optional<CatalogueEntry> entry(IncidentKey key) throws IOException;

  /// The incidents whose id begins with, or else whose path is or ends with, what a user wrote; at
  /// most 100.
  List<CatalogueEntry> find(String words) throws IOException;

  /// The report of an incident; empty if its dump could not be read.
  Optional<DumpReport> report(CatalogueEntry entry) throws IOException;

  @Override
  void close() throws IOException;

  /// The selected incidents, in order of location, all in memory.
  default List<CatalogueEntry> entries(Selection selection) throws IOException {
    List<CatalogueEntry> entries = new ArrayList<>();
    forEach(selection, entries::add);
    return entries;
  }
}
