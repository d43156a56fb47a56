package org.vmcheck.io;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/// One read-only map of a whole file, of any size.
///
/// A file that is cut short while it is mapped makes the JVM raise an `InternalError` at the access
/// in Java code; readers of pages catch it ([#isLostMap]). Native code must never be handed this
/// map: there the same event is a fatal signal.
public final class MappedFile implements ByteSource, AutoCloseable {
  private final Path path;
  private final Arena arena;
  private final MemorySegment map;

  private MappedFile(Path path, Arena arena, MemorySegment map) {
    this.path = path;
    this.arena = arena;
    this.map = map;
  }

  /// Maps a regular file or a block device.
  ///
  /// @throws IOException if the path is missing, a directory, or not readable by this user
  @SuppressWarnings("MustBeClosedChecker") // the arena lives as long as the file, which closes it
  public static MappedFile open(Path path) throws IOException {
    if (!Files.exists(path)) {
      throw new NoSuchFileException(path.toString(), null, "no such file");
    }
    if (Files.isDirectory(path)) {
      throw new IOException(path + ": is a directory, not a file");
    }
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      long size = channel.size();
      Arena arena = Arena.ofShared();
      try {
        MemorySegment map =
            size == 0 ? MemorySegment.NULL : channel.map(MapMode.READ_ONLY, 0, size, arena);
        return new MappedFile(path, arena, map);
      } catch (IOException | RuntimeException failure) {
        arena.close();
        throw failure;
      }
    } catch (AccessDeniedException denied) {
      throw new AccessDeniedException(path.toString(), null, "permission denied");
    }
  }

  public Path path() {
    return path;
  }

  @Override
  public String name() {
    return path.getFileName() == null ? path.toString() : path.getFileName().toString();
  }

  @Override
  public long size() {
    return map.byteSize();
  }

  @Override
  public MemorySegment slice(long offset, long byteCount) throws MalformedFileException {
    if (offset < 0 || byteCount < 0 || offset > map.byteSize() - byteCount) {
      throw MalformedFileException.field(
          name(),
          "range of " + byteCount + " bytes",
          offset,
          "an end within the file's " + map.byteSize() + " bytes",
          "an end beyond it (file truncated?)");
    }
    return map.asSlice(offset, byteCount);
  }

  /// Gives the pages of the map that were touched back to the system; they are read again on use.
  /// Keeps the resident size of a walk over a large dump bounded.
  public void releaseResidentPages() {
    if (map.byteSize() > 0) {
      map.unload();
    }
  }

  /// Whether this error is the JVM's report of a mapped page that the file no longer has, or that
  /// the device could not read.
  public static boolean isLostMap(InternalError error) {
    String message = error.getMessage();
    return message != null && message.contains("unsafe memory access");
  }

  @Override
  public void close() {
    arena.close();
  }
}
