package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import java.util.function.Predicate;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListPoison;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.kernel.PerCpu;
import org.vmcheck.kernel.StructRead;
import org.vmcheck.kernel.StructRef;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;

/// One pass over every slab of the SLAB allocator, in the terms of [SlabSurvey].
///
/// Every slab is on one of three lists of its node; the array caches of CPUs and nodes hold objects
/// that are free for their users and that the slab counts as active. Source: Linux `mm/slab.c`.
///
/// A CPU may be stopped while it moves objects between a slab and an array cache, with list_lock
/// held (`cache_alloc_refill`, `free_block`, `cache_grow_end`, `drain_freelist`): what is then
/// behind for one step is an instant and no fault. It works on one slab of the node at a time.
final class ClassicSlabSurvey {
  private static final int CHUNK = 1 << 15;
  private static final int MAX_FAULTS = 20_000;
  private static final int MAX_LIST = 1 << 24;
  private static final String FREE_INDICES = "array of free indices";

  /// array_cache.avail of the largest tunable; real ones are at most a few hundred.
  private static final int MAX_AVAIL = 1 << 16;

  /// CFLGS_OFF_SLAB: the index array lies in an object of another cache; otherwise at the end of
  /// the slab, or in a free object of it.
  private static final long OFF_SLAB = 0x8000_0000L;

  private final Kernel kernel;
  private final VirtualMemory memory;
  private final MemMap memMap;
  private final ClassicSlabLayout layout;
  private final BooleanSupplier isOver;
  private final List<SlabFault> faults = new ArrayList<>();
  private final Map<Long, Counts> counts = new HashMap<>();
  private final Map<String, Long> unreadable = new TreeMap<>();
  private final Set<Long> listed = new HashSet<>();
  private long dropped;
  private long slabs;
  private long objects;
  private long freeIndices;
  private long unreadableDescriptors;
  private long kfencePages;
  private long pendingSlabs;

  /// Objects that array caches hold, ascending, each with the index of its array.
  private long[] cached = new long[0];

  private int[] holders = new int[0];
  private final List<ArrayCache> arrays = new ArrayList<>();

  @SuppressWarnings("ArrayRecordComponent") // private, never compared
  private record ArrayCache(
      SlabCache cache, String place, long address, int avail, int batch, long[] entries) {}

  private static final class Counts {
    long slabs;
    long active;
    long inArrays;

    /// The most objects that one array of the cache can hold: no step moves more at once.
    long mostMoved;

    /// Slabs that no list has, as a CPU leaves them that moves or makes one.
    int unlisted;

    /// Those on no list that are empty: a CPU is about to give their pages back, or made them.
    int emptyUnlisted;
  }

  private final List<TransientState> transients = new ArrayList<>();

  /// Link of the slab that a node's list has half; its descriptor is that of no lost slab.
  private final Set<Long> halfLinked = new HashSet<>();

  private final List<TwiceFree> twiceFree = new ArrayList<>();

  /// An entry whose object is free in another place too: by damage, or because a CPU is moving it.
  ///
  /// @param other index of the entry that it is also in; -1 if it is free in its slab
  private record TwiceFree(int entry, int other, Slab slab, int object, String why) {
    int[] both() {
      return new int[] {entry, other};
    }
  }

  /// The lists of a node, each with what it says of the slabs on it.
  private enum SlabList {
    PARTIAL("slabs_partial", SlabPlace.Kind.NODE_PARTIAL),
    FULL("slabs_full", SlabPlace.Kind.NODE_FULL),
    FREE("slabs_free", SlabPlace.Kind.NODE_FREE);

    private final String member;
    private final SlabPlace.Kind place;

    SlabList(String member, SlabPlace.Kind place) {
      this.member = member;
      this.place = place;
    }
  }

  ClassicSlabSurvey(
      Kernel kernel, MemMap memMap, ClassicSlabLayout layout, BooleanSupplier isOver) {
    this.kernel = kernel;
    this.memory = kernel.memory();
    this.memMap = memMap;
    this.layout = layout;
    this.isOver = isOver;
  }

