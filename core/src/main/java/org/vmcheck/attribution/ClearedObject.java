package org.vmcheck.attribution;

import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabFault;

/// A free object that `init_on_free` cleared and that is not zero any more.
public final class ClearedObject {
  private static final int WORD = 8;

  private ClearedObject() {}

  /// Whether it was written from the left: from its first byte on, with a byte before it that is
  /// written too, and not to its end, as its own former owner might have.
  public static boolean isOverrun(Kernel kernel, SlabFault.Pattern fault) {
    Slab slab = fault.slab();
    if (fault.index() < 1
        || fault.address() != slab.object(fault.index())
        || fault.end() >= fault.address() + slab.cache().objectSize()
        || !(kernel.memory().read(fault.address() - WORD, 2 * WORD)
            instanceof MemoryRead.Bytes(ByteView border))) {
      return false;
    }
    for (int at = WORD - 1; at < 2 * WORD; at++) {
      boolean isWritten = border.u8(at) != 0 || fault.address() + at - WORD >= fault.end();
      if (!isWritten) {
        return false;
      }
    }
    return true;
  }
}
