package org.vmcheck.archive;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import java.util.zip.Inflater;
import org.sqlite.SQLiteConfig;
import org.sqlite.SQLiteErrorCode;
import org.sqlite.SQLiteException;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Note;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Printable;
import org.vmcheck.json.ReportReader;
import org.vmcheck.json.ReportWriter;

/// What is known of an archive: an SQLite file, one row an incident. Each incident is one
/// transaction, so a process that is killed loses only the incidents it was at; several processes
/// may write at once. Safe for use by several threads.
public final class Catalogue implements AutoCloseable {
  /// Tells SQLite's own tools whose file this is ("vmck").
  private static final int APPLICATION_ID = 0x766d636b;

  private static final byte[] MAGIC = "SQLite format 3\0".getBytes(StandardCharsets.ISO_8859_1);
  private static final int BUSY_MILLIS = 60_000;

  /// A larger file is not looked through on opening: damage in it is met on use.
  private static final long LOOK_THROUGH_BYTES = 32L << 20;

  private static final int MAX_REPORT_BYTES = 64 << 20;

  /// Of one value in a row, which SQLite would else make as large as a gigabyte.
  private static final int MAX_VALUE_BYTES = 32 << 20;

  /// The schema, step by step: a file of version n has had the first n. Steps are never changed.
  private static final List<List<String>> STEPS =
      List.of(
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
              """),
          List.of(
              "CREATE INDEX incident_content ON incident(bytes, head_hash, tail_hash)",
              "CREATE INDEX incident_id ON incident(id)",
              "CREATE INDEX incident_panic ON incident(panic_signature)",
              "CREATE INDEX incident_damage ON incident(damage_signature)",
              "CREATE INDEX cause_cause ON cause(cause)"));

  static final int VERSION = STEPS.size();

  private static final String COLUMNS =
      "location, id, path, state, host, named_time, bytes, identity, head_hash, tail_hash, files,"
          + " tool, judged_at, seconds, verdict, summary, problem_kind, problem, format, release,"
          + " machine, nodename, crash_time, panic, panic_signature, panic_text,"
          + " damage_signature, damage_text, remarks, vanished";

  /// The first incident of the same content, if that is another one: equal in size, in the first
  /// and last 64 KiB, and in what the analysis said.
  private static final String DUPLICATE =
      "(SELECT first.id FROM incident first WHERE incident.head_hash <> ''"
          + " AND first.bytes = incident.bytes AND first.head_hash = incident.head_hash"
          + " AND first.tail_hash = incident.tail_hash AND first.verdict = incident.verdict"
          + " AND first.summary = incident.summary"
          + " AND first.damage_signature = incident.damage_signature"
          + " AND first.location < incident.location ORDER BY first.location LIMIT 1)";

  private static final String CAUSES =
      "(SELECT group_concat(cause, ' ') FROM"
          + " (SELECT cause FROM cause WHERE cause.location = incident.location ORDER BY cause))";

  private final Path file;
  private final Connection connection;

  private Catalogue(Path file, Connection connection) {
    this.file = file;
    this.connection = connection;
  }

  /// Opens a catalogue for reading only.
  ///
  /// @throws CatalogueException if it is not there or is no catalogue
  public static Catalogue read(Path file) throws IOException {
    requireExisting(file);
    Path real = file.toRealPath();
    boolean walThere = Files.exists(real.resolveSibling(real.getFileName() + "-wal"));
    // A catalogue in a directory that cannot be written to is read as it is, without its log.
    boolean immutable = !walThere && !Files.isWritable(real.getParent());
    return open(file, immutable ? "?immutable=1" : "?mode=ro", true);
  }

  /// Opens a catalogue for reading and writing; makes it, for its owner only, if it is not there.
  ///
  /// @throws CatalogueException if it cannot be written to, or the file is no catalogue
  public static Catalogue write(Path file) throws IOException {
    Path directory = file.toAbsolutePath().getParent();
    if (directory == null || !Files.isDirectory(directory)) {
      throw refusal(file, "its directory does not exist", null);
    }
    try {
      Files.createFile(
          file, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    } catch (FileAlreadyExistsException _) {
      requireExisting(file);
    } catch (AccessDeniedException denied) {
      throw refusal(file, "its directory cannot be written to", denied);
    } catch (IOException failure) {
      throw refusal(file, "cannot be made: " + Incidents.words(failure), failure);
    }
    PosixFileAttributeView view = Files.getFileAttributeView(file, PosixFileAttributeView.class);
    // Asked of the file and not of the system, to which root may always write.
    if (!view.readAttributes().permissions().contains(PosixFilePermission.OWNER_WRITE)
        || !Files.isWritable(file)) {
      throw refusal(file, "is read-only", null);
    }
    return open(file, "", false);
  }

  private static void requireExisting(Path file) throws IOException {
    if (!Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
      throw new NoSuchFileException(file.toString(), null, "no such catalogue");
    }
    if (!Files.isRegularFile(file)) {
      throw refusal(file, "is not a file", null);
    }
    byte[] start;
    try (InputStream in = Files.newInputStream(file)) {
      start = in.readNBytes(MAGIC.length);
    }
    if (start.length > 0 && !Arrays.equals(start, MAGIC)) {
      throw refusal(file, "is not a catalogue; it is left as it is", null);
    }
  }

  private static Catalogue open(Path file, String mode, boolean readOnly) throws IOException {
    SqliteLibrary.load();
    SQLiteConfig config = new SQLiteConfig();
    config.setBusyTimeout(BUSY_MILLIS);
    config.setReadOnly(readOnly);
    config.enforceForeignKeys(true);
    config.setPragma(SQLiteConfig.Pragma.LIMIT_LENGTH, Integer.toString(MAX_VALUE_BYTES));
    Connection connection = null;
    try {
      connection =
          config.createConnection("jdbc:sqlite:" + Location.of(file.toRealPath()).uri() + mode);
      Catalogue catalogue = new Catalogue(file, connection);
      catalogue.prepare(readOnly);
      return catalogue;
    } catch (SQLException failure) {
      close(connection);
      throw refusal(file, failure);
    } catch (IOException | RuntimeException failure) {
      close(connection);
      throw failure;
    }
  }

  private static void close(Connection connection) {
    if (connection != null) {
      try {
        connection.close();
      } catch (SQLException _) {
        // Nothing was written through it.
      }
    }
  }

  private void prepare(boolean readOnly) throws SQLException, IOException {
    int version = number("PRAGMA user_version");
    boolean fresh = version == 0 && number("SELECT count(*) FROM sqlite_schema") == 0;
    if (!fresh && number("PRAGMA application_id") != APPLICATION_ID) {
      throw refusal(file, "is a database of another program; it is left as it is", null);
    }
    if (version < 0 || (!fresh && version == 0)) {
      throw foreign("schema " + version);
    }
    if (version > VERSION) {
      throw refusal(
          file,
          "was written by a newer vmcheck (schema %d; this one knows %d)"
              .formatted(version, VERSION),
          null);
    }
    if (!fresh) {
      run("PRAGMA trusted_schema = OFF");
      List<String> made = STEPS.subList(0, version).stream().flatMap(List::stream).toList();
      Optional<String> foreign = CatalogueSchema.foreign(connection, made);
      if (foreign.isPresent()) {
        throw foreign(foreign.get());
      }
    }
    if (!fresh && Files.size(file) <= LOOK_THROUGH_BYTES) {
      String found = text("PRAGMA quick_check(1)");
      if (!found.equals("ok")) {
        throw refusal(
            file, "is corrupt (" + Printable.of(found, 80) + "); it is left as it is", null);
      }
    }
    if (!readOnly) {
      // Not before it is known whose file this is: both write to it.
      // With NORMAL a power cut may lose the last transactions and never the file's consistency.
      run("PRAGMA journal_mode = WAL");
      run("PRAGMA synchronous = NORMAL");
    }
    if (version < VERSION) {
      if (readOnly) {
        throw refusal(
            file,
            fresh
                ? "is empty"
                : "has the older schema %d: a scan brings it up to %d".formatted(version, VERSION),
            null);
      }
      migrate();
    }
  }

  private void migrate() throws SQLException {
    run("BEGIN IMMEDIATE");
    try {
      // Asked again under the lock: another process may have been faster.
      for (int step = number("PRAGMA user_version"); step < VERSION; step++) {
        for (String statement : STEPS.get(step)) {
          run(statement);
        }
        run("PRAGMA user_version = " + (step + 1));
      }
      run("PRAGMA application_id = " + APPLICATION_ID);
      run("COMMIT");
    } catch (SQLException failure) {
      rollback(failure);
      throw failure;
    }
  }

  private void rollback(Exception failure) {
    try {
      run("ROLLBACK");
    } catch (SQLException second) {
      failure.addSuppressed(second);
    }
  }

  private void run(String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private int number(String sql) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(sql)) {
      return rows.next() ? rows.getInt(1) : 0;
    }
  }

  private String text(String sql) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(sql)) {
      return rows.next() ? rows.getString(1) : "";
    }
  }

  private MalformedFileException foreign(String what) {
    return new MalformedFileException(
        "catalogue %s: is none of vmcheck's (it has %s); it is left as it is"
            .formatted(file, what));
  }

  private static CatalogueException refusal(Path file, String what, Throwable cause) {
    return new CatalogueException("catalogue " + file + ": " + what, cause);
  }

  private static CatalogueException refusal(Path file, SQLException failure) {
    SQLiteErrorCode code =
        failure instanceof SQLiteException own
            ? own.getResultCode()
            : SQLiteErrorCode.UNKNOWN_ERROR;
    String what =
        switch (code.code & 0xff) {
          case 11 -> "is corrupt; it is left as it is";
          case 26 -> "is not a catalogue; it is left as it is";
          case 8 -> "is read-only";
          case 5, 6 -> "is in use by another process for more than a minute";
          case 13 -> "no space left on its disk";
          case 14 -> "cannot be opened";
          case 10 -> "I/O error";
          case 18 ->
              "has a value of more than %d bytes; it is left as it is".formatted(MAX_VALUE_BYTES);
          default -> String.valueOf(failure.getMessage());
        };
    return refusal(file, what, failure);
  }

  // ---- writing

  /// Writes one incident, replacing what was known of it, in a transaction of its own.
  ///
  /// @param report empty if there is none
  public synchronized void put(Entry entry, Optional<DumpReport> report) throws IOException {
    byte[] deflated = report.map(r -> deflate(ReportWriter.line(r))).orElse(new byte[0]);
    transaction(() -> insert(entry, deflated));
  }

  private interface Work {
    void run() throws SQLException;
  }

  private void transaction(Work work) throws IOException {
    try {
      run("BEGIN IMMEDIATE");
      try {
        work.run();
        run("COMMIT");
      } catch (SQLException | RuntimeException failure) {
        rollback(failure);
        throw failure;
      }
    } catch (SQLException failure) {
      throw refusal(file, failure);
    }
  }

  private void insert(Entry entry, byte[] deflated) throws SQLException {
    delete(entry.location());
    String marks = "?, ".repeat(COLUMNS.split(",").length - 1) + "?";
    try (PreparedStatement row =
        connection.prepareStatement(
            "INSERT INTO incident (" + COLUMNS + ") VALUES (" + marks + ")")) {
      List<Object> values =
          List.of(
              entry.location().uri(),
              entry.id(),
              entry.path(),
              entry.state().word(),
              entry.host(),
              entry.namedTime(),
              entry.bytes(),
              entry.identity(),
              entry.headHash(),
              entry.tailHash(),
              String.join("\n", entry.files()),
              entry.tool(),
              entry.judgedAt(),
              entry.seconds(),
              entry.verdict(),
              entry.summary(),
              entry.problemKind().name(),
              entry.problem(),
              entry.format(),
              entry.release(),
              entry.machine(),
              entry.nodename(),
              entry.crashTime(),
              entry.panic(),
              entry.panicSignature().id(),
              entry.panicSignature().text(),
              entry.damageSignature().id(),
              entry.damageSignature().text(),
              remarks(entry.remarks()),
              entry.vanished() ? 1 : 0);
      for (int i = 0; i < values.size(); i++) {
        row.setObject(i + 1, values.get(i));
      }
      row.executeUpdate();
    }
    try (PreparedStatement cause =
        connection.prepareStatement("INSERT OR IGNORE INTO cause VALUES (?, ?)")) {
      for (String id : entry.causes()) {
        cause.setString(1, entry.location().uri());
        cause.setString(2, id);
        cause.executeUpdate();
      }
    }
    if (deflated.length > 0) {
      try (PreparedStatement report =
          connection.prepareStatement("INSERT INTO report VALUES (?, ?)")) {
        report.setString(1, entry.location().uri());
        report.setBytes(2, deflated);
        report.executeUpdate();
      }
    }
  }

  private void delete(Location location) throws SQLException {
    try (PreparedStatement gone =
        connection.prepareStatement("DELETE FROM incident WHERE location = ?")) {
      gone.setString(1, location.uri());
      gone.executeUpdate();
    }
  }

  /// Remarks hold printable text only, so a tab and a line end can part them.
  private static String remarks(List<Note> remarks) {
    List<String> lines = new ArrayList<>();
    for (Note note : remarks) {
      lines.add(Printable.of(note.topic()) + "\t" + Printable.of(note.text()));
    }
    return String.join("\n", lines);
  }

  /// Notes that incidents are gone, or there again.
  synchronized void mark(Collection<Location> locations, boolean vanished) throws IOException {
    if (locations.isEmpty()) {
      return;
    }
    transaction(
        () -> {
          try (PreparedStatement row =
              connection.prepareStatement("UPDATE incident SET vanished = ? WHERE location = ?")) {
            for (Location location : locations) {
              row.setInt(1, vanished ? 1 : 0);
              row.setString(2, location.uri());
              row.executeUpdate();
            }
          }
        });
  }

  /// Takes over the incidents of another catalogue. Of an incident in both, the later judgement
  /// stays.
  ///
  /// @return how many were taken
  public synchronized int merge(Catalogue other) throws IOException {
    int taken = 0;
    for (Entry entry : other.entries(Selection.ALL)) {
      Optional<Entry> own = entry(entry.location());
      if (own.isPresent() && own.get().judgedAt() >= entry.judgedAt()) {
        continue;
      }
      byte[] deflated = other.deflatedReport(entry.location());
      transaction(() -> insert(entry, deflated));
      taken++;
    }
    return taken;
  }

  /// Forgets incidents.
  public synchronized void remove(Collection<Location> locations) throws IOException {
    transaction(
        () -> {
          for (Location location : locations) {
            delete(location);
          }
        });
  }

  // ---- reading

  /// What a rescan needs to know of an incident.
  record Known(
      Location location,
      String identity,
      String tool,
      String verdict,
      Entry.Problem problemKind,
      boolean withoutDump,
      boolean vanished) {}

  /// Tells of every incident, one at a time: a catalogue may know more than fits into memory.
  synchronized void forEachKnown(Consumer<Known> consumer) throws IOException {
    try (Statement statement = connection.createStatement();
        ResultSet row =
            statement.executeQuery(
                "SELECT location, identity, tool, verdict, problem_kind, state, vanished"
                    + " FROM incident")) {
      CatalogueRow known = new CatalogueRow(file.toString(), row);
      while (row.next()) {
        consumer.accept(
            new Known(
                new Location(known.text("location")),
                known.text("identity"),
                known.text("tool"),
                known.text("verdict"),
                problem(known.text("problem_kind")),
                Entry.State.of(known.text("state")).isWithoutDump(),
                known.number("vanished", 0, 1) != 0));
      }
    } catch (SQLException failure) {
      throw refusal(file, failure);
    }
  }

  private static Entry.Problem problem(String name) {
    for (Entry.Problem problem : Entry.Problem.values()) {
      if (problem.name().equals(name)) {
        return problem;
      }
    }
    return Entry.Problem.BUG;
  }

  public Optional<Entry> entry(Location location) throws IOException {
    List<Entry> found = select("WHERE location = ?", List.of(location.uri()));
    return found.stream().findFirst();
  }

  /// The incidents whose id begins with, or whose path is or ends with, what a user wrote.
  public List<Entry> find(String words) throws IOException {
    String location = "";
    String spelt = words;
    try {
      Path path = Path.of(words).normalize();
      location = Location.of(path).uri();
      // As the catalogue spells it, of as many names as were given.
      String whole = Location.of(path).words();
      int end = whole.length();
      for (int i = 0; i < path.getNameCount() && end > 0; i++) {
        end = whole.lastIndexOf('/', end - 1);
      }
      spelt = whole.substring(Math.min(end + 1, whole.length()));
    } catch (InvalidPathException _) {
      // No path in this locale, but perhaps the catalogue's spelling of one.
    }
    return select(
        "WHERE id = ?1 OR path = ?1 OR location = ?2"
            + " OR substr(path, -length('/' || ?1)) = '/' || ?1"
            + " OR substr(path, -length('/' || ?3)) = '/' || ?3 ORDER BY location LIMIT 100",
        List.of(words, location, spelt));
  }

  /// The selected incidents, in order of location.
  public List<Entry> entries(Selection selection) throws IOException {
    List<Object> values = new ArrayList<>();
    return select(selection.where(values) + " ORDER BY location", values);
  }

  private synchronized List<Entry> select(String where, List<?> values) throws IOException {
    List<Entry> entries = new ArrayList<>();
    try (PreparedStatement query =
        connection.prepareStatement(
            "SELECT " + COLUMNS + ", " + CAUSES + ", " + DUPLICATE + " FROM incident " + where)) {
      for (int i = 0; i < values.size(); i++) {
        query.setObject(i + 1, values.get(i));
      }
      try (ResultSet row = query.executeQuery()) {
        CatalogueRow columns = new CatalogueRow(file.toString(), row);
        while (row.next()) {
          entries.add(entry(columns));
        }
      }
    } catch (SQLException failure) {
      throw refusal(file, failure);
    }
    return entries;
  }

  private static Entry entry(CatalogueRow row) throws SQLException, MalformedFileException {
    List<Note> remarks = new ArrayList<>();
    for (String line : lines(row.text("remarks"))) {
      int tab = line.indexOf('\t');
      remarks.add(new Note(line.substring(0, Math.max(0, tab)), line.substring(tab + 1)));
    }
    String causes = row.textOrNone(31);
    return new Entry(
        new Location(row.text("location")),
        row.text("path"),
        Entry.State.of(row.text("state")),
        row.text("host"),
        row.text("named_time"),
        row.number("bytes", 0, Long.MAX_VALUE),
        row.text("identity"),
        row.text("head_hash"),
        row.text("tail_hash"),
        lines(row.text("files")),
        row.text("tool"),
        row.number("judged_at", 0, KernelFacts.PanicFacts.LAST_SECOND),
        row.seconds("seconds"),
        row.text("verdict"),
        row.text("summary"),
        problem(row.text("problem_kind")),
        row.text("problem"),
        row.text("format"),
        row.text("release"),
        row.text("machine"),
        row.text("nodename"),
        // What an older version took from a dump as it was.
        time(row.number("crash_time", Long.MIN_VALUE, Long.MAX_VALUE)),
        row.text("panic"),
        new Signature(row.text("panic_signature"), row.text("panic_text")),
        new Signature(row.text("damage_signature"), row.text("damage_text")),
        causes.isEmpty() ? List.of() : List.of(causes.split(" ")),
        remarks,
        row.number("vanished", 0, 1) != 0,
        row.textOrNone(32));
  }

  private static long time(long seconds) {
    return seconds < 0 || seconds > KernelFacts.PanicFacts.LAST_SECOND ? 0 : seconds;
  }

  private static List<String> lines(String text) {
    return text.isEmpty() ? List.of() : List.of(text.split("\n"));
  }

  /// The report of an incident; empty if its dump could not be read.
  public Optional<DumpReport> report(Entry entry) throws IOException {
    byte[] deflated = deflatedReport(entry.location());
    return deflated.length == 0
        ? Optional.empty()
        : Optional.of(ReportReader.read(entry.path(), inflate(deflated)));
  }

  private synchronized byte[] deflatedReport(Location location) throws IOException {
    try (PreparedStatement query =
        connection.prepareStatement("SELECT deflated FROM report WHERE location = ?")) {
      query.setString(1, location.uri());
      try (ResultSet row = query.executeQuery()) {
        return row.next() ? row.getBytes(1) : new byte[0];
      }
    } catch (SQLException failure) {
      throw refusal(file, failure);
    }
  }

  private static byte[] deflate(String text) {
    try (Deflater deflater = new Deflater()) {
      deflater.setInput(text.getBytes(StandardCharsets.UTF_8));
      deflater.finish();
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] buffer = new byte[8192];
      while (!deflater.finished()) {
        out.write(buffer, 0, deflater.deflate(buffer));
      }
      return out.toByteArray();
    }
  }

  private String inflate(byte[] deflated) throws MalformedFileException {
    try (Inflater inflater = new Inflater()) {
      inflater.setInput(deflated);
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] buffer = new byte[8192];
      while (!inflater.finished()) {
        int count = inflater.inflate(buffer);
        if (count == 0 || out.size() > MAX_REPORT_BYTES) {
          throw new MalformedFileException("[" + file + "] a stored report is damaged");
        }
        out.write(buffer, 0, count);
      }
      return out.toString(StandardCharsets.UTF_8);
    } catch (DataFormatException _) {
      throw new MalformedFileException("[" + file + "] a stored report is damaged");
    }
  }

  @Override
  public synchronized void close() throws IOException {
    try {
      connection.close();
    } catch (SQLException failure) {
      throw refusal(file, failure);
    }
  }
}
