package org.vmcheck.testing;

import java.nio.file.Files;
import java.nio.file.Path;

/// Real files that lie beside the project's folder where they are there at all; tests that want
/// them are skipped elsewhere.
public final class RealDumps {
  private RealDumps() {}

  /// A file of the folder `shared` beside the project.
  public static Path shared(String path) {
    Path at = Path.of("").toAbsolutePath();
    while (at != null && !Files.isDirectory(at.resolve("shared"))) {
      at = at.getParent();
    }
    return at == null ? Path.of(path) : at.resolve("shared").resolve(path);
  }
}
