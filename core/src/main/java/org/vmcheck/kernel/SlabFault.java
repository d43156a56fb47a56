package org.vmcheck.kernel;

import java.util.List;
import org.vmcheck.memory.MemoryRead;

/// Something wrong with a slab, a list or a cache: a fact without a judgement.
public sealed interface SlabFault {
  /// The cache concerned; null when it cannot be told.
  SlabCache cache();

  /// Address of what is wrong, for a stable order of reports.
  long address();

  /// A freelist that does not end as it should.
  ///
  /// @param cpu whose freelist it is, -1 for the slab's own
  record Broken(Slab slab, int cpu, Freelist list) implements SlabFault {
    @Override
    public SlabCache cache() {
      return slab.cache();
    }

    @Override
    public long address() {
      return slab.address();
    }

    /// The list by the kernel's names.
    public String listName() {
      return cpu >= 0 ? "kmem_cache_cpu.freelist of cpu " + cpu : "slab.freelist";
    }
  }

  /// A counter that disagrees with what it counts.
  ///
  /// @param slab null for a counter of a node or cache
  /// @param counter the member, by the kernel's names
  /// @param address of the structure that holds it
  record Count(
      SlabCache cache,
      Slab slab,
      String counter,
      long address,
      long expected,
      long actual,
      String why)
      implements SlabFault {}

  /// A page marked as a slab whose `slab_cache` is no cache.
  record Owner(long address, long pfn, long slabCache) implements SlabFault {
    @Override
    public SlabCache cache() {
      return null;
    }
  }

  /// A slab in a place where it must not be, in two, or in none.
  ///
  /// @param places where it is
  record Place(Slab slab, List<SlabPlace> places, String why) implements SlabFault {
    public Place {
      places = List.copyOf(places);
    }

    @Override
    public SlabCache cache() {
      return slab.cache();
    }

    @Override
    public long address() {
      return slab.address();
    }
  }

  /// A list whose links do not agree.
  record Links(SlabCache cache, String list, long address, ListWalk walk) implements SlabFault {}

  /// A list that leads to a page that is no slab of the cache.
  record Stray(SlabCache cache, String list, long address, long pfn, String why)
      implements SlabFault {}

  /// A cache, or one of its parts, with numbers that cannot be.
  record Insane(SlabCache cache, long address, String why) implements SlabFault {}

  /// A structure of the allocator that cannot be read.
  record Unread(SlabCache cache, String what, long address, MemoryRead why) implements SlabFault {}
}
