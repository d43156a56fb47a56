package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.NodeSpans;

/// One thread's share of the stream over all page descriptors, and what is checked at each slab:
/// whose it is, its freelists, its counts, its bytes, and whether it is where it may be.
///
/// Chunks of frames are handed out by a common counter. What was counted and found is read by
/// [SlabSettlement] when the thread has ended.
final class SlabWalk implements Runnable, MemMap.Visitor {
  /// More caches than any kernel has.
  private static final int MAX_UNLISTED = 1 << 14;

  /// Slabs after which the code that meets them is compiled.
  private static final int WARM_SLABS = 1000;

  /// The share of the frames after which other threads wait no longer, however few slabs were met.
  private static final int WARM_SHARE = 8;

  private final SlabDescriptors descriptors;
  private final VirtualMemory memory;
  private final MemMap memMap;
  private final SlabCaches caches;
  private final SlabLayout layout;
  private final KfencePool kfence;
  private final Optional<NodeSpans> nodeSpans;
  private final Map<Long, List<SlabPlace>> places;
  private final EncodingVote.Frozen onCpuPartial;
  private final UnlistedSlabs.Marks marks;
  private final DebugPatterns patterns;
  private final Optional<Sheaves> sheaves;
  private final Map<Long, Optional<SlabCache>> unlistedCaches;
  private final BooleanSupplier isOver;
  private final AtomicLong nextPfn;
  private final long chunk;
  private final CountDownLatch warm;
  private final Freelist.Walker walker;
  private final SlabMemory slabMemory;
  final Map<Long, SlabCounts> counts = new HashMap<>();
  final Map<String, Long> unreadable = new TreeMap<>();

  /// Why a page cannot be read that the hardware gave up (PG_hwpoison).
  private static final String GIVEN_UP = "given up by the hardware";

  final Set<Long> placesSeen = new HashSet<>();
  final BitSet sheafEntriesSeen;
  final SlabFindings findings = new SlabFindings();
  long pendingSlabs;
  long slabs;
  long objects;
  long slots;
  long freePointers;
  final UnlistedSlabs unlisted;
  final Map<SlabCache, Long> ofUnlisted = new HashMap<>();

  /// Slabs on a node's partial list whose freelist was taken.
  final List<SlabFault.Place> taken = new ArrayList<>();

  private long firstOfSlab;
  private long endOfSlab;
  private SlabCache cacheOfSlab;
  long patternObjects;
  long unreadableDescriptors;
  long kfencePages;
  boolean finished = true;
  private Throwable failure;

  /// What all threads of a pass share.
  ///
  /// @param places by the address of the slab's descriptor
  /// @param unlistedCaches caches that are not among the known ones, by address; empty for
  ///   addresses that are none
  /// @param isOver asked between chunks; true ends the walk early
  /// @param nextPfn the first frame that no thread has taken
  /// @param chunk frames that a thread takes at once
  /// @param warm counted down when a thread has met enough slabs for its code to be compiled: what
  ///   other threads do before, interpreted, takes the compiler's time
  record Pass(
      SlabDescriptors descriptors,
      Map<Long, List<SlabPlace>> places,
      FreelistDecoder decoder,
      EncodingVote.Frozen onCpuPartial,
      UnlistedSlabs.Marks marks,
      DebugPatterns patterns,
      Optional<Sheaves> sheaves,
      Map<Long, Optional<SlabCache>> unlistedCaches,
      BooleanSupplier isOver,
      AtomicLong nextPfn,
      long chunk,
      CountDownLatch warm) {}

  SlabWalk(Pass pass) {
    this.descriptors = pass.descriptors();
    this.memory = descriptors.memory();
    this.memMap = descriptors.memMap();
    this.caches = descriptors.caches();
    this.layout = descriptors.layout();
    this.kfence = descriptors.kfence();
    this.nodeSpans = descriptors.nodeSpans();
    this.places = pass.places();
    this.onCpuPartial = pass.onCpuPartial();
    this.marks = pass.marks();
    this.patterns = pass.patterns();
    this.sheaves = pass.sheaves();
    this.unlistedCaches = pass.unlistedCaches();
    this.isOver = pass.isOver();
    this.nextPfn = pass.nextPfn();
    this.chunk = pass.chunk();
    this.warm = pass.warm();
    this.slabMemory = new SlabMemory(memory.physical());
    this.walker = new Freelist.Walker(pass.decoder(), slabMemory);
    this.sheafEntriesSeen = sheaves.map(Sheaves::newMarks).orElseGet(() -> new BitSet(0));
    this.unlisted = new UnlistedSlabs(layout);
  }

