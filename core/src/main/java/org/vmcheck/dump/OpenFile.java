package org.vmcheck.dump;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.MappedFile;

/// A mapped file with its logical bytes: the same, those of one member of an archive, or those of
/// the flattened stream in it.
///
/// @param path the file as the user named it; another than the map's if it was unpacked
/// @param remarks what is unusual about how the bytes were come by
record OpenFile(
    Path path, MappedFile map, ByteSource source, boolean flattened, List<String> remarks) {
  OpenFile {
    remarks = List.copyOf(remarks);
  }

  /// What messages may call it.
  Stream<String> names() {
    return Stream.of(path.toString(), source.name(), map.name(), map.path().toString()).distinct();
  }
}
