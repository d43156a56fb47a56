package org.vmcheck.debuginfo;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.MalformedFileException;

/// A file of debug information, mapped, or what was unpacked from one.
///
/// Types are read from it for as long as someone holds them, so the map goes when the last view of
/// it does, and nobody closes it.
record FileBytes(String name, MemorySegment bytes) implements ByteSource {
  @SuppressWarnings("MustBeClosedChecker") // released when no view of it is left
  static FileBytes map(Path file) throws IOException {
    if (!Files.exists(file)) {
      throw new NoSuchFileException(file.toString(), null, "no such file");
    }
    if (Files.isDirectory(file)) {
      throw new IOException(file + ": is a directory, not a file");
    }
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      return new FileBytes(
          String.valueOf(file.getFileName()),
          channel.map(MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto()));
    }
  }

  @Override
  public long size() {
    return bytes.byteSize();
  }

  @Override
  public MemorySegment slice(long offset, long byteCount) throws MalformedFileException {
    if (offset < 0 || byteCount < 0 || offset > size() - byteCount) {
      throw MalformedFileException.field(
          name,
          "range of " + byteCount + " bytes",
          offset,
          "an end within the file's " + size() + " bytes",
          "an end beyond it (file truncated?)");
    }
    return bytes.asSlice(offset, byteCount);
  }
}