  SlabSurvey survey() {
    SlabCaches caches = SlabCaches.of(kernel);
    caches.eachFault(kernel, this::report);
    List<SlabCache> sane = new ArrayList<>();
    for (SlabCache cache : caches.caches()) {
      if (cache.isSane()) {
        sane.add(cache);
        arrayCaches(cache);
      } else {
        report(PartialLists.insane(cache));
      }
    }
    sortArrays();
    boolean finished = true;
    for (SlabCache cache : sane) {
      finished = !isOver.getAsBoolean();
      if (!finished) {
        break;
      }
      for (SlabCache.Node node : cache.nodes()) {
        node(cache, node);
      }
    }
    finished = finished && scan(caches);
    sane.forEach(this::unlisted);
    twiceFree(sane);
    if (finished) {
      strayEntries();
    }
    List<SlabSurvey.Tally> tallies = new ArrayList<>();
    for (SlabCache cache : caches.caches()) {
      Counts count = counts.getOrDefault(cache.address(), new Counts());
      tallies.add(
          new SlabSurvey.Tally(
              cache,
              count.slabs,
              count.slabs * Math.max(0, cache.objects()),
              count.active,
              count.inArrays,
              0));
    }
    faults.sort(
        Comparator.<SlabFault, String>comparing(f -> f.cache() == null ? "" : f.cache().name())
            .thenComparing(SlabFault::address, Long::compareUnsigned)
            .thenComparing(SlabFault::toString));
    return new SlabSurvey(
        new FreelistDecoder.Vote(FreelistDecoder.PLAIN, 0, 0, 0),
        tallies,
        faults,
        transients,
        dropped,
        slabs,
        objects,
        freeIndices,
        0,
        0,
        unreadable,
        unreadableDescriptors,
        kfencePages,
        pendingSlabs,
        finished);
  }

  private Counts countsOf(SlabCache cache) {
    return counts.computeIfAbsent(cache.address(), _ -> new Counts());
  }

  private void report(SlabFault fault) {
    if (faults.size() < MAX_FAULTS) {
      faults.add(fault);
    } else {
      dropped++;
    }
  }

  // ---- array caches

  private void arrayCaches(SlabCache cache) {
    PerCpu perCpu = kernel.perCpu();
    for (int i = 0; i < perCpu.cpus().size(); i++) {
      arrayCache(
          cache, "array_cache of cpu " + perCpu.cpus().get(i), perCpu.address(cache.cpuSlab(), i));
    }
    for (SlabCache.Node node : cache.nodes()) {
      if (!(StructRef.read(memory, layout.node(), node.address()) instanceof StructRef lists)) {
        continue;
      }
      long shared = lists.has("shared") ? lists.get("shared") : 0;
      if (shared != 0) {
        arrayCache(cache, "shared array_cache of node " + node.id(), shared);
      }
      long alien = lists.has("alien") ? lists.get("alien") : 0;
      if (alien != 0 && layout.alienArrayAt() >= 0) {
        for (SlabCache.Node other : cache.nodes()) {
          long pointer = kernel.word(alien + 8L * other.id()).orElse(0);
          if (pointer != 0) {
            arrayCache(
                cache,
                "alien_cache of node %d for node %d".formatted(node.id(), other.id()),
                pointer + layout.alienArrayAt());
          }
        }
      }
    }
  }