  /// What ends one thread ends the pass: the slabs that it did not see would count as sound.
  @Override
  public void run() {
    try {
      walk();
    } catch (RuntimeException | Error any) {
      failure = any;
      nextPfn.set(memMap.endPfn());
    } finally {
      warm.countDown();
    }
  }

  /// In the thread that waited for this one.
  void rethrow() {
    if (failure instanceof Error error) {
      throw error;
    }
    if (failure instanceof RuntimeException bug) {
      throw bug;
    }
  }

  private void walk() {
    PageBuffer page = memMap.newBuffer();
    while (true) {
      long first = nextPfn.getAndAdd(chunk);
      if (first >= memMap.endPfn()) {
        return;
      }
      if (isOver.getAsBoolean()) {
        finished = false;
        return;
      }
      memMap.streamMarkedAsSlab(first, Math.min(first + chunk, memMap.endPfn()), this, page);
      if (slabs >= WARM_SLABS || first > memMap.endPfn() / WARM_SHARE) {
        warm.countDown();
      }
    }
  }

  @Override
  public void unreadable(long firstPfn, long count) {
    unreadableDescriptors += count;
  }

  @Override
  public void page(long pfn, byte[] bytes, int at) {
    if (!memMap.isSlabHead(pfn, bytes, at)) {
      if (pfn > firstOfSlab && pfn < endOfSlab) {
        long mark = memMap.descriptor(pfn) + memMap.slabMarkAt();
        findings.found(
            new SlabFault.Descriptor(
                cacheOfSlab,
                memMap.descriptor(firstOfSlab),
                pfn,
                mark,
                descriptors.word(mark),
                memMap.slabMarkName(),
                "it marks a slab, and the page is inside one"));
      }
      return;
    }
    if (kfence.has(pfn)) {
      kfencePages++;
      return;
    }
    long address = memMap.descriptor(pfn);
    long owner = MemMap.word(bytes, at + layout.slabCacheAt());
    SlabCache cache = caches.byAddress().get(owner);
    List<SlabPlace> where = places.getOrDefault(address, List.of());
    if (pfn > firstOfSlab && pfn < endOfSlab) {
      findings.found(
          new SlabFault.Overlap(
              address, pfn, memMap.descriptor(firstOfSlab), endOfSlab - firstOfSlab));
      if (cache == null) {
        return;
      }
    }
    if (!where.isEmpty() && where.getFirst().cache().address() != owner) {
      // The list that keeps a slab is a better witness than one word of its descriptor.
      SlabCache keeper = where.getFirst().cache();
      findings.found(
          new SlabFault.Owner(
              keeper,
              address,
              address + layout.slabCacheAt(),
              pfn,
              owner,
              "the slab is on the " + where.getFirst().words()));
      cache = keeper;
    } else if (cache == null) {
      cache = unlisted(owner).orElse(null);
      if (cache != null) {
        ofUnlisted.merge(cache, 1L, Long::sum);
      } else if (caches.isUnread(memory, memMap, owner)) {
        return; // Said at the cache.
      }
    }
    if (cache == null) {
      findings.found(
          new SlabFault.Owner(
              null,
              address,
              address + layout.slabCacheAt(),
              pfn,
              owner,
              "no cache has this address"));
      return;
    }
    if (cache.isSane()) {
      Slab slab =
          descriptors.ofWholeOrder(
              Slab.of(layout, cache, address, pfn, descriptors.base(pfn), bytes, at), bytes, at);
      // A chunk starts at a multiple of every order: no slab begins in one and ends in another.
      firstOfSlab = pfn;
      boolean isSizeKnown = slab.objects() == slab.walkableObjects();
      endOfSlab = pfn + (isSizeKnown ? 1L << slab.order() : 1);
      cacheOfSlab = cache;
      slab(slab, where);
      MemMap.BadWord bad =
          isSizeKnown && slab.order() > 0
              ? memMap.checkCompound(pfn, slab.order(), bytes, at)
              : null;
      if (bad != null) {
        findings.found(
            new SlabFault.Descriptor(
                cache, address, bad.pfn(), bad.address(), bad.raw(), bad.member(), bad.why()));
      }
    }
  }

