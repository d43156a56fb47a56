package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListPoison;
import org.vmcheck.kernel.ListWalk;
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
  private final ArrayCaches arrays;
  private long dropped;
  private long slabs;
  private long objects;
  private long freeIndices;
  private long unreadableDescriptors;
  private long kfencePages;
  private long pendingSlabs;

  private static final class Counts {
    long slabs;
    long active;

    /// Slabs that no list has, as a CPU leaves them that moves or makes one.
    int unlisted;

    /// Those on no list that are empty: a CPU is about to give their pages back, or made them.
    int emptyUnlisted;
  }

  private final List<TransientState> transients = new ArrayList<>();

  /// Link of the slab that a node's list has half; its descriptor is that of no lost slab.
  private final Set<Long> halfLinked = new HashSet<>();

  ClassicSlabSurvey(
      Kernel kernel, MemMap memMap, ClassicSlabLayout layout, BooleanSupplier isOver) {
    this.kernel = kernel;
    this.memory = kernel.memory();
    this.memMap = memMap;
    this.layout = layout;
    this.isOver = isOver;
    this.arrays = new ArrayCaches(kernel, layout, this::report);
  }

  SlabSurvey survey() {
    SlabCaches caches = SlabCaches.of(kernel);
    caches.eachFault(kernel, this::report);
    List<SlabCache> sane = new ArrayList<>();
    for (SlabCache cache : caches.caches()) {
      if (cache.isSane()) {
        sane.add(cache);
        arrays.read(cache);
      } else {
        report(PartialLists.insane(cache));
      }
    }
    arrays.sort();
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
    arrays.settleTwiceFree(sane, transients::add);
    if (finished) {
      arrays.strayEntries(memMap);
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
              arrays.held(cache),
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
        dropped + arrays.dropped(),
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

  private void node(SlabCache cache, SlabCache.Node node) {
    if (!(StructRef.read(memory, layout.node(), node.address()) instanceof StructRef lists)) {
      return;
    }
    long total = 0;
    long free = 0;
    long freeObjects = 0;
    boolean isWhole = true;
    for (ClassicSlabList list : ClassicSlabList.values()) {
      if (!lists.has(list.member())) {
        continue;
      }
      String name = "%s of node %d".formatted(list.member(), node.id());
      long head = lists.addressOf(list.member());
      ListWalk walk = ListWalk.walk(memory, head, ClassicSlabList.MAX_SLABS);
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
        free += list == ClassicSlabList.FREE ? 1 : 0;
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
          arrays.mostMoved(cache) + cache.objects(),
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
  private long slab(SlabCache cache, ClassicSlabList list, String listName, long link) {
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
    Slab slab = layout.slab(cache, address, pfn, bytes, 0);
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
    arrays.entriesOf(slab, free != null ? free : new boolean[cache.objects()]);
    return cache.objects() - (long) active;
  }

  private static boolean contradicts(ClassicSlabList list, int active, SlabCache cache) {
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
      report(new SlabFault.Unread(cache, ClassicSlabViews.FREE_INDICES, 0, from, read));
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
        new SlabFault.Entry(
            slab.cache(), slab, object, ClassicSlabViews.FREE_INDICES, at, raw, isTwiceFree, why));
  }

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
      Slab slab = layout.slab(cache, address, pfn, bytes, at);
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