  private void arrayCache(SlabCache cache, String place, long address) {
    StructRead read = StructRef.read(memory, layout.arrayCache(), address, layout.entryAt());
    if (!(read instanceof StructRef array)) {
      report(new SlabFault.Unread(cache, place, 0, address, ((StructRead.Unread) read).why()));
      return;
    }
    long avail = array.get("avail");
    long limit = array.has("limit") ? array.get("limit") : MAX_AVAIL;
    Counts counted = countsOf(cache);
    counted.mostMoved = Math.max(counted.mostMoved, Math.min(limit, MAX_AVAIL));
    if (avail > Math.min(limit, MAX_AVAIL)) {
      report(
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
      report(new SlabFault.Unread(cache, place, 0, address, entries));
      return;
    }
    long[] pointers = new long[(int) avail];
    Arrays.setAll(pointers, i -> words.u64(8L * i));
    long batch = array.has("batchcount") ? array.get("batchcount") : 0;
    arrays.add(
        new ArrayCache(
            cache, place, address, (int) avail, (int) Math.min(batch, MAX_AVAIL), pointers));
    counted.inArrays += avail;
  }

  private void sortArrays() {
    int count = arrays.stream().mapToInt(ArrayCache::avail).sum();
    cached = new long[count];
    int at = 0;
    for (ArrayCache array : arrays) {
      System.arraycopy(array.entries, 0, cached, at, array.avail);
      at += array.avail;
    }
    Arrays.sort(cached);
    holders = new int[count];
    Arrays.fill(holders, -1);
    for (int i = 0; i < arrays.size(); i++) {
      for (long entry : arrays.get(i).entries) {
        int place = first(entry);
        while (holders[place] >= 0) {
          place++;
        }
        holders[place] = i;
      }
    }
    seen = new boolean[count];
  }

  /// Entries that some slab accounted for.
  private boolean[] seen = new boolean[0];

  /// Index of the first element of `cached` not below a value.
  private int first(long value) {
    int low = 0;
    int high = cached.length;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (cached[middle] < value) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  private void strayEntries() {
    for (int i = 0; i < cached.length; i++) {
      // Of a slab that could not be walked something else was said.
      if (!seen[i] && !memMap.isSlab(cached[i])) {
        entry(i, null, -1, false, "no slab of a known cache is there");
      }
    }
  }

  private void entry(int index, Slab slab, int object, boolean isTwiceFree, String why) {
    ArrayCache array = arrays.get(holders[index]);
    report(
        new SlabFault.Entry(
            array.cache,
            slab,
            object,
            array.place,
            wordOf(index),
            cached[index],
            isTwiceFree,
            why));
  }

  /// Address of the word of its array that holds an entry: the last, if it is there twice.
  private long wordOf(int index) {
    ArrayCache array = arrays.get(holders[index]);
    int at = array.avail - 1;
    while (at > 0 && array.entries[at] != cached[index]) {
      at--;
    }
    return array.address + layout.entryAt() + 8L * at;
  }

  /// Judges the objects that are free twice. Who gives objects of an array back to their slabs, or
  /// to the node's array, works from its first entry on and takes them out of it last, all at once:
  /// until then they are in both places (`cache_flusharray`, `drain_array_locked`).
  private void twiceFree(List<SlabCache> caches) {
    Map<Integer, Set<Long>> objects = new TreeMap<>();
    for (TwiceFree twice : twiceFree) {
      for (int entry : twice.other < 0 ? new int[] {twice.entry} : twice.both()) {
        objects.computeIfAbsent(holders[entry], _ -> new HashSet<>()).add(cached[twice.entry]);
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
          transients.add(
              new TransientState(
                  array.cache,
                  "the first %d objects of the %s are free in another place too"
                      .formatted(count, array.place),
                  isBatch ? "a CPU gives back a batch of them" : "list_lock is held"));
        });
    for (TwiceFree twice : twiceFree) {
      if (!given.contains(holders[twice.entry])
          && (twice.other < 0 || !given.contains(holders[twice.other]))) {
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

  // ---- slabs

  private void node(SlabCache cache, SlabCache.Node node) {
    if (!(StructRef.read(memory, layout.node(), node.address()) instanceof StructRef lists)) {
      return;
    }
    long total = 0;
    long free = 0;
    long freeObjects = 0;
    boolean isWhole = true;
    for (SlabList list : SlabList.values()) {
      if (!lists.has(list.member)) {
        continue;
      }
      String name = "%s of node %d".formatted(list.member, node.id());
      long head = lists.addressOf(list.member);
      ListWalk walk = ListWalk.walk(memory, head, MAX_LIST);
      if (isHalfLinked(node, walk, head)) {
        halfLinked.add(walk.bad().orElseThrow().value());
        transients.add(
            new TransientState(
                cache, "one slab is linked half into the " + name, "list_lock is held"));
      } else if (!walk.isClosed()) {
        isWhole &= walk.isRecovered();
        report(
            new SlabFault.Links(
                cache, name, walk.bad().map(ListWalk.BadLink::address).orElse(head), walk));
      }
      for (long link : walk.nodes()) {
        total++;
        free += list == SlabList.FREE ? 1 : 0;
        freeObjects += slab(cache, list, name, link);
      }
    }
    boolean isMoved = false;
    for (SlabFault.Count moved : List.copyOf(moving)) {
      if (node.isLocked() && !isMoved) {
        isMoved = true;
        transients.add(
            new TransientState(
                cache,
                "active of the slab at 0x%x is %d and %s"
                    .formatted(moved.slab().address(), moved.actual(), moved.why()),
                "list_lock is held"));
      } else {
        report(moved);
      }
    }
    moving.clear();
    if (isWhole) {
      // A slab off its list, or one about to be counted; its objects, and those of one batch.
      total(cache, node, lists, "total_slabs", total, 0, 1, "slabs on the node's three lists");
      total(cache, node, lists, "free_slabs", free, -1, 1, "slabs on slabs_free");
      total(
          cache,
          node,
          lists,
          "free_objects",
          freeObjects,
          -cache.objects(),
          countsOf(cache).mostMoved + cache.objects(),
          "objects not active in the node's slabs");
    }
  }

  /// Slabs that may be the one that a CPU takes objects from; one a node is.
  private final List<SlabFault.Count> moving = new ArrayList<>();

  /// Between the two stores of list_add or list_del a `prev` names the slab that comes, or the one
  /// before that which goes.
  private boolean isHalfLinked(SlabCache.Node node, ListWalk walk, long head) {
    return node.isLocked()
        && walk.isRecovered()
        && walk.bad().orElseThrow().member().equals("prev")
        && (walk.bad().get().value() == head
            || memMap.pfn(walk.bad().get().value() - layout.listAt()) >= 0);
  }

  /// @param least how far below what was counted it may be while the lock is held
  /// @param most how far above
  private void total(
      SlabCache cache,
      SlabCache.Node node,
      StructRef lists,
      String member,
      long expected,
      long least,
      long most,
      String why) {
    if (!lists.has(member) || lists.get(member) == expected) {
      return;
    }
    long off = lists.get(member) - expected;
    if (node.isLocked() && off >= least && off <= most) {
      transients.add(
          new TransientState(
              cache,
              "%s of node %d is %d where %d is right: %s"
                  .formatted(member, node.id(), lists.get(member), expected, why),
              "list_lock is held"));
    } else {
      report(
          new SlabFault.Count(
              cache,
              null,
              "kmem_cache_node." + member,
              lists.addressOf(member),
              expected,
              lists.get(member),
              why));
    }
  }

  /// Looks at one slab; returns how many of its objects are not active.
  private long slab(SlabCache cache, SlabList list, String listName, long link) {
    long address = link - layout.listAt();
    long pfn = memMap.pfn(address);
    if (pfn < 0
        || !(memory.read(address, memMap.shape().size())
            instanceof MemoryRead.Bytes(ByteView view))) {
      report(
          new SlabFault.Stray(
              cache,
              listName,
              link,
              address,
              pfn,
              "0x%x is no page descriptor".formatted(address)));
      return 0;
    }
    byte[] bytes = view.bytes();
    listed.add(address);
    if (!memMap.isSlabHead(pfn, bytes, 0)) {
      report(
          new SlabFault.Stray(
              cache,
              listName,
              link,
              address,
              pfn,
              "page frame 0x%x is not marked as a slab".formatted(pfn)));
      return 0;
    }
    long owner = MemMap.word(bytes, layout.slabCacheAt());
    if (owner != cache.address()) {
      report(
          new SlabFault.Owner(
              cache,
              address,
              address + layout.slabCacheAt(),
              pfn,
              owner,
              "the slab is on " + listName));
    }
    long start = memory.directMapPage(pfn);
    Slab slab = read(cache, address, pfn, bytes, 0);
    long firstObject = slab.base();
    int active = slab.inuse();
    long byteCount = slab.byteCount();
    slabs++;
    objects += cache.objects();
    Counts count = countsOf(cache);
    count.slabs++;
    if (firstObject < start
        || firstObject - start > byteCount - (long) cache.objects() * cache.size()) {
      report(
          new SlabFault.Stray(
              cache,
              "slab.s_mem",
              address + layout.firstObjectAt(),
              firstObject,
              pfn,
              "%d objects of %d bytes from there do not lie in the slab"
                  .formatted(cache.objects(), cache.size())));
      return 0;
    }
    if (active < 0 || active > cache.objects() || contradicts(list, active, cache)) {
      SlabFault.Count wrong =
          new SlabFault.Count(
              cache,
              slab,
              "slab.active",
              address + layout.activeAt(),
              switch (list) {
                case FULL -> cache.objects();
                case FREE -> 0;
                case PARTIAL -> Math.clamp(active, 1, Math.max(1, cache.objects() - 1));
              },
              active,
              "the slab is on " + listName);
      // Objects are taken from a slab before it is moved to the list that it then belongs to.
      boolean isTakenFrom =
          switch (list) {
            case PARTIAL -> active == cache.objects();
            case FREE -> active > 0 && active <= cache.objects();
            case FULL -> false;
          };
      if (isTakenFrom) {
        moving.add(wrong);
      } else {
        report(wrong);
      }
      if (active < 0 || active > cache.objects()) {
        return 0;
      }
    }
    count.active += active;
    boolean[] free = freeObjects(slab, start, byteCount);
    entriesOf(slab, free != null ? free : new boolean[cache.objects()]);
    return cache.objects() - (long) active;
  }

  /// The slab that the descriptor at `at` tells of; its base is its first object.
  private Slab read(SlabCache cache, long address, long pfn, byte[] bytes, int at) {
    return new Slab(
        cache,
        address,
        pfn,
        MemMap.word(bytes, at + layout.firstObjectAt()),
        cache.order(),
        cache.objects(),
        (int) MemMap.word(bytes, at + layout.activeAt()),
        false,
        MemMap.word(bytes, at + layout.freelistAt()),
        MemMap.word(bytes, at + layout.listAt()),
        MemMap.word(bytes, at + layout.listAt() + 8),
        MemMap.word(bytes, at));
  }

  private static boolean contradicts(SlabList list, int active, SlabCache cache) {
    return switch (list) {
      case PARTIAL -> active == 0 || active == cache.objects();
      case FULL -> active != cache.objects();
      case FREE -> active != 0;
    };
  }

  /// The objects that the slab's index array says are free; null if that cannot be told.
  private boolean[] freeObjects(Slab slab, long start, long byteCount) {
    SlabCache cache = slab.cache();
    boolean[] free = new boolean[cache.objects()];
    int count = cache.objects() - slab.inuse();
    if (count == 0) {
      return free;
    }
    long array = slab.freelist();
    boolean inSlab = array >= start && array - start < byteCount;
    if (((cache.flags() & OFF_SLAB) == 0) != inSlab) {
      report(
          new SlabFault.Stray(
              cache,
              "slab.freelist",
              slab.address() + layout.freelistAt(),
              array,
              slab.pfn(),
              inSlab
                  ? "the array of indices must not lie in the slab"
                  : "the array of indices must lie in the slab"));
      return null;
    }
    long from = array + (long) layout.indexSize() * slab.inuse();
    MemoryRead read = memory.read(from, count * layout.indexSize());
    if (!(read instanceof MemoryRead.Bytes(ByteView indices))) {
      if (read instanceof MemoryRead.Missing(long _, long _, var why)) {
        unreadable.merge(why.words(), 1L, Long::sum);
      }
      report(new SlabFault.Unread(cache, FREE_INDICES, 0, from, read));
      return null;
    }
    for (int i = 0; i < count; i++) {
      int index = layout.indexSize() == 1 ? indices.u8(i) : indices.u16(2L * i);
      long at = from + (long) i * layout.indexSize();
      if (index >= cache.objects()) {
        index(
            slab,
            -1,
            at,
            index,
            false,
            "the cache has %d objects a slab".formatted(cache.objects()));
        return null;
      }
      if (free[index]) {
        index(slab, index, at, index, true, "the index is there twice");
        return null;
      }
      free[index] = true;
      freeIndices++;
    }
    return free;
  }

  private void index(Slab slab, int object, long at, int raw, boolean isTwiceFree, String why) {
    report(
        new SlabFault.Entry(slab.cache(), slab, object, FREE_INDICES, at, raw, isTwiceFree, why));
  }

  /// Entries of array caches that point into a slab: each an active object of it, none twice.
  private void entriesOf(Slab slab, boolean[] free) {
    long end = slab.base() + (long) slab.cache().objects() * slab.cache().size();
    for (int i = first(slab.base()); i < cached.length && cached[i] < end; i++) {
      seen[i] = true;
      int index = slab.index(cached[i]);
      if (index < 0) {
        entry(i, slab, index, false, "no object starts there");
      } else if (arrays.get(holders[i]).cache.address() != slab.cache().address()) {
        entry(i, slab, index, false, "the object is one of cache " + slab.cache().name());
      } else if (i > 0 && cached[i - 1] == cached[i]) {
        String why = "the object is also in the " + arrays.get(holders[i - 1]).place;
        if (holders[i - 1] == holders[i]) {
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
    if (twiceFree.size() < MAX_FAULTS) {
      twiceFree.add(twice);
    } else {
      dropped++;
    }
  }

  // ---- views

  /// The slabs whose first page lies in a range of frames, of the caches asked for.
  void eachView(long firstPfn, long endPfn, Predicate<SlabCache> wanted, Predicate<SlabView> sink) {
    SlabCaches caches = SlabCaches.of(kernel);
    Map<Long, List<SlabPlace>> places = new HashMap<>();
    for (SlabCache cache : caches.caches()) {
      if (cache.isSane() && wanted.test(cache)) {
        arrayCaches(cache);
        places(cache, places);
      }
    }
    sortArrays();
    memMap.stream(
        firstPfn,
        endPfn,
        new MemMap.Visitor() {
          private boolean isEnough;

          @Override
          public void page(long pfn, byte[] bytes, int at) {
            if (isEnough || !memMap.isSlabHead(pfn, bytes, at)) {
              return;
            }
            SlabCache cache = caches.byAddress().get(MemMap.word(bytes, at + layout.slabCacheAt()));
            if (cache != null && cache.isSane() && wanted.test(cache)) {
              Slab slab = read(cache, memMap.descriptor(pfn), pfn, bytes, at);
              isEnough = !sink.test(view(slab, places.getOrDefault(slab.address(), List.of())));
            }
          }

          @Override
          public void unreadable(long first, long count) {}
        },
        memMap.newBuffer());
  }

  private void places(SlabCache cache, Map<Long, List<SlabPlace>> places) {
    for (SlabCache.Node node : cache.nodes()) {
      if (StructRef.read(memory, layout.node(), node.address()) instanceof StructRef lists) {
        for (SlabList list : SlabList.values()) {
          if (lists.has(list.member)) {
            SlabPlace place = new SlabPlace(list.place, cache, -1, node.id(), 0, 0, 0);
            for (long link :
                ListWalk.walk(memory, lists.addressOf(list.member), MAX_LIST).nodes()) {
              places.computeIfAbsent(link - layout.listAt(), _ -> new ArrayList<>(1)).add(place);
            }
          }
        }
      }
    }
  }

  private SlabView view(Slab slab, List<SlabPlace> places) {
    List<SlabView.FreeObjects> lists = new ArrayList<>();
    lists.add(indices(slab));
    Map<Integer, SlabView.Held> held = new TreeMap<>();
    for (int i = first(slab.base()); i < cached.length && slab.index(cached[i]) >= 0; i++) {
      if (arrays.get(holders[i]).cache.address() == slab.cache().address()) {
        held.computeIfAbsent(holders[i], _ -> new SlabView.Held())
            .add(slab.index(cached[i]), wordOf(i));
      }
    }
    held.forEach(
        (holder, objects) -> lists.add(objects.in(SlabView.Kind.ARRAY, arrays.get(holder).place)));
    return new SlabView(slab, places, lists);
  }

  /// The free objects by the slab's array of indices, up to the first index that cannot be.
  private SlabView.FreeObjects indices(Slab slab) {
    List<Integer> objects = new ArrayList<>();
    List<Long> words = new ArrayList<>();
    Freelist.End end = new Freelist.End.Closed();
    int active = slab.inuse();
    long headSlot = slab.address() + layout.freelistAt();
    if (active < 0 || active > slab.objects()) {
      end = new Freelist.End.BadPointer(Freelist.HEAD, headSlot, slab.freelist(), slab.freelist());
    } else if (active < slab.objects()) {
      int size = layout.indexSize();
      long from = slab.freelist() + (long) size * active;
      boolean[] free = new boolean[slab.objects()];
      int count = slab.objects() - active;
      int holder = Freelist.HEAD;
      switch (memory.read(from, count * size)) {
        case MemoryRead.Bytes(ByteView read) -> {
          for (int i = 0; i < count && end instanceof Freelist.End.Closed; i++) {
            int index = size == 1 ? read.u8(i) : read.u16(2L * i);
            long word = from + (long) i * size;
            if (index >= slab.objects() || free[index]) {
              end = new Freelist.End.BadPointer(holder, word, index, index);
            } else {
              free[index] = true;
              objects.add(index);
              words.add(word);
              holder = index;
            }
          }
        }
        case MemoryRead.Missing(long _, long _, PageRead why) ->
            end = new Freelist.End.Unreadable(holder, from, why);
        case MemoryRead.NotMapped _ ->
            end = new Freelist.End.BadPointer(holder, headSlot, slab.freelist(), slab.freelist());
      }
    }
    return new SlabView.FreeObjects(
        SlabView.Kind.LIST, FREE_INDICES, objects, words, new Freelist(objects.size(), end));
  }

  // ---- the page descriptors

  /// Looks for slabs that no list has.
  private boolean scan(SlabCaches caches) {
    // No list has a page of the pool, and its map count, which `active` lies over, is not touched.
    KfencePool kfence =
        KfencePool.of(
            kernel,
            memMap,
            (address, bytes) ->
                !listed.contains(address) && (int) bytes.u32(layout.activeAt()) <= 0);
    MemMap.Visitor visitor =
        new MemMap.Visitor() {
          @Override
          public void page(long pfn, byte[] bytes, int at) {
            if (!memMap.isSlabHead(pfn, bytes, at)) {
              return;
            }
            if (kfence.has(pfn)) {
              kfencePages++;
              return;
            }
            long address = memMap.descriptor(pfn);
            if (!listed.contains(address)) {
              unlisted(caches, address, pfn, bytes, at);
            }
          }

          @Override
          public void unreadable(long firstPfn, long count) {
            unreadableDescriptors += count;
          }
        };
    PageBuffer page = memMap.newBuffer();
    for (long first = 0; first < memMap.endPfn(); first += CHUNK) {
      if (isOver.getAsBoolean()) {
        return false;
      }
      memMap.stream(first, Math.min(first + CHUNK, memMap.endPfn()), visitor, page);
    }
    return true;
  }

  private void unlisted(SlabCaches caches, long address, long pfn, byte[] bytes, int at) {
    long owner = MemMap.word(bytes, at + layout.slabCacheAt());
    SlabCache cache = caches.byAddress().get(owner);
    if (cache == null && caches.isUnread(memory, memMap, owner)) {
      return; // Said at the cache.
    }
    if (cache == null) {
      report(
          new SlabFault.Owner(
              null,
              address,
              address + layout.slabCacheAt(),
              pfn,
              owner,
              "no cache has this address"));
      return;
    }
    int active = (int) MemMap.word(bytes, at + layout.activeAt());
    if (active == 0 && layout.flags().isTypesafeByRcu(cache)) {
      // Its pages are given back after a grace period; an rcu_head lies over its list_head.
      pendingSlabs++;
      return;
    }
    if (cache.isSane()) {
      Slab slab = read(cache, address, pfn, bytes, at);
      SlabFault.Place lost =
          new SlabFault.Place(
              slab,
              List.of(),
              SlabFault.PlaceRule.ON_A_LIST,
              address + layout.listAt(),
              slab.next(),
              "it is on no list");
      long link = address + layout.listAt();
      boolean isOnItsWay =
          halfLinked.contains(link)
              || ListPoison.isIn(slab.next(), slab.prev())
              || (slab.next() == link && slab.prev() == link);
      Counts count = countsOf(cache);
      if (active == 0) {
        count.emptyUnlisted++;
      } else if (isOnItsWay && count.unlisted < kernel.perCpu().cpus().size()) {
        count.unlisted++;
      } else {
        report(lost);
      }
    }
  }

  /// Slabs that were taken off a list and not put on another: a CPU makes or moves one at a time.
  private void unlisted(SlabCache cache) {
    int empty = countsOf(cache).emptyUnlisted;
    if (empty > 0) {
      transients.add(
          new TransientState(
              cache,
              empty == 1
                  ? "a slab without objects is on no list"
                  : empty + " slabs without objects are on no list",
              "a CPU makes it or gives it back"));
    }
    int count = countsOf(cache).unlisted;
    if (count > 0) {
      transients.add(
          new TransientState(
              cache,
              count == 1 ? "a slab is on no list" : count + " slabs are on no list",
              "a CPU holds one between two lists"));
    }
  }
}