  private void slab(Slab slab, List<SlabPlace> where) {
    long faultsBefore = findings.count();
    boolean pending = isPending(slab, where);
    if (pending) {
      pendingSlabs++;
    }
    slabs++;
    objects += slab.walkableObjects();
    if (!where.isEmpty()) {
      placesSeen.add(slab.address());
    }
    SlabCounts count =
        counts.computeIfAbsent(
            slab.cache().address(), _ -> new SlabCounts(descriptors.nodesToldApart()));
    if (!pending) {
      count.count(slab, descriptors.nodeOf(slab.pfn()), 1);
    }
    boolean countsFit = checkObjects(slab);
    walker.start(slab);
    boolean cpuSlab = false;
    boolean endsUnread = false;
    for (SlabPlace place : where) {
      if (place.kind() == SlabPlace.Kind.CPU_SLAB) {
        cpuSlab = true;
        Freelist list = walker.walk(slab, place.cpuFreelist(), place.cpuFreelistSlot());
        count.onCpuFreelists += list.length();
        ended(slab, place.cpu(), place.cpuFreelist(), list);
        endsUnread |= list.end() instanceof Freelist.End.Unreadable;
      }
    }
    Freelist own = walker.walk(slab, slab.freelist(), slab.address() + layout.freelistAt());
    ended(slab, -1, slab.freelist(), own);
    endsUnread |= own.end() instanceof Freelist.End.Unreadable;
    int met = walker.met();
    Freelist.Unmet unmet = walker.readUnmet(slab);
    slots += met + unmet.read();
    if (unmet.unread() > 0 && !endsUnread) {
      absent(slab, unmet.unread());
    }
    if (patterns.concerns(slab.cache())) {
      patternObjects += met + unmet.read();
      patterns.check(
          slab,
          walker,
          slabMemory,
          own.isClosed(),
          sheaves,
          findings::found,
          findings.transients()::add);
    }
    int uncounted = slab.objects() - slab.inuse() - own.length();
    if (own.isClosed() && countsFit && Math.abs(uncounted) == 1 && isLocked(slab)) {
      findings
          .transients()
          .add(
              new TransientState(
                  slab.cache(),
                  "inuse and the freelist of the slab at 0x%x differ by one"
                      .formatted(slab.address()),
                  "the slab's page is locked"));
    } else if (own.isClosed() && countsFit && uncounted != 0) {
      findings.found(
          new SlabFault.Count(
              slab.cache(),
              slab,
              "slab.inuse",
              slab.address() + layout.countersAt(),
              slab.objects() - (long) own.length(),
              slab.inuse(),
              "%d objects less %d on its freelist".formatted(slab.objects(), own.length())));
    }
    if (sheaves.isPresent()) {
      sheaves.get().check(slab, walker, sheafEntriesSeen, findings::found);
    }
    boolean isFull =
        slab.inuse() == slab.objects() && slab.freelist() == 0 && countsFit && own.isClosed();
    boolean isOutOfUse =
        isFull
            && !cpuSlab
            && !isOn(where, SlabPlace.Kind.NODE_FULL)
            && patterns.isOutOfUse(slab, slabMemory);
    checkPlace(slab, where, cpuSlab, isFull && !isOutOfUse);
    if (where.isEmpty() && !pending && !isOutOfUse) {
      unlisted.add(slab, own.isClosed(), findings.count() > faultsBefore, marks);
    }
  }

  /// A wild `slab_cache` may differ in every page of a hostile dump: not all are kept.
  private Optional<SlabCache> unlisted(long owner) {
    Optional<SlabCache> known = unlistedCaches.get(owner);
    if (known == null) {
      known = caches.unlisted(descriptors.kernel(), memMap, owner);
      if (unlistedCaches.size() < MAX_UNLISTED) {
        unlistedCaches.put(owner, known);
      }
    }
    return known;
  }

  private static boolean isOn(List<SlabPlace> where, SlabPlace.Kind kind) {
    for (SlabPlace place : where) {
      if (place.kind() == kind) {
        return true;
      }
    }
    return false;
  }

  /// Whether a CPU holds the lock in the slab's flags (PG_locked, bit 0), as it does for the two
  /// stores that change freelist and counters where the machine cannot change both at once.
  private boolean isLocked(Slab slab) {
    return (slab.flags() & 1) != 0 && !layout.flags().hasDoubleExchange(slab.cache());
  }

  private void absent(Slab slab, int objects) {
    long first = slabMemory.firstUnread();
    if (first == -1) {
      return;
    }
    if (isHwPoison(slab, first)) {
      unreadable.merge(GIVEN_UP, 1L, Long::sum);
      return;
    }
    PageRead why = slabMemory.page(first);
    unreadable.merge(why.words(), 1L, Long::sum);
    findings.found(new SlabFault.Absent(slab, first, objects, why));
  }

