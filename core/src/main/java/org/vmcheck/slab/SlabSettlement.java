package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.vmcheck.finding.Counted;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;

/// What is settled when all slabs were seen: slabs that are missing, on no list, or named by a list
/// and none, the counters of the nodes, and which of the faults are legal for an instant or follow
/// from another.
final class SlabSettlement {
  private final SlabDescriptors descriptors;
  private final Kernel kernel;
  private final MemMap memMap;
  private final SlabCaches caches;
  private final SlabLayout layout;
  private final PartialLists slabPlaces;
  private final Map<Long, List<SlabPlace>> places;
  private final SlabFindings findings;
  private final List<SlabFault> faults;
  private final List<TransientState> transients;
  private final Optional<Sheaves> sheaves;
  private final FreelistDecoder.Vote vote;

  /// @param findings those of the places; all others are added
  SlabSettlement(
      SlabDescriptors descriptors,
      PartialLists slabPlaces,
      SlabFindings findings,
      Optional<Sheaves> sheaves,
      FreelistDecoder.Vote vote) {
    this.descriptors = descriptors;
    this.kernel = descriptors.kernel();
    this.memMap = descriptors.memMap();
    this.caches = descriptors.caches();
    this.layout = descriptors.layout();
    this.slabPlaces = slabPlaces;
    this.places = slabPlaces.bySlab();
    this.findings = findings;
    this.faults = findings.faults();
    this.transients = findings.transients();
    this.sheaves = sheaves;
    this.vote = vote;
  }

  /// Adds up what the threads saw, and settles it.
  SlabSurvey settle(List<SlabWalk> walks) {
    List<SlabSurvey.Tally> tallies = new ArrayList<>();
    Map<String, Long> unreadable = new TreeMap<>();
    long slabs = 0;
    long objects = 0;
    long freePointers = 0;
    long patternObjects = 0;
    long unreadDescriptors = 0;
    long kfence = 0;
    long pending = 0;
    long slots = 0;
    BitSet sheafEntries = new BitSet();
    boolean finished = slabPlaces.isComplete();
    Set<Long> seen = new HashSet<>();
    UnlistedSlabs unlisted = new UnlistedSlabs(layout);
    List<SlabFault.Place> taken = new ArrayList<>();
    Set<Long> excused = new HashSet<>();
    Map<SlabCache, Long> missing = new LinkedHashMap<>();
    Map<SlabCache, Long> ofUnlisted = new LinkedHashMap<>();
    for (SlabWalk walk : walks) {
      unlisted.merge(walk.unlisted);
      walk.ofUnlisted.forEach((cache, count) -> ofUnlisted.merge(cache, count, Long::sum));
      findings.merge(walk.findings);
      walk.unreadable.forEach((reason, count) -> unreadable.merge(reason, count, Long::sum));
      slabs += walk.slabs;
      objects += walk.objects;
      slots += walk.slots;
      freePointers += walk.freePointers;
      taken.addAll(walk.taken);
      patternObjects += walk.patternObjects;
      unreadDescriptors += walk.unreadableDescriptors;
      kfence += walk.kfencePages;
      pending += walk.pendingSlabs;
      sheafEntries.or(walk.sheafEntriesSeen);
      finished &= walk.finished;
      seen.addAll(walk.placesSeen);
    }
    Map<Long, SlabCounts> sums = new HashMap<>();
    for (SlabCache cache : caches.caches()) {
      SlabCounts sum = new SlabCounts(descriptors.nodesToldApart());
      sums.put(cache.address(), sum);
      for (SlabWalk walk : walks) {
        SlabCounts part = walk.counts.get(cache.address());
        if (part != null) {
          sum.add(part);
        }
      }
    }
    Set<Long> lostInWiped =
        finished
            ? new LostSlabs(descriptors, places, faults, sums, seen).settle(unreadDescriptors == 0)
            : Set.of();
    NodeCounters counters = new NodeCounters(descriptors, findings);
    boolean isByNode = counters.isByNode(sums);
    for (SlabCache cache : caches.caches()) {
      SlabCounts sum = sums.get(cache.address());
      tallies.add(
          new SlabSurvey.Tally(
              cache,
              sum.slabs,
              sum.objects,
              sum.inuse,
              sum.onCpuFreelists,
              sheaves.map(all -> all.freeObjects(cache)).orElse(0L)));
      if (finished
          && unreadDescriptors == 0
          && cache.isSane()
          && !lostInWiped.contains(cache.address())) {
        counters.checkTotals(
            cache, counters.shares(cache, sum, isByNode), unlisted, excused, missing);
      }
    }
    taken(taken);
    if (finished) {
      faults.removeIf(fault -> excused.contains(SlabFindings.slabOf(fault)));
      strangers(missing, unreadDescriptors == 0);
      strays(seen);
      unlisted(unlisted);
    } else {
      slabPlaces.cutChains().forEach(cut -> faults.add(cut.fault()));
    }
    if (finished && unreadDescriptors == 0 && sheaves.isPresent()) {
      sheaves.get().strays(memMap, sheafEntries, findings::found);
    }
    sheaves.ifPresent(all -> all.settle(faults::add, transients::add));
    ofUnlisted.forEach(
        (cache, count) ->
            transients.add(
                new TransientState(
                    cache,
                    count == 1 ? "a slab of it is there" : count + " slabs of it are there",
                    caches.isListWhole()
                        ? "kmem_cache_destroy took the cache off slab_caches: it waits for a"
                            + " grace period, or objects of it were still in use"
                        : "slab_caches is broken before it")));
    faults.sort(SlabSettlement::inOrder);
    return new SlabSurvey(
        vote,
        tallies,
        faults,
        transients,
        findings.dropped(),
        slabs,
        objects,
        slots,
        freePointers,
        patternObjects,
        unreadable,
        unreadDescriptors,
        kfence,
        pending,
        finished);
  }

