package org.vmcheck.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import picocli.CommandLine.Option;

/// Where the catalogue is.
final class CatalogueOption {
  @Option(
      names = "--catalogue",
      paramLabel = "FILE",
      scope = picocli.CommandLine.ScopeType.INHERIT,
      description = "The catalogue (default: vmcheck/catalogue.sqlite in the XDG state directory).")
  private Path file;

  Path file() {
    if (file != null) {
      return file;
    }
    String state = System.getenv("XDG_STATE_HOME");
    Path base =
        state == null || !state.startsWith("/")
            ? Path.of(System.getProperty("user.home"), ".local", "state")
            : Path.of(state);
    return base.resolve("vmcheck").resolve("catalogue.sqlite");
  }

  /// Makes the default's directory; one that the user named must be there.
  void makeDirectory() throws IOException {
    if (file == null) {
      Files.createDirectories(
          file().getParent(),
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    }
  }
}
