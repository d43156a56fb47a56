package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.PerCpu;
import org.vmcheck.kernel.StructRead;
import org.vmcheck.kernel.StructRef;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;

/// The array caches of the SLAB allocator: objects that CPUs and nodes hold, free for their users
/// and active for their slabs (Linux `mm/slab.c`, `struct array_cache`).
final class ArrayCaches {
  /// array_cache.avail of the largest tunable; real ones are at most a few hundred.
  private static final int MAX_AVAIL = 1 << 16;

  private static final int MAX_TWICE_FREE = 20_000;

  private final Kernel kernel;
  private final VirtualMemory memory;
  private final ClassicSlabLayout layout;
  private final Consumer<SlabFault> report;
  private final List<ArrayCache> arrays = new ArrayList<>();
  private final List<TwiceFree> twiceFree = new ArrayList<>();
  private long dropped;

  /// By the address of the cache: how many objects its arrays hold, and the most that one of them
  /// can, for no step moves more at once.
  private final Map<Long, Long> held = new HashMap<>();

  private final Map<Long, Long> mostMoved = new HashMap<>();

  /// The objects of all arrays, by the place of the array in `arrays`.
  private final HeldObjects cached = new HeldObjects();

  /// Entries that some slab accounted for.
  private boolean[] seen = new boolean[0];

  @SuppressWarnings("ArrayRecordComponent") // private, never compared
  private record ArrayCache(
      SlabCache cache, String place, long address, int avail, int batch, long[] entries) {}

  /// An entry whose object is free in another place too: by damage, or because a CPU is moving it.
  ///
  /// @param other index of the entry that it is also in; -1 if it is free in its slab
  private record TwiceFree(int entry, int other, Slab slab, int object, String why) {
    int[] both() {
      return new int[] {entry, other};
    }
  }

  /// @param report takes what is wrong with an array
  ArrayCaches(Kernel kernel, ClassicSlabLayout layout, Consumer<SlabFault> report) {
    this.kernel = kernel;
    this.memory = kernel.memory();
    this.layout = layout;
    this.report = report;
  }

  /// How many objects the arrays of a cache hold.
  long held(SlabCache cache) {
    return held.getOrDefault(cache.address(), 0L);
  }

  /// The most objects that one array of a cache can hold.
  long mostMoved(SlabCache cache) {
    return mostMoved.getOrDefault(cache.address(), 0L);
  }

  /// Entries beyond the number that is kept.
  long dropped() {
    return dropped;
  }

  /// The arrays that hold objects of a slab, with these.
  List<SlabView.FreeObjects> holding(Slab slab) {
    Map<Integer, SlabView.Held> objects = new TreeMap<>();
    for (int i = cached.from(slab.base());
        i < cached.count() && slab.index(cached.object(i)) >= 0;
        i++) {
      if (arrays.get(cached.holder(i)).cache.address() == slab.cache().address()) {
        objects
            .computeIfAbsent(cached.holder(i), _ -> new SlabView.Held())
            .add(slab.index(cached.object(i)), wordOf(i));
      }
    }
    List<SlabView.FreeObjects> lists = new ArrayList<>();
    objects.forEach(
        (holder, of) -> lists.add(of.in(SlabView.Kind.ARRAY, arrays.get(holder).place)));
    return lists;
  }

  void read(SlabCache cache) {
    PerCpu perCpu = kernel.perCpu();
    for (int i = 0; i < perCpu.cpus().size(); i++) {
      read(cache, "array_cache of cpu " + perCpu.cpus().get(i), perCpu.address(cache.cpuSlab(), i));
    }
    for (SlabCache.Node node : cache.nodes()) {
      if (!(StructRef.read(memory, layout.node(), node.address()) instanceof StructRef lists)) {
        continue;
      }
      long shared = lists.has("shared") ? lists.get("shared") : 0;
      if (shared != 0) {
        read(cache, "shared array_cache of node " + node.id(), shared);
      }
      long alien = lists.has("alien") ? lists.get("alien") : 0;
      if (alien != 0 && layout.alienArrayAt() >= 0) {
        for (SlabCache.Node other : cache.nodes()) {
          long pointer = kernel.word(alien + 8L * other.id()).orElse(0);
          if (pointer != 0) {
            read(
                cache,
                "alien_cache of node %d for node %d".formatted(node.id(), other.id()),
                pointer + layout.alienArrayAt());
          }
        }
      }
    }
  }

  private void read(SlabCache cache, String place, long address) {
    StructRead read = StructRef.read(memory, layout.arrayCache(), address, layout.entryAt());
    if (!(read instanceof StructRef array)) {
      report.accept(
          new SlabFault.Unread(cache, place, 0, address, ((StructRead.Unread) read).why()));
      return;
    }
    long avail = array.get("avail");
    long limit = array.has("limit") ? array.get("limit") : MAX_AVAIL;
    mostMoved.merge(cache.address(), Math.min(limit, MAX_AVAIL), Math::max);
    if (avail > Math.min(limit, MAX_AVAIL)) {
      report.accept(
          new SlabFault.Count(
              cache,
              null,
              "array_cache.avail in the " + place,
              array.addressOf("avail"),
              limit,
              avail,
              "at most array_cache.limit"));
      return;
    }
    if (avail == 0) {
      return;
    }
    MemoryRead entries = memory.read(address + layout.entryAt(), (int) avail * 8);
    if (!(entries instanceof MemoryRead.Bytes(ByteView words))) {
      report.accept(new SlabFault.Unread(cache, place, 0, address, entries));
      return;
    }
    long[] pointers = new long[(int) avail];
    Arrays.setAll(pointers, i -> words.u64(8L * i));
    long batch = array.has("batchcount") ? array.get("batchcount") : 0;
    arrays.add(
        new ArrayCache(
            cache, place, address, (int) avail, (int) Math.min(batch, MAX_AVAIL), pointers));
    held.merge(cache.address(), avail, Long::sum);
  }

