package org.vmcheck.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Optional;
import org.vmcheck.archive.Catalogue;
import picocli.CommandLine.Option;

/// Where the catalogue is.
final class CatalogueOption {
  @Option(
      names = "--catalogue",
      paramLabel = "FILE|URL",
      scope = picocli.CommandLine.ScopeType.INHERIT,
      description =
          "The catalogue: a file on a local disk (default: vmcheck/catalogue.sqlite in the XDG"
              + " state directory), or postgresql://USER@HOST:PORT/DATABASE with ?sslmode=... as"
              + " psql has it; the password is in ~/.pgpass, or a file that PGPASSFILE names, or"
              + " PGPASSWORD.")
  private String place;

  Catalogue read() throws IOException {
    return Catalogue.read(place());
  }

  /// Opens it for writing, and makes it if it is not there.
  Catalogue write() throws IOException {
    return Catalogue.write(place());
  }

  /// The file; empty if the catalogue is in none.
  Optional<Path> file() {
    return Catalogue.isInPostgres(place()) ? Optional.empty() : Optional.of(Path.of(place()));
  }

  /// The file or URL.
  String place() {
    if (place != null) {
      return place;
    }
    String state = System.getenv("XDG_STATE_HOME");
    Path base =
        state == null || !state.startsWith("/")
            ? Path.of(System.getProperty("user.home"), ".local", "state")
            : Path.of(state);
    return base.resolve("vmcheck").resolve("catalogue.sqlite").toString();
  }

  /// Makes the default's directory; one that the user named must be there.
  void makeDirectory() throws IOException {
    if (place == null) {
      Files.createDirectories(
          Path.of(place()).getParent(),
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    }
  }
}
