package org.vmcheck.archive;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import java.util.Optional;
import java.util.Set;
import org.sqlite.SQLiteConfig;
import org.sqlite.SQLiteErrorCode;
import org.sqlite.SQLiteException;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Printable;

/// A catalogue in one file, for the processes of one machine.
final class SqliteDatabase extends Database {
  /// Tells SQLite's own tools whose file this is ("vmck").
  private static final int APPLICATION_ID = 0x766d636b;

  private static final byte[] MAGIC = "SQLite format 3\0".getBytes(StandardCharsets.ISO_8859_1);
  private static final int BUSY_MILLIS = 60_000;

  /// A larger file is not looked through on opening: damage in it is met on use.
  private static final long LOOK_THROUGH_BYTES = 32L << 20;

  /// Of one value in a row, which SQLite would else make as large as a gigabyte.
  private static final int MAX_VALUE_BYTES = 32 << 20;

  /// Memory for pages. Indexes are written to in any order: with the 2 MB of the default, each row
  /// of a large catalogue waits for pages that were in memory a moment before.
  private static final int CACHE_KIB = 16 << 10;

  /// File systems on which several machines may have the same file open. SQLite's write-ahead log
  /// needs memory that its users share, and locks that work; there it has neither, and a catalogue
  /// would be spoilt one day.
  private static final Set<String> NETWORK =
      Set.of(
          "nfs",
          "nfs4",
          "cifs",
          "smb3",
          "smbfs",
          "9p",
          "afs",
          "ceph",
          "lustre",
          "gpfs",
          "beegfs",
          "ocfs2",
          "gfs2",
          "glusterfs",
          "fuse.glusterfs",
          "fuse.sshfs",
          "fuse.ceph",
          "fuse.s3fs",
          "fuse.rclone");

  private static final String SHARED =
      "lies on a network file system (%s), where SQLite's log does not work: keep it on a local"
          + " disk and merge, or use postgresql://";

  private final Path file;
  private final Connection connection;

  private SqliteDatabase(Path file, Connection connection) {
    this.file = file;
    this.connection = connection;
  }

  /// Opens a catalogue for reading only.
  ///
  /// @throws CatalogueException if it is not there or is no catalogue
  static SqliteDatabase read(Path file) throws IOException {
    requireExisting(file);
    Path real = file.toRealPath();
    boolean walThere = Files.exists(real.resolveSibling(real.getFileName() + "-wal"));
    boolean shared = isNetwork(Files.getFileStore(real).type());
    if (walThere && shared) {
      throw refusal(file, SHARED.formatted(Files.getFileStore(real).type()), null);
    }
    // A catalogue in a directory that cannot be written to is read as it is, without its log.
    boolean immutable = !walThere && (shared || !Files.isWritable(real.getParent()));
    return open(file, immutable ? "?immutable=1" : "?mode=ro", true);
  }

  /// Opens a catalogue for reading and writing; makes it, for its owner only, if it is not there.
  ///
  /// @throws CatalogueException if it cannot be written to, or the file is no catalogue
  static SqliteDatabase write(Path file) throws IOException {
    Path directory = file.toAbsolutePath().getParent();
    if (directory == null || !Files.isDirectory(directory)) {
      throw refusal(file, "its directory does not exist", null);
    }
    String type = Files.getFileStore(directory).type();
    if (isNetwork(type)) {
      throw refusal(file, SHARED.formatted(type), null);
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

  /// Whether a file system of this type, as Linux names it, may be another machine's too.
  static boolean isNetwork(String type) {
    return NETWORK.contains(type);
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
      throw foreign(file, "is not a catalogue; it is left as it is", null);
    }
  }

  private static SqliteDatabase open(Path file, String mode, boolean readOnly) throws IOException {
    SqliteLibrary.load();
    SQLiteConfig config = new SQLiteConfig();
    config.setBusyTimeout(BUSY_MILLIS);
    config.setReadOnly(readOnly);
    config.enforceForeignKeys(true);
    config.setCacheSize(-CACHE_KIB);
    config.setPragma(SQLiteConfig.Pragma.LIMIT_LENGTH, Integer.toString(MAX_VALUE_BYTES));
    Connection connection = null;
    try {
      connection =
          config.createConnection("jdbc:sqlite:" + FileUri.of(file.toRealPath()).uri() + mode);
      SqliteDatabase database = new SqliteDatabase(file, connection);
      database.prepare(readOnly);
      return database;
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
      throw foreign(file, "is a database of another program; it is left as it is", null);
    }
    if (version < 0 || (!fresh && version == 0)) {
      throw foreign("schema " + version);
    }
    if (version > SqliteSchema.VERSION) {
      throw foreign(
          file,
          "was written by a newer vmcheck (schema %d; this one knows %d)"
              .formatted(version, SqliteSchema.VERSION),
          null);
    }
    if (!fresh) {
      run("PRAGMA trusted_schema = OFF");
      Optional<String> foreign = SqliteSchema.foreign(connection, version);
      if (foreign.isPresent()) {
        throw foreign(foreign.get());
      }
    }
    if (!fresh && Files.size(file) <= LOOK_THROUGH_BYTES) {
      String found = text("PRAGMA quick_check(1)");
      if (!found.equals("ok")) {
        throw foreign(
            file, "is corrupt (" + Printable.of(found, 80) + "); it is left as it is", null);
      }
    }
    if (!readOnly) {
      // Not before it is known whose file this is: both write to it.
      // With NORMAL a power cut may lose the last transactions and never the file's consistency.
      run("PRAGMA journal_mode = WAL");
      run("PRAGMA synchronous = NORMAL");
    }
    if (version < SqliteSchema.VERSION) {
      if (readOnly) {
        throw refusal(
            file,
            fresh
                ? "is empty"
                : "has the older schema %d: a scan brings it up to %d"
                    .formatted(version, SqliteSchema.VERSION),
            null);
      }
      migrate();
    }
  }

  private void migrate() throws SQLException {
    run("BEGIN IMMEDIATE");
    try {
      // Asked again under the lock: another process may have been faster.
      SqliteSchema.migrate(connection, number("PRAGMA user_version"));
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

  /// What the file holds is to blame.
  private static CatalogueException foreign(Path file, String what, Throwable cause) {
    return new CatalogueException("catalogue " + file + ": " + what, cause, true);
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
    return switch (code.code & 0xff) {
      case 11, 18, 26 -> foreign(file, what, failure);
      default -> refusal(file, what, failure);
    };
  }

  @Override
  String name() {
    return file.toString();
  }

  @Override
  synchronized <T> T read(Work<T> work) throws IOException {
    try {
      return work.run(connection);
    } catch (SQLException failure) {
      throw refusal(file, failure);
    }
  }

  @Override
  synchronized <T> T write(Work<T> work) throws IOException {
    try {
      run("BEGIN IMMEDIATE");
      try {
        T result = work.run(connection);
        run("COMMIT");
        return result;
      } catch (SQLException | IOException | RuntimeException failure) {
        rollback(failure);
        throw failure;
      }
    } catch (SQLException failure) {
      throw refusal(file, failure);
    }
  }

  @Override
  long now(Connection same) {
    return System.currentTimeMillis();
  }

  /// Of two indexes in the right order it takes the shorter one, and looks up each row elsewhere.
  @Override
  String listHint() {
    return " INDEXED BY incident_list";
  }

  @Override
  String skipLocked() {
    return "";
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
