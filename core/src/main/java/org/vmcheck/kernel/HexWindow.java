package org.vmcheck.kernel;

import java.util.HexFormat;
import org.vmcheck.finding.Evidence;
import org.vmcheck.io.ByteView;
import org.vmcheck.memory.MemoryRead;

/// The bytes around a place, as evidence.
public final class HexWindow {
  private static final int BEFORE = 32;
  private static final int BYTES = 80;

  private HexWindow() {}

  /// The bytes from 32 before the marked ones on; fewer where memory ends. Empty hex if none can be
  /// read.
  public static Evidence.BytesAt around(Kernel kernel, long address, int marked, String sentence) {
    long start = (address & ~15L) - BEFORE;
    MemoryRead read = kernel.memory().read(start, BYTES);
    if (!(read instanceof MemoryRead.Bytes)) {
      start = address & ~15L;
      read = kernel.memory().read(start, 16);
    }
    String hex =
        read instanceof MemoryRead.Bytes(ByteView view)
            ? HexFormat.of().formatHex(view.bytes(0, (int) view.size()))
            : "";
    int from = (int) (address - start);
    return new Evidence.BytesAt(
        start,
        kernel.memory().physicalAddress(start),
        hex,
        from,
        Math.min(from + marked, hex.length() / 2),
        sentence);
  }
}
