package org.vmcheck.debuginfo;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.MappedFile;

/// A file of debug information, mapped, or what was unpacked from one.
///
/// Types are read from it for as long as someone holds them, so the map goes when the last view of
/// it does, and nobody closes it.
record FileBytes(String name, MemorySegment bytes) implements ByteSource {
  @SuppressWarnings("MustBeClosedChecker") // released when no view of it is left
  static FileBytes map(Path file) throws IOException {
    MappedFile.requireMappable(file);
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