  private static int inOrder(SlabFault one, SlabFault other) {
    int order = nameOfCache(one).compareTo(nameOfCache(other));
    if (order == 0) {
      order = Long.compareUnsigned(one.address(), other.address());
    }
    return order != 0 ? order : one.toString().compareTo(other.toString());
  }

  private static String nameOfCache(SlabFault fault) {
    return fault.cache() == null ? "" : fault.cache().name();
  }

  /// Slabs that are full or frozen on a node's partial list: the kernel takes a slab's freelist
  /// first and the slab off the list next, both under list_lock (`get_partial_node`,
  /// `alloc_single_from_partial`, and from 7.0 on `get_from_partial_node`), so that there may be
  /// one while the lock is held.
  private void taken(List<SlabFault.Place> taken) {
    Map<SlabCache.Node, List<SlabFault.Place>> byNode = new LinkedHashMap<>();
    for (SlabFault.Place one : taken) {
      int id = one.places().stream().filter(SlabPlace::isOfNode).findFirst().orElseThrow().index();
      for (SlabCache.Node node : one.cache().nodes()) {
        if (node.id() == id) {
          byNode.computeIfAbsent(node, _ -> new ArrayList<>()).add(one);
        }
      }
    }
    byNode.forEach(
        (node, ofNode) -> {
          SlabFault.Place first = ofNode.getFirst();
          if (node.isLocked() && ofNode.size() == 1) {
            transients.add(
                new TransientState(
                    first.cache(), first.why(), "list_lock is held: it may be taken off"));
          } else {
            faults.addAll(ofNode);
          }
        });
  }

