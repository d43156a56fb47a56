package org.vmcheck.cli;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// What a list names: as `find` prints it, one a line, or with `-print0`.
///
/// @param files all but the directories, there or not
record NamedFiles(List<Path> files, List<Path> directories) {
  static final NamedFiles NONE = new NamedFiles(List.of(), List.of());

  /// A million names, which must fit into memory.
  private static final int MAX_BYTES = 64 << 20;

  NamedFiles {
    files = List.copyOf(files);
    directories = List.copyOf(directories);
  }

  /// @param place a file, or `-` for standard input
  static NamedFiles read(String place) throws IOException, Failures.UsageException {
    byte[] bytes;
    if (place.equals("-")) {
      bytes = System.in.readNBytes(MAX_BYTES + 1);
    } else {
      try (InputStream in = Files.newInputStream(Path.of(place))) {
        bytes = in.readNBytes(MAX_BYTES + 1);
      }
    }
    if (bytes.length > MAX_BYTES) {
      throw new Failures.UsageException(
          "--files-from %s: more than %d MiB of names".formatted(place, MAX_BYTES >> 20));
    }
    String text = new String(bytes, StandardCharsets.UTF_8);
    List<Path> files = new ArrayList<>();
    List<Path> directories = new ArrayList<>();
    for (String name : text.split(text.indexOf(0) >= 0 ? "\0" : "\r?\n")) {
      if (!name.isEmpty()) {
        try {
          Path path = Path.of(name);
          (Files.isDirectory(path) ? directories : files).add(path);
        } catch (InvalidPathException _) {
          throw new Failures.UsageException(
              "--files-from " + place + ": no name of a file: " + name);
        }
      }
    }
    return new NamedFiles(files, directories);
  }
}
