package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.vmcheck.finding.Counted;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.kernel.StructRef;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;

/// The places where SLUB keeps slabs: what each CPU has of each cache (`kmem_cache_cpu`), its chain
/// of partial slabs, and the lists of the nodes (`kmem_cache_node`).
///
/// Lists are followed and held against their own counts here. What can be told only when all slabs
/// were seen, as whether slabs that a count misses are on no list, waits for [SlabSettlement].
final class PartialLists {
  private static final int MAX_PARTIAL_CHAIN = 1 << 16;
  private static final int MAX_NODE_LIST = 1 << 24;

  /// The most slabs of a list that are put in the other order.
  private static final int MAX_COUNTED = 1 << 14;

  private final SlabDescriptors descriptors;
  private final Kernel kernel;
  private final VirtualMemory memory;
  private final MemMap memMap;
  private final SlabCaches caches;
  private final SlabLayout layout;
  private final SlabFindings findings;
  private final List<TransientState> transients;
  private final BooleanSupplier isOver;
  private final Map<Long, List<SlabPlace>> places = new HashMap<>();
  private final List<LockedCount> lockedCounts = new ArrayList<>();
  private final List<CutChain> cutChains = new ArrayList<>();
  private final List<Adrift> adrift = new ArrayList<>();

  /// False if the deadline ended the search.
  private boolean gathered = true;

  /// A node's `nr_partial` that is more than one off while its lock is held: slabs that are moved
  /// in bulk (`__kmem_cache_do_shrink`) must be found on no list.
  record LockedCount(SlabFault.Count fault, long missing) {}

  /// A chain of partial slabs that ends before its counts say so: where slabs of the cache are on
  /// no list, the `next` of the last one is the bad word, and not all of the counts.
  ///
  /// @param next address of that `next`
  /// @param missing slabs that should follow
  record CutChain(SlabFault.Count fault, String list, long next, long missing) {}

  /// A CPU whose freelist does not lie in the slab that it names.
  ///
  /// @param slab address of the descriptor that it names, 0 for none
  private record Adrift(SlabPlace place, long slab) {}

  /// @param findings take what is found
  /// @param isOver true ends the search early
  PartialLists(SlabDescriptors descriptors, SlabFindings findings, BooleanSupplier isOver) {
    this.descriptors = descriptors;
    this.kernel = descriptors.kernel();
    this.memory = descriptors.memory();
    this.memMap = descriptors.memMap();
    this.caches = descriptors.caches();
    this.layout = descriptors.layout();
    this.findings = findings;
    this.transients = findings.transients();
    this.isOver = isOver;
  }

  /// The places of each slab that has any, by the address of its descriptor.
  Map<Long, List<SlabPlace>> bySlab() {
    return places;
  }

  /// Counts of nodes that are to be held against the slabs on no list.
  List<LockedCount> lockedCounts() {
    return lockedCounts;
  }

  /// Chains that are to be held against the slabs on no list.
  List<CutChain> cutChains() {
    return cutChains;
  }

  /// False if the deadline ended the search.
  boolean isComplete() {
    return gathered;
  }

  /// Looks at every place of every cache.
  void gather() {
    caches.eachFault(kernel, findings::found);
    for (SlabCache cache : caches.caches()) {
      if (isOver.getAsBoolean()) {
        gathered = false;
        return;
      }
      if (!cache.isSane()) {
        findings.found(insane(cache));
        continue;
      }
      if (layout.cpu().isPresent()) {
        CpuCopies copies =
            CpuCopies.of(
                kernel,
                cache,
                cache.address() + layout.cache().member("cpu_slab").orElseThrow().offset(),
                "cpu_slab",
                cache.cpuSlab(),
                layout.cpu().get());
        copies.faults().forEach(findings::found);
        copies.byIndex().forEach((index, copy) -> cpuPlaces(cache, index, copy));
      }
      for (SlabCache.Node node : cache.nodes()) {
        nodePlaces(cache, node);
      }
    }
    settleAdrift();
  }

  private void cpuPlaces(SlabCache cache, int index, StructRef cpuSlab) {
    int cpu = kernel.perCpu().cpus().get(index);
    long slab = cpuSlab.get(layout.cpuSlabMember());
    long freelist = cpuSlab.get("freelist");
    SlabPlace place =
        new SlabPlace(
            SlabPlace.Kind.CPU_SLAB,
            cache,
            cpu,
            index,
            freelist,
            cpuSlab.addressOf("freelist"),
            cpuSlab.addressOf(layout.cpuSlabMember()));
    if (slab != 0) {
      place(slab, place);
    }
    if (freelist != 0 && !isInPagesOf(slab, cache, freelist)) {
      adrift.add(new Adrift(place, slab));
    }
    if (cpuSlab.has("partial")) {
      cpuPartial(cache, cpu, index, cpuSlab.get("partial"), cpuSlab.addressOf("partial"));
    }
  }

  private boolean isInPagesOf(long slab, SlabCache cache, long object) {
    long distance = object - descriptors.base(Math.max(0, memMap.pfn(slab)));
    return memMap.pfn(slab) >= 0 && distance >= 0 && distance < cache.slabBytes(cache.maxOrder());
  }

