package org.vmcheck.slab;

import org.junit.jupiter.api.Test;
import org.vmcheck.arch.X86_64Paging;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.testing.SparseMemory;
import org.vmcheck.testing.Work;

/// Lists in a dump take work in proportion to their nodes, however they are broken.
class KernelWorkTest {
  private static final long DIRECT = 0xffff888000000000L;
  private static final int NODE = 16;

  /// Which node a list is broken at, and where its `next` leads.
  private record Break(int node, int to) {}

  private static long address(int node) {
    return DIRECT + 4096 + (long) node * NODE;
  }

  private static final long IMAGE = 0xffff_ffff_8000_0000L;

  /// A list whose head is node 0, with one `next` that is wrong.
  private static VirtualMemory list(int size, Break broken) {
    SparseMemory memory = new SparseMemory();
    for (int i = 0; i < size; i++) {
      int next = i == broken.node ? broken.to : (i + 1) % size;
      memory.writeU64(address(i) - DIRECT, address(next));
      memory.writeU64(address(i) - DIRECT + 8, address((i + size - 1) % size));
    }
    AddressMap map =
        new AddressMap(
            new AddressMap.Image(IMAGE, IMAGE + 4096, IMAGE, 0),
            IMAGE,
            0,
            new AddressMap.DirectMap(DIRECT, DIRECT, DIRECT + (1L << 30)),
            0,
            0);
    return new VirtualMemory(memory, new X86_64Paging(memory, 0, 4, 0), map);
  }

  @Test
  void listsThatAreWholeOrBroken() throws Exception {
    Work.growsLinearly(500, size -> list(size, new Break(-1, 0)), KernelWorkTest::walk);
    Work.growsLinearly(
        500, size -> list(size, new Break(size - 1, size / 2)), KernelWorkTest::walk);
    Work.growsLinearly(500, size -> list(size, new Break(size / 2, 1)), KernelWorkTest::walk);
    Work.growsLinearly(500, size -> list(size, new Break(0, size / 2)), KernelWorkTest::walk);
  }

  private static void walk(VirtualMemory memory) {
    ListWalk.walk(memory, address(0), 1 << 20);
  }
}
