package org.vmcheck.io;

import java.io.IOException;
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

  /// An array and no direct buffer: the collector would learn too late that many are left.
  private byte[] bytes = {};

  /// The file that is read; null if none was yet.
  private FileChannel file;

  /// What of it is in the array: nothing, where both are the same.
  private long start;

  private long end;
  private int size;

  /// Puts bytes of a file at the start of an array.
  ///
  /// @return false if they were not all read, or are better read in another way: the first piece,
  ///   which no other may follow, and one that is larger than any read
  boolean copy(FileChannel from, long offset, byte[] into, int byteCount) throws IOException {
    if (offset < start || offset + byteCount > end || !from.equals(file)) {
      fill(from, offset, byteCount);
      if (offset + byteCount > end) {
        return false;
      }
    }
    System.arraycopy(bytes, (int) (offset - start), into, 0, byteCount);
    return true;
  }

  private void fill(FileChannel from, long offset, int byteCount) throws IOException {
    boolean goesOn = from.equals(file) && offset >= start && offset - end < LARGEST;
    size = goesOn ? Math.min(2 * size, LARGEST) : FIRST;
    file = from;
    start = offset;
    end = offset;
    if (byteCount > LARGEST || (bytes.length == 0 && !goesOn)) {
      return;
    }
    size = Math.max(size, byteCount);
    if (bytes.length < size) {
      bytes = new byte[size];
    }
    ByteBuffer rest = ByteBuffer.wrap(bytes, 0, size);
    while (rest.hasRemaining()) {
      int more = from.read(rest, end);
      if (more <= 0) {
        return;
      }
      end += more;
    }
  }
}
