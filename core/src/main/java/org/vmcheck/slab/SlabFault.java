package org.vmcheck.slab;

import java.util.List;
import org.vmcheck.dump.PageRead;
import org.vmcheck.kernel.ListWalk;
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
  /// @param head its first object
  record Broken(Slab slab, int cpu, long head, Freelist list) implements SlabFault {
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

  /// Bytes around or in an object that a debugging option of the allocator fixes and that are
  /// different.
  ///
  /// @param index of the object, -1 for the end of the slab
  /// @param free whether the object is free
  /// @param zone which bytes
  /// @param address of the first wrong byte
  /// @param end address behind the last wrong byte
  /// @param wrong how many bytes of these are wrong
  /// @param expected the byte that belongs there; -1 where the rule is another
  record Pattern(
      Slab slab,
      int index,
      boolean free,
      Zone zone,
      long address,
      long end,
      int wrong,
      int expected,
      String why)
      implements SlabFault {
    @Override
    public SlabCache cache() {
      return slab.cache();
    }
  }

  /// Parts of an object whose bytes are fixed.
  enum Zone {
    LEFT_RED_ZONE("left red zone"),
    RIGHT_RED_ZONE("right red zone"),
    POISON("poison"),
    PADDING("padding"),
    SLAB_TAIL("tail of the slab"),
    TRACKING("tracking data"),
    ZEROED("zeroed free object");

    private final String words;

    Zone(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }
  }

  /// A counter that disagrees with what it counts.
  ///
  /// @param slab null for a counter of a node or cache
  /// @param counter the member, by the kernel's names
  /// @param address of the word that holds it
  record Count(
      SlabCache cache,
      Slab slab,
      String counter,
      long address,
      long expected,
      long actual,
      String why)
      implements SlabFault {}

  /// A page marked as a slab whose `slab_cache` is no cache, or not the one that keeps the slab.
  ///
  /// @param cache the cache that keeps it; null if no list has it
  /// @param slab address of the descriptor
  /// @param address of the word `slab_cache`
  record Owner(SlabCache cache, long slab, long address, long pfn, long slabCache, String why)
      implements SlabFault {}

  /// A page marked as a slab inside another slab.
  ///
  /// @param address of its descriptor
  /// @param slab address of the descriptor of the slab around it
  /// @param pages of that
  record Overlap(long address, long pfn, long slab, long pages) implements SlabFault {
    @Override
    public SlabCache cache() {
      return null;
    }
  }

  /// A page descriptor of a slab that does not say what each of its kind says.
  ///
  /// @param slab address of the slab's first descriptor
  /// @param pfn of the page described
  /// @param address of the word that is wrong
  /// @param raw what it holds
  /// @param member the word by the kernel's names
  record Descriptor(
      SlabCache cache, long slab, long pfn, long address, long raw, String member, String why)
      implements SlabFault {}

  /// A slab in a place where it must not be, in two, or in none.
  ///
  /// @param places where it is
  /// @param rule that is broken
  /// @param address of the word that says otherwise
  record Place(
      Slab slab, List<SlabPlace> places, PlaceRule rule, long address, long raw, String why)
      implements SlabFault {
    public Place {
      places = List.copyOf(places);
    }

    @Override
    public SlabCache cache() {
      return slab.cache();
    }
  }

  /// Rules of where a slab may be.
  enum PlaceRule {
    IN_ONE_PLACE("places"),
    ON_A_LIST("on no list"),
    ON_THE_LIST_OF_ITS_NODE("node"),
    FROZEN_WHERE_A_CPU_HAS_IT("frozen"),
    NOT_FROZEN_WHERE_NO_CPU_HAS_IT("not frozen"),
    AS_FROZEN_AS_ITS_NEIGHBOURS("frozen of a cpu's partial list"),
    NOT_FULL_ON_A_PARTIAL_LIST("not full");

    private final String id;

    PlaceRule(String id) {
      this.id = id;
    }

    /// Its name in fingerprints: stays, however sentences are worded.
    public String id() {
      return id;
    }
  }

  /// A list whose links do not agree.
  record Links(SlabCache cache, String list, long address, ListWalk walk) implements SlabFault {}

  /// A list that leads to a page that is no slab of the cache.
  ///
  /// @param address of the word that leads there
  /// @param raw what it holds
  record Stray(SlabCache cache, String list, long address, long raw, long pfn, String why)
      implements SlabFault {}

  /// An entry of an array of free objects (a sheaf, an array cache of SLAB, a slab's array of free
  /// indices) that cannot be right.
  ///
  /// @param slab the slab it points into; null if into none
  /// @param object index of the object it names; -1 if none starts there
  /// @param array the array, and where it is kept
  /// @param address of the entry
  /// @param raw what it holds
  /// @param isTwiceFree whether the object is free in another place too
  record Entry(
      SlabCache cache,
      Slab slab,
      int object,
      String array,
      long address,
      long raw,
      boolean isTwiceFree,
      String why)
      implements SlabFault {}

  /// A word that keeps a sheaf, or of a sheaf's head, that cannot be right.
  ///
  /// @param sheaf the sheaf by its place
  /// @param member the word by the kernel's names
  /// @param address of it
  /// @param raw what it holds
  /// @param right what it must hold; -1 if that is not known
  record Sheaf(
      SlabCache cache, String sheaf, String member, long address, long raw, long right, String why)
      implements SlabFault {}

  /// A cache, or one of its parts, with numbers that cannot be.
  ///
  /// @param member the number by the kernel's names
  record Insane(SlabCache cache, String member, long address, String why) implements SlabFault {}

  /// A slab of which the dump does not hold all pages, and none of whose freelists ends there.
  ///
  /// @param address of the first byte that cannot be read
  /// @param objects whose slots lie on such pages
  record Absent(Slab slab, long address, int objects, PageRead why) implements SlabFault {
    @Override
    public SlabCache cache() {
      return slab.cache();
    }
  }

  /// A pointer of a cache that leads to nothing that can be read.
  ///
  /// @param member of `kmem_cache`, by the kernel's names
  /// @param address of the pointer
  /// @param raw what it holds
  /// @param target what is not there, a noun
  record Wild(SlabCache cache, String member, long address, long raw, String target, MemoryRead why)
      implements SlabFault {}

  /// A structure of the allocator that cannot be read.
  ///
  /// @param what the structure and whose it is, by the kernel's names
  /// @param others how many more of its kind cannot be read
  record Unread(SlabCache cache, String what, int others, long address, MemoryRead why)
      implements SlabFault {
    /// The structure, and how many more, in words.
    public String words() {
      return others == 0 ? what : what + " (and " + others + " more)";
    }
  }
}