  /// Where a CPU's freelist lies outside the slab that the CPU names, and in one that is frozen, of
  /// the cache and on no list, the freelist is right and the word that names the slab is not. A CPU
  /// that names none may be between its two stores of deactivation (`c->slab = NULL`, then
  /// `c->freelist = NULL`, interrupts off): one a CPU over all caches, for it does one at a time.
  private void settleAdrift() {
    Set<Integer> deactivating = new HashSet<>();
    for (Adrift one : adrift) {
      SlabPlace place = one.place();
      Slab home = descriptors.slabHolding(place.cpuFreelist());
      boolean isHome =
          home != null
              && home.cache().equals(place.cache())
              && home.index(place.cpuFreelist()) >= 0
              && home.frozen()
              && !places.containsKey(home.address());
      if (isHome) {
        places.computeIfPresent(
            one.slab(), (_, where) -> where.remove(place) && where.isEmpty() ? null : where);
        place(home.address(), place);
      }
      if (isHome && one.slab() == 0 && deactivating.add(place.index())) {
        transients.add(
            new TransientState(
                place.cache(),
                "cpu %d has a freelist and no slab".formatted(place.cpu()),
                "it may be letting go of the slab at 0x%x, whose objects these are"
                    .formatted(home.address())));
      } else if (isHome
          || (one.slab() == 0 && home != null && home.cache().equals(place.cache()))) {
        findings.found(
            new SlabFault.Stray(
                place.cache(),
                place.words(),
                place.wordAt(),
                one.slab(),
                memMap.pfn(one.slab()),
                "the CPU's freelist begins at 0x%x, in the slab at 0x%x of the cache%s"
                    .formatted(
                        place.cpuFreelist(),
                        home.address(),
                        isHome ? ", which is frozen and on no list" : "")));
      } else if (one.slab() == 0) {
        findings.found(
            new SlabFault.Stray(
                place.cache(),
                "kmem_cache_cpu.freelist of cpu " + place.cpu(),
                place.cpuFreelistSlot(),
                place.cpuFreelist(),
                -1,
                "the CPU has no slab of the cache, and no slab of the cache is there"));
      }
    }
  }

  /// The chain of a CPU's partial slabs: each counts those from itself on, the last one 1.
  private void cpuPartial(SlabCache cache, int cpu, int index, long first, long headSlot) {
    String name = "CPU partial list of cpu " + cpu;
    List<Chained> chain = new ArrayList<>();
    SlabPlace.Kind kind = SlabPlace.Kind.CPU_PARTIAL;
    long from = headSlot;
    for (long at = first; at != 0; ) {
      SlabPlace place = new SlabPlace(kind, cache, cpu, index, 0, 0, from);
      long pfn = memMap.pfn(at);
      String why =
          pfn < 0
              ? "0x%x is no page descriptor".formatted(at)
              : chain.size() == MAX_PARTIAL_CHAIN || isPlacedHere(at, place)
                  ? "the chain comes back to a slab on it"
                  : "";
      if (!why.isEmpty()) {
        findings.found(new SlabFault.Stray(cache, name, from, at, pfn, why));
        return;
      }
      if (!(memory.read(at, memMap.shape().size()) instanceof MemoryRead.Bytes(ByteView page))) {
        findings.found(new SlabFault.Unread(cache, name, 0, at, memory.read(at, 8)));
        return;
      }
      if (memMap.isWiped(page.bytes(), 0)) {
        place(at, place);
        return; // Told of its descriptor; what followed is lost.
      }
      int count = layout.partialCountAt() < 0 ? 0 : page.i32(layout.partialCountAt());
      SlabCache owner = caches.byAddress().get(page.u64(layout.slabCacheAt()));
      if (owner != null
          && !owner.equals(cache)
          && !chain.isEmpty()
          && layout.partialCountAt() >= 0
          && count != chain.getLast().count() - 1) {
        // Its words agree neither with the cache nor with the slab before: the chain left itself.
        findings.found(
            new SlabFault.Stray(
                cache, name, from, at, pfn, "it is a slab of cache " + owner.name()));
        return;
      }
      place(at, place);
      chain.add(new Chained(at, count));
      from = at + layout.partialNextAt();
      at = page.u64(layout.partialNextAt());
    }
    if (layout.partialCountAt() >= 0 && !chain.isEmpty()) {
      chainCounts(cache, name, chain);
    }
  }

  /// A slab on a CPU's partial chain.
  ///
  /// @param count how many there are from it on, as it says
  private record Chained(long slab, int count) {}

  private void chainCounts(SlabCache cache, String name, List<Chained> chain) {
    int length = chain.size();
    int beyond = chain.getLast().count() - 1;
    for (int i = 0; i < length; i++) {
      Chained one = chain.get(i);
      if (one.count() == length - i) {
        continue;
      }
      SlabFault.Count fault =
          new SlabFault.Count(
              cache,
              null,
              "slab.slabs on the " + name,
              one.slab() + layout.partialCountAt(),
              length - i,
              one.count(),
              "the count falls by one from slab to slab, and the last counts 1");
      if (i == 0 && beyond > 0 && chain.getFirst().count() == length + (long) beyond) {
        cutChains.add(
            new CutChain(fault, name, chain.getLast().slab() + layout.partialNextAt(), beyond));
      } else {
        findings.found(fault);
      }
      return;
    }
  }

