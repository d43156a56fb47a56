package org.vmcheck.archive;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.sqlite.SQLiteJDBCLoader;
import org.sqlite.util.LibraryLoaderUtil;

/// SQLite's library of native code: it lies in a jar and can be loaded from a file only. The driver
/// would keep that file until the process ends, and leave it where the process is killed.
final class SqliteLibrary {
  private static final String PATH = "org.sqlite.lib.path";
  private static final String NAME = "org.sqlite.lib.name";

  private static boolean done;

  private SqliteLibrary() {}

  /// Loads it once, from a file that is gone afterwards. Where that fails the driver tries for
  /// itself and says what is wrong.
  static synchronized void load() throws IOException {
    if (done || System.getProperty(PATH) != null) {
      return;
    }
    done = true;
    String inJar =
        LibraryLoaderUtil.getNativeLibResourcePath() + "/" + LibraryLoaderUtil.getNativeLibName();
    try (InputStream in = SQLiteJDBCLoader.class.getResourceAsStream(inJar)) {
      if (in == null) {
        return;
      }
      Path file = Files.createTempFile("vmcheck-", ".so");
      try {
        Files.copy(in, file, StandardCopyOption.REPLACE_EXISTING);
        System.setProperty(PATH, file.getParent().toString());
        System.setProperty(NAME, file.getFileName().toString());
        SQLiteJDBCLoader.initialize();
      } catch (Exception _) {
        // The driver's own attempt comes next.
      } finally {
        System.clearProperty(PATH);
        System.clearProperty(NAME);
        Files.deleteIfExists(file);
      }
    }
  }
}