  /// A page that the hardware gave up is left out of every dump by design.
  private boolean isHwPoison(Slab slab, long vaddr) {
    return memMap.isHwPoison(slab.pfn() + slab.pageOf(vaddr));
  }

  /// Whether it is an empty slab of a TYPESAFE_BY_RCU cache whose pages are given back after a
  /// grace period: it is on no list, the counters have let go of it, and an rcu_head lies over its
  /// list_head.
  private boolean isPending(Slab slab, List<SlabPlace> where) {
    return slab.inuse() == 0
        && where.isEmpty()
        && !slab.frozen()
        && layout.flags().isTypesafeByRcu(slab.cache());
  }

  private void ended(Slab slab, int cpu, long head, Freelist list) {
    freePointers += list.length();
    if (list.end() instanceof Freelist.End.Unreadable(int _, long slot, PageRead why)) {
      unreadable.merge(isHwPoison(slab, slot) ? GIVEN_UP : why.words(), 1L, Long::sum);
    }
    boolean atHwPoison =
        list.end() instanceof Freelist.End.Unreadable(int _, long slot, PageRead _)
            && isHwPoison(slab, slot);
    if (!list.isClosed() && !atHwPoison) {
      findings.found(new SlabFault.Broken(slab, cpu, head, list));
    }
  }

  private boolean checkObjects(Slab slab) {
    if (slab.objects() == slab.walkableObjects()) {
      return true;
    }
    findings.found(
        new SlabFault.Count(
            slab.cache(),
            slab,
            "slab.objects",
            slab.address() + layout.countersAt(),
            slab.walkableObjects(),
            slab.objects(),
            "objects of %d bytes in a slab of order %d"
                .formatted(slab.cache().size(), slab.order())));
    return false;
  }

  private void checkPlace(Slab slab, List<SlabPlace> where, boolean cpuSlab, boolean isFull) {
    if (where.isEmpty()) {
      return; // Most slabs are full and on no list.
    }
    if (where.size() > 1) {
      findings.found(
          new SlabFault.Place(
              slab,
              where,
              SlabFault.PlaceRule.IN_ONE_PLACE,
              slab.address(),
              slab.next(),
              "it is in more than one place"));
    }
    for (SlabPlace place : where) {
      if (place.isOfNode()
          && nodeSpans.isPresent()
          && !slab.cache().isOfNodes()
          && !nodeSpans.get().has(place.index(), slab.pfn())) {
        findings.found(
            new SlabFault.Place(
                slab,
                where,
                SlabFault.PlaceRule.ON_THE_LIST_OF_ITS_NODE,
                slab.address() + layout.listAt(),
                slab.next(),
                "its page frame 0x%x is not in node %d".formatted(slab.pfn(), place.index())));
      }
    }
    boolean onNodeList = isOn(where, SlabPlace.Kind.NODE_PARTIAL);
    long counters = slab.address() + layout.countersAt();
    if (cpuSlab && !slab.frozen()) {
      findings.found(
          new SlabFault.Place(
              slab,
              where,
              SlabFault.PlaceRule.FROZEN_WHERE_A_CPU_HAS_IT,
              counters,
              descriptors.word(counters),
              "a CPU's slab is not frozen"));
    } else if (onNodeList && (isFull || (slab.frozen() && !cpuSlab))) {
      taken.add(
          new SlabFault.Place(
              slab,
              where,
              slab.frozen() && !cpuSlab
                  ? SlabFault.PlaceRule.NOT_FROZEN_WHERE_NO_CPU_HAS_IT
                  : SlabFault.PlaceRule.NOT_FULL_ON_A_PARTIAL_LIST,
              counters,
              descriptors.word(counters),
              slab.frozen() && !cpuSlab
                  ? "a slab on a node's list is frozen"
                  : "a slab on a node's partial list is full"));
    }
    boolean onCpuList = isOn(where, SlabPlace.Kind.CPU_PARTIAL);
    if (onCpuList
        && where.size() == 1
        && onCpuPartial != EncodingVote.Frozen.UNKNOWN
        && slab.frozen() != (onCpuPartial == EncodingVote.Frozen.ALL)) {
      findings.found(
          new SlabFault.Place(
              slab,
              where,
              SlabFault.PlaceRule.AS_FROZEN_AS_ITS_NEIGHBOURS,
              counters,
              descriptors.word(counters),
              "a slab on a CPU's partial list is %s, unlike the others"
                  .formatted(slab.frozen() ? "frozen" : "not frozen")));
    }
  }
}
