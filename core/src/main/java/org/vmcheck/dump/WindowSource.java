package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.MalformedFileException;

/// A run of bytes inside another source: a member of an archive that is not compressed.
record WindowSource(ByteSource outer, String name, long start, long size) implements ByteSource {
  @Override
  public MemorySegment slice(long offset, long byteCount) throws IOException {
    if (offset < 0 || byteCount < 0 || offset > size - byteCount) {
      throw MalformedFileException.field(
          name,
          "range of " + byteCount + " bytes",
          offset,
          "an end within the member's " + size + " bytes",
          "an end beyond it (file truncated?)");
    }
    return outer.slice(start + offset, byteCount);
  }
}
