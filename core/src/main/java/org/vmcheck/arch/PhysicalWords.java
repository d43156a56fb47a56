package org.vmcheck.arch;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.OptionalLong;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;

/// Variables read by their physical address, before anything translates.
final class PhysicalWords {
  private static final ValueLayout.OfLong WORD =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt HALF =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private PhysicalWords() {}

  /// The eight bytes at an address, of which the last four count as 0 where their page ends before
  /// them; empty if the page is not there.
  static OptionalLong read(PhysicalMemory memory, long paddr) {
    int in = (int) (paddr & memory.pageSize() - 1);
    if (paddr < 0
        || in > memory.pageSize() - 4
        || !(memory.read(paddr / memory.pageSize())
            instanceof PageRead.Present(MemorySegment bytes))) {
      return OptionalLong.empty();
    }
    return OptionalLong.of(
        in <= memory.pageSize() - 8 ? bytes.get(WORD, in) : bytes.get(HALF, in) & 0xffff_ffffL);
  }
}