  private boolean isPlacedHere(long slab, SlabPlace place) {
    return places.getOrDefault(slab, List.of()).stream()
        .anyMatch(
            other ->
                other.kind() == place.kind()
                    && other.cache().equals(place.cache())
                    && other.index() == place.index());
  }

  private void nodePlaces(SlabCache cache, SlabCache.Node node) {
    String name = "partial list of node " + node.id();
    ListWalk walk = nodeList(cache, node, node.partialHead(), name, SlabPlace.Kind.NODE_PARTIAL);
    int met = walk.nodes().size();
    if ((walk.isClosed() || walk.isRecovered())
        && node.nrPartial() != SlabCache.Node.NOT_COUNTED
        && node.nrPartial() != met) {
      if (node.isLocked() && Math.abs(node.nrPartial() - met) == 1) {
        transients.add(
            new TransientState(
                cache,
                "nr_partial of node %d is %d, and its list has %s"
                    .formatted(node.id(), node.nrPartial(), Counted.of(met, "slabs")),
                "list_lock is held"));
      } else {
        SlabFault.Count fault =
            new SlabFault.Count(
                cache,
                null,
                "kmem_cache_node.nr_partial",
                node.address() + descriptors.offsetInNode("nr_partial"),
                met,
                node.nrPartial(),
                "slabs on the " + name);
        if (node.isLocked() && node.nrPartial() > met) {
          lockedCounts.add(new LockedCount(fault, node.nrPartial() - met));
        } else {
          findings.found(fault);
        }
      }
    }
    if (node.fullHead() != 0 && layout.flags().hasTracking(cache)) {
      nodeList(
          cache, node, node.fullHead(), "full list of node " + node.id(), SlabPlace.Kind.NODE_FULL);
    }
  }

  /// One list of a node. Between the two stores of list_add or list_del a `prev` names the node
  /// that comes or went: legal while the lock is held, for one node.
  private ListWalk nodeList(
      SlabCache cache, SlabCache.Node node, long head, String name, SlabPlace.Kind kind) {
    ListWalk walk = ListWalk.walk(memory, head, MAX_NODE_LIST);
    if (kind == SlabPlace.Kind.NODE_PARTIAL && !node.isLocked()) {
      walk = asCounted(walk, head, node.nrPartial());
    }
    for (long link : walk.nodes()) {
      place(link - layout.listAt(), new SlabPlace(kind, cache, -1, node.id(), 0, 0, 0));
    }
    if (walk.isClosed()) {
      return walk;
    }
    if (node.isLocked()
        && walk.isRecovered()
        && walk.bad().orElseThrow().member().equals("prev")
        && isListOfSlab(walk.bad().orElseThrow().value(), head)) {
      transients.add(
          new TransientState(
              cache, "one slab is linked half into the " + name, "list_lock is held"));
    } else {
      findings.found(
          new SlabFault.Links(
              cache, name, walk.bad().map(ListWalk.BadLink::address).orElse(head), walk));
    }
    return walk;
  }

  /// Where `next` leads home and `prev` does too, by other ways, one of the two is wrong: the one
  /// with which the list has not as many slabs as `nr_partial` says, if the other has.
  private ListWalk asCounted(ListWalk walk, long head, long count) {
    if (!(walk.end() instanceof ListWalk.End.PrevMismatch(long from, long to, long _))
        || !walk.isRecovered()
        || walk.nodes().size() == count
        || count < 0
        || count > MAX_COUNTED) {
      return walk;
    }
    List<Long> nodes = new ArrayList<>();
    long at = kernel.word(head + 8).orElse(0);
    while (at != head) {
      OptionalLong prev = (at & 7) == 0 ? kernel.word(at + 8) : OptionalLong.empty();
      if (nodes.size() == count || prev.isEmpty()) {
        return walk;
      }
      nodes.addFirst(at);
      at = prev.getAsLong();
    }
    int step = from == head ? 0 : nodes.indexOf(from) + 1;
    if (nodes.size() != count || (from != head && step == 0)) {
      return walk;
    }
    return new ListWalk(
        nodes,
        walk.end(),
        Optional.of(
            new ListWalk.BadLink(
                from, "next", to, step == nodes.size() ? head : nodes.get(step), step)));
  }

  private boolean isListOfSlab(long link, long head) {
    return link == head || memMap.pfn(link - layout.listAt()) >= 0;
  }

  private void place(long slab, SlabPlace place) {
    places.computeIfAbsent(slab, _ -> new ArrayList<>(1)).add(place);
  }

  /// A cache with a number that cannot be right.
  static SlabFault insane(SlabCache cache) {
    SlabCache.Insanity wrong = cache.wrongNumber().orElseThrow();
    return new SlabFault.Insane(
        cache, "kmem_cache." + wrong.member(), cache.address(), wrong.words());
  }
}
