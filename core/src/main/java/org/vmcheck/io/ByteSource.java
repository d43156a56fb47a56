package org.vmcheck.io;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// The logical bytes of a file: a mapped file as it is, or a flattened stream put in order.
///
/// Safe for use by several threads at once.
public interface ByteSource {
  /// What messages call this file.
  String name();

  /// Length in bytes.
  long size();

  /// `byteCount` bytes from `offset`: a view where they lie together in the file, else a copy.
  ///
  /// @throws MalformedFileException if the range leaves the file
  MemorySegment slice(long offset, long byteCount) throws IOException;

  /// Puts `byteCount` bytes from `offset` at the start of an array.
  ///
  /// A lost map is raised here and no later ([MappedFile#settle]).
  ///
  /// @param ahead may be used to read them
  /// @throws MalformedFileException if the range leaves the file
  default void copy(long offset, byte[] into, int byteCount, ReadAhead ahead) throws IOException {
    MemorySegment.copy(slice(offset, byteCount), ValueLayout.JAVA_BYTE, 0, into, 0, byteCount);
    MappedFile.settle();
  }

  /// How many of the bytes from `offset` on are really there, at most `byteCount`: all of them in a
  /// whole file, fewer where the file ends early.
  default long available(long offset, long byteCount) {
    if (offset < 0 || offset >= size()) {
      return 0;
    }
    return Math.min(byteCount, size() - offset);
  }

  /// The first offset at or after one that may hold something but zeros, the file's size if there
  /// is none: holes of a sparse file are passed over where the system tells of them.
  default long nextData(long offset) {
    return offset;
  }

  /// The part of this file from `offset`, as a named view in little-endian or big-endian order.
  default ByteView view(String part, long offset, long byteCount, boolean bigEndian)
      throws IOException {
    return new ByteView(name(), part, slice(offset, byteCount), offset, bigEndian);
  }
}
