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
        || !(memory.physical().read(memory.pfn(table))
            instanceof PageRead.Present(MemorySegment bytes))) {
      return;
    }
    Paging paging = memory.paging();
    int shift = paging.shift(level);
    boolean isTop = level == paging.levels();
    int end = paging.endSlot(level);
    for (int i = paging.firstSlot(level); i < end; i++) {
      long entry = bytes.get(ENTRY, i * 8L);
      if (!paging.isPresent(entry, level)) {
        continue;
      }
      long vaddr = firstVaddr | (long) i << shift;
      if (isTop) {
        vaddr = paging.canonical(vaddr);
      }
      if (isElsewhere(vaddr, shift)) {
        continue;
      }
      if (paging.isLeaf(entry, level)) {
        long first = memory.pfn(paging.target(entry, level));
        for (long pfn : wanted.subSet(first, true, first + memory.pfn(1L << shift), false)) {
          found.putIfAbsent(pfn, vaddr + memory.paddr(pfn - first));
        }
      } else {
        visit(paging.target(entry, level), level - 1, vaddr);
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
