package org.vmcheck.io;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/// Reads a file piece by piece in few large reads, the larger the longer one piece follows the
/// other. Serves one thread and one walk.
///
/// A page of a map costs a fault, which takes a virtual machine with shadowed page tables ten times
/// as long as the copy, and all threads of a process wait for each other when its pages come and
/// go.
public final class ReadAhead {
  /// Bytes of the first read at a place, and of the largest.
  private static final int FIRST = 1 << 14;

  private static final int LARGEST = 1 << 17;

  private ByteBuffer buffer;
  private MemorySegment bytes;

  /// The file that is read; null if none was yet.
  private FileChannel file;

  private long start;
  private long end;
  private int size;

  /// Puts bytes of a file at the start of an array.
  ///
  /// @return false if they were not all read
  boolean copy(FileChannel from, long offset, byte[] into, int byteCount) throws IOException {
    if (offset < start || offset + byteCount > end || !from.equals(file)) {
      fill(from, offset, byteCount);
      if (offset + byteCount > end) {
        return false;
      }
    }
    MemorySegment.copy(bytes, ValueLayout.JAVA_BYTE, offset - start, into, 0, byteCount);
    return true;
  }

  private void fill(FileChannel from, long offset, int byteCount) throws IOException {
    boolean goesOn = from.equals(file) && offset >= start && offset - end < size;
    size = goesOn ? Math.min(2 * size, LARGEST) : FIRST;
    if (buffer == null || buffer.capacity() < size) {
      buffer = ByteBuffer.allocateDirect(size == FIRST ? FIRST : LARGEST);
      bytes = MemorySegment.ofBuffer(buffer);
    }
    file = from;
    start = offset;
    end = offset;
    buffer.position(0).limit(Math.clamp(byteCount, size, buffer.capacity()));
    while (buffer.hasRemaining()) {
      int more = from.read(buffer, end);
      if (more <= 0) {
        return;
      }
      end += more;
    }
  }
}
