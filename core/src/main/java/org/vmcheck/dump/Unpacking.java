package org.vmcheck.dump;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.FileMagic;
import org.vmcheck.io.MappedFile;

/// Opens a file down to the bytes of a dump. Apart from [Unpacker], so that opening a dump that is
/// not packed loads none of the libraries that unpack.
final class Unpacking {
  private Unpacking() {}

  /// The dump files in a file: one, or the parts of a split dump in an archive.
  static List<OpenFile> open(Path path, OpenOptions options) throws IOException {
    MappedFile map = options.inTree() ? MappedFile.openInTree(path) : MappedFile.open(path);
    try {
      byte[] head = head(map);
      Optional<Wrapping> wrapping = Wrapping.of(head);
      return wrapping.isEmpty() || looksLikeDump(head)
          ? List.of(open(path, map, map, List.of()))
          : Unpacker.open(path, map, wrapping.get(), options);
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

  static byte[] head(ByteSource source) throws IOException {
    int count = (int) Math.min(FileMagic.HEAD_BYTES, source.size());
    return source.view("start of file", 0, count, false).bytes(0, count);
  }

  static boolean looksLikeDump(byte[] head) {
    return Dumps.looksLikeDump(ByteView.of("start", head));
  }
}
