package org.vmcheck.memory;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;
import java.util.NavigableSet;
import org.vmcheck.dump.PageRead;
import org.vmcheck.io.Cancellation;

/// Where in the kernel's half page frames are mapped besides the direct map: vmalloc, stacks,
/// modules. Found by a walk over the page tables.
public final class ReverseMap {
  private static final ValueLayout.OfLong ENTRY =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final long PRESENT = 1;
  private static final long LARGE = 1 << 7;
  private static final long FRAME = 0x000f_ffff_ffff_f000L;

  /// Half a terabyte of vmalloc in pages of 4 KiB.
  private static final int MAX_TABLES = 1 << 18;

  private final VirtualMemory memory;
  private final NavigableSet<Long> wanted;
  private final Map<Long, Long> found = new HashMap<>();
  private int tables;

  private ReverseMap(VirtualMemory memory, NavigableSet<Long> wanted) {
    this.memory = memory;
    this.wanted = wanted;
  }

  /// The addresses of the first bytes of page frames, by frame: those that are mapped outside of
  /// the direct map, the image and the memory map.
  ///
  /// @param wanted the frames that are looked for
  public static Map<Long, Long> of(VirtualMemory memory, NavigableSet<Long> wanted) {
    ReverseMap map = new ReverseMap(memory, wanted);
    if (!wanted.isEmpty()) {
      map.visit(memory.paging().root(), memory.paging().levels(), 0);
    }
    return map.found;
  }

  private void visit(long table, int level, long firstVaddr) {
    Cancellation.check();
    if (tables++ > MAX_TABLES
        || !(memory.physical().read(table >>> 12)
            instanceof PageRead.Present(MemorySegment bytes))) {
      return;
    }
    int shift = 12 + 9 * (level - 1);
    boolean isTop = level == memory.paging().levels();
    for (int i = isTop ? 256 : 0; i < 512; i++) {
      long entry = bytes.get(ENTRY, i * 8L) & ~memory.paging().encryptionMask();
      if ((entry & PRESENT) == 0) {
        continue;
      }
      long vaddr = firstVaddr | (long) i << shift;
      if (isTop) {
        int unused = 64 - (12 + 9 * level);
        vaddr = vaddr << unused >> unused;
      }
      if (isElsewhere(vaddr, shift)) {
        continue;
      }
      if (level == 1 || (level <= 3 && (entry & LARGE) != 0)) {
        long first = (entry & FRAME & -(1L << shift)) >>> 12;
        for (long pfn : wanted.subSet(first, true, first + (1L << (shift - 12)), false)) {
          found.putIfAbsent(pfn, vaddr + ((pfn - first) << 12));
        }
      } else {
        visit(entry & FRAME, level - 1, vaddr);
      }
    }
  }

  /// Whether all that an entry maps lies in the direct map, the image or the memory map.
  private boolean isElsewhere(long vaddr, int shift) {
    AddressMap map = memory.map();
    long last = vaddr + (1L << shift) - 1;
    long vmemmap = map.vmemmapStart();
    return (map.isDirectMap(vaddr) && map.isDirectMap(last))
        || (map.isImage(vaddr) && map.isImage(last))
        || (vmemmap != 0
            && Long.compareUnsigned(vaddr, vmemmap) >= 0
            && Long.compareUnsigned(last, vmemmap + (1L << 40)) < 0);
  }
}