  /// Slabs of no known cache: under construction, or of the caches that miss as many, and then one
  /// fault and not two.
  private void strangers(Map<SlabCache, Long> missing, boolean isComplete) {
    List<SlabFault.Owner> strangers = new ArrayList<>();
    for (SlabFault fault : faults) {
      if (fault instanceof SlabFault.Owner owner && owner.cache() == null) {
        strangers.add(owner);
      }
    }
    boolean isCounted =
        isComplete
            && caches.caches().stream()
                .flatMap(cache -> cache.nodes().stream())
                .allMatch(node -> node.slabs() != SlabCache.Node.NOT_COUNTED);
    int references =
        places.keySet().stream()
            .findFirst()
            .map(slab -> memMap.references(memMap.pfn(slab)))
            .orElse(1);
    List<SlabFault.Owner> settled =
        UnlistedSlabs.settle(
            strangers,
            missing,
            isCounted,
            kernel.perCpu().cpus().size(),
            pfn -> memMap.isJustAllocated(pfn, layout.countersAt(), references),
            transients::add);
    if (settled.equals(strangers)) {
      return;
    }
    faults.removeAll(Set.copyOf(strangers));
    faults.addAll(settled);
    faults.removeIf(
        fault ->
            fault instanceof SlabFault.Count count
                && count.counter().equals("kmem_cache_node.nr_slabs")
                && count.actual() > count.expected()
                && missing.containsKey(count.cache()));
  }

  /// Slabs that no list keeps, unless a broken list of the cache explains them.
  private void unlisted(UnlistedSlabs unlisted) {
    for (PartialLists.LockedCount count : slabPlaces.lockedCounts()) {
      SlabCache cache = count.fault().cache();
      if (unlisted.notFull(cache) >= count.missing()) {
        transients.add(
            new TransientState(
                cache,
                "nr_partial is %d, and the list has %s"
                    .formatted(
                        count.fault().actual(), Counted.of(count.fault().expected(), "slabs")),
                "list_lock is held, and the others are on no list: they are moved"));
      } else {
        faults.add(count.fault());
      }
    }
    for (PartialLists.CutChain cut : slabPlaces.cutChains()) {
      SlabCache cache = cut.fault().cache();
      faults.add(
          unlisted.notFull(cache) >= cut.missing()
              ? new SlabFault.Stray(
                  cache,
                  cut.list(),
                  cut.next(),
                  0,
                  -1,
                  "the chain ends where .slabs counts %d more, and %d slabs of the cache with free objects are on no list"
                      .formatted(cut.missing(), unlisted.notFull(cache)))
              : cut.fault());
    }
    for (SlabCache cache : caches.caches()) {
      boolean isExplained = faults.stream().anyMatch(fault -> explainsOrphans(fault, cache));
      unlisted.judge(
          cache, kernel.perCpu().cpus().size(), isExplained, transients::add, faults::add);
    }
  }

  private static boolean explainsOrphans(SlabFault fault, SlabCache cache) {
    return fault.cache() != null
        && fault.cache().address() == cache.address()
        && switch (fault) {
          case SlabFault.Links _,
              SlabFault.Stray _,
              SlabFault.Unread _,
              SlabFault.Wild _,
              SlabFault.Descriptor _,
              SlabFault.Owner _,
              SlabFault.Insane _ ->
              true;
          case SlabFault.Count count -> count.counter().contains("slab.slabs");
          default -> false;
        };
  }

  /// Slabs that a list names and that the stream did not meet as slabs.
  private void strays(Set<Long> seen) {
    for (Map.Entry<Long, List<SlabPlace>> entry : places.entrySet()) {
      if (!seen.contains(entry.getKey())) {
        SlabPlace place = entry.getValue().getFirst();
        long pfn = memMap.pfn(entry.getKey());
        if (descriptors.kfence().has(pfn)) {
          continue;
        }
        if (pfn >= 0 && memMap.state(pfn).kind() == PageState.Kind.UNKNOWN) {
          continue; // Its descriptor is not in the dump: said as a gap, and no damage.
        }
        // On a node's list the link lies in the descriptor that is no slab's.
        findings.found(
            new SlabFault.Stray(
                place.cache(),
                place.words(),
                place.wordAt() != 0 ? place.wordAt() : entry.getKey() + layout.listAt(),
                place.wordAt() != 0
                    ? entry.getKey()
                    : descriptors.word(entry.getKey() + layout.listAt()),
                pfn,
                pfn < 0
                    ? "0x%x is no page descriptor".formatted(entry.getKey())
                    : "page frame 0x%x is not marked as a slab of a known cache".formatted(pfn)));
      }
    }
  }
}