  /// Makes the arrays that were read ready to be asked.
  void sort() {
    for (int i = 0; i < arrays.size(); i++) {
      for (long entry : arrays.get(i).entries) {
        cached.add(entry, i);
      }
    }
    cached.sort();
    seen = new boolean[cached.count()];
  }

  /// Entries that no slab accounted for.
  void strayEntries(MemMap memMap) {
    for (int i = 0; i < cached.count(); i++) {
      // Of a slab that could not be walked something else was said.
      if (!seen[i] && !memMap.isSlab(cached.object(i))) {
        entry(i, null, -1, false, "no slab of a known cache is there");
      }
    }
  }

  private void entry(int index, Slab slab, int object, boolean isTwiceFree, String why) {
    ArrayCache array = arrays.get(cached.holder(index));
    report.accept(
        new SlabFault.Entry(
            array.cache,
            slab,
            object,
            array.place,
            wordOf(index),
            cached.object(index),
            isTwiceFree,
            why));
  }

  /// Address of the word of its array that holds an entry: the last, if it is there twice.
  private long wordOf(int index) {
    ArrayCache array = arrays.get(cached.holder(index));
    int at = array.avail - 1;
    while (at > 0 && array.entries[at] != cached.object(index)) {
      at--;
    }
    return array.address + layout.entryAt() + 8L * at;
  }

  /// Judges the objects that are free twice. Who gives objects of an array back to their slabs, or
  /// to the node's array, works from its first entry on and takes them out of it last, all at once:
  /// until then they are in both places (`cache_flusharray`, `drain_array_locked`).
  void settleTwiceFree(List<SlabCache> caches, Consumer<TransientState> transients) {
    Map<Integer, Set<Long>> objects = new TreeMap<>();
    for (TwiceFree twice : twiceFree) {
      for (int entry : twice.other < 0 ? new int[] {twice.entry} : twice.both()) {
        objects
            .computeIfAbsent(cached.holder(entry), _ -> new HashSet<>())
            .add(cached.object(twice.entry));
      }
    }
    Map<Long, Long> locked = new HashMap<>();
    for (SlabCache cache : caches) {
      locked.put(cache.address(), cache.nodes().stream().filter(SlabCache.Node::isLocked).count());
    }
    Set<Integer> given = new HashSet<>();
    objects.forEach(
        (holder, twice) -> {
          ArrayCache array = arrays.get(holder);
          int count = twice.size();
          // list_lock is given back an instant before the entries are taken out: a batch of them.
          boolean isBatch = count > 1 && count == array.batch;
          if (!isStart(array, twice)
              || (!isBatch && locked.merge(array.cache.address(), -1L, Long::sum) < 0)) {
            return;
          }
          given.add(holder);
          transients.accept(
              new TransientState(
                  array.cache,
                  "the first %d objects of the %s are free in another place too"
                      .formatted(count, array.place),
                  isBatch ? "a CPU gives back a batch of them" : "list_lock is held"));
        });
    for (TwiceFree twice : twiceFree) {
      if (!given.contains(cached.holder(twice.entry))
          && (twice.other < 0 || !given.contains(cached.holder(twice.other)))) {
        entry(twice.entry, twice.slab, twice.object, true, twice.why);
      }
    }
  }

  /// Whether these objects are the first ones of an array, in any order.
  private static boolean isStart(ArrayCache array, Set<Long> objects) {
    for (int i = 0; i < objects.size(); i++) {
      if (!objects.contains(array.entries[i])) {
        return false;
      }
    }
    return true;
  }

  /// Entries of array caches that point into a slab: each an active object of it, none twice.
  void entriesOf(Slab slab, boolean[] free) {
    long end = slab.base() + (long) slab.cache().objects() * slab.cache().size();
    for (int i = cached.from(slab.base()); i < cached.count() && cached.object(i) < end; i++) {
      seen[i] = true;
      int index = slab.index(cached.object(i));
      if (index < 0) {
        entry(i, slab, index, false, "no object starts there");
      } else if (arrays.get(cached.holder(i)).cache.address() != slab.cache().address()) {
        entry(i, slab, index, false, "the object is one of cache " + slab.cache().name());
      } else if (cached.isSameAsBefore(i)) {
        String why = "the object is also in the " + arrays.get(cached.holder(i - 1)).place;
        if (cached.holder(i - 1) == cached.holder(i)) {
          entry(i, slab, index, true, why);
        } else {
          twiceFree(new TwiceFree(i, i - 1, slab, index, why));
        }
      } else if (free[index]) {
        twiceFree(new TwiceFree(i, -1, slab, index, "the object is also free in its slab"));
      }
    }
  }

  private void twiceFree(TwiceFree twice) {
    if (twiceFree.size() < MAX_TWICE_FREE) {
      twiceFree.add(twice);
    } else {
      dropped++;
    }
  }
}
