package org.vmcheck.dump;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.MappedFile;

/// Opens a file down to the bytes of a dump.
final class Unpacking {
  private Unpacking() {}

  /// The dump files in a file: one, or the parts of a split dump in an archive.
  static List<OpenFile> open(Path path, OpenOptions options) throws IOException {
    MappedFile map = MappedFile.open(path);
    try {
      return List.of(open(path, map, map, List.of()));
    } catch (IOException | RuntimeException | InternalError failure) {
      map.close();
      throw failure;
    }
  }

  /// Looks through a flattened stream.
  static OpenFile open(Path path, MappedFile map, ByteSource source, List<String> remarks)
      throws IOException {
    boolean flattened = FlattenedSource.probe(source);
    return new OpenFile(
        path, map, flattened ? FlattenedSource.index(source) : source, flattened, remarks);
  }
}
