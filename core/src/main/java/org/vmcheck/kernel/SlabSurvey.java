package org.vmcheck.kernel;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import java.util.function.Predicate;
import org.vmcheck.memory.VirtualMemory;

/// One pass over every slab of the kernel: what was counted, and what was wrong.
///
/// First the places where the allocator keeps slabs (CPUs, their partial lists, the nodes' lists),
/// then the page descriptors, streamed once, which also show the full slabs that no list holds.
/// Each slab's freelists are walked to their ends. Work is split over the page frames; nothing of a
/// sound slab is kept.
///
/// @param vote how the free-pointer encoding was chosen
/// @param tallies what was counted, one a cache in list order
/// @param faults in order of cache and address
/// @param instants states that are legal only for an instant, in which a CPU was stopped
/// @param droppedFaults faults beyond the number that is kept
/// @param slabs slabs met
/// @param objects slots in these
/// @param slots objects whose slot, the word that a free pointer lies in, was read
/// @param freePointers free pointers followed
/// @param patternObjects objects of which debugging options fix some bytes
/// @param unreadableSlabPages slab pages that could not be read, by reason
/// @param unreadableDescriptors page frames whose descriptors could not be read
/// @param kfencePages frames of the KFENCE pool, which look like slabs and are none
/// @param pendingSlabs empty slabs that wait for a grace period and that no counter holds any more
/// @param finished false if the deadline ended the pass
public record SlabSurvey(
    FreelistDecoder.Vote vote,
    List<Tally> tallies,
    List<SlabFault> faults,
    List<Instant> instants,
    long droppedFaults,
    long slabs,
    long objects,
    long slots,
    long freePointers,
    long patternObjects,
    Map<String, Long> unreadableSlabPages,
    long unreadableDescriptors,
    long kfencePages,
    long pendingSlabs,
    boolean finished) {

  /// Frames that a thread takes at once. The least is the page allocator's largest block, which no
  /// slab crosses; the most bounds the steps through memory that a header merely claims.
  private static final int MIN_CHUNK = 1 << 10;

  private static final int MAX_CHUNK = 1 << 15;

  /// Slabs crowd in a few places: only many small pieces share them evenly.
  private static final int CHUNKS_PER_THREAD = 64;

  public SlabSurvey {
    tallies = List.copyOf(tallies);
    faults = List.copyOf(faults);
    instants = List.copyOf(instants);
    unreadableSlabPages = Map.copyOf(unreadableSlabPages);
  }

  /// What was counted in one cache.
  ///
  /// @param inuse sum of the slabs' `inuse`
  /// @param onCpuFreelists objects free on a CPU's own list, which `inuse` counts as handed out
  /// @param inSheaves objects free in sheaves, which `inuse` counts as handed out
  public record Tally(
      SlabCache cache, long slabs, long objects, long inuse, long onCpuFreelists, long inSheaves) {
    /// Objects that their users hold.
    public long allocated() {
      return inuse - onCpuFreelists - inSheaves;
    }
  }

  /// Something that breaks a rule and is legal for an instant: a CPU was stopped in the middle.
  ///
  /// @param cache null if it is not known
  /// @param what the state, a clause
  /// @param why what allows it, a clause
  /// @param isLegal false for what a fault that is reported has led to
  public record Instant(SlabCache cache, String what, String why, boolean isLegal) {
    Instant(SlabCache cache, String what, String why) {
      this(cache, what, why, true);
    }
  }

  /// Runs the pass.
  ///
  /// @param threads how many threads walk
  /// @param isOver asked between pieces of work; true ends the pass early
  public static SlabSurvey run(Kernel kernel, MemMap memMap, int threads, BooleanSupplier isOver) {
    return kernel.slabCaches().detection() instanceof SlabLayout.Detection.Old(OldSlabLayout old)
        ? new OldSlabSurvey(kernel, memMap, old, isOver).survey()
        : new Run(kernel, memMap, isOver).survey(Math.max(1, threads));
  }

  /// The slabs whose first page lies in a range of frames, of the caches asked for.
  ///
  /// @param most how many at most
  public static List<SlabView> views(
      Kernel kernel,
      MemMap memMap,
      long firstPfn,
      long endPfn,
      Predicate<SlabCache> wanted,
      int most) {
    List<SlabView> views = new ArrayList<>();
    eachView(
        kernel,
        memMap,
        firstPfn,
        endPfn,
        wanted,
        view -> {
          views.add(view);
          return views.size() < most;
        });
    return views;
  }

  /// The same, one after the other: a big cache has more slabs than the heap holds views.
  ///
  /// @param sink returns false if it wants no more
  public static void eachView(
      Kernel kernel,
      MemMap memMap,
      long firstPfn,
      long endPfn,
      Predicate<SlabCache> wanted,
      Predicate<SlabView> sink) {
    if (kernel.slabCaches().detection() instanceof SlabLayout.Detection.Old(OldSlabLayout old)) {
      new OldSlabSurvey(kernel, memMap, old, () -> false).eachView(firstPfn, endPfn, wanted, sink);
      return;
    }
    Run run = new Run(kernel, memMap, () -> false);
    run.prepareViews();
    run.eachView(firstPfn, endPfn, wanted, sink);
  }

  /// The slabs of SLUB whose first pages are these frames; fewer where a frame is the first of
  /// none.
  public static List<SlabView> views(Kernel kernel, MemMap memMap, List<Long> pfns) {
    Run run = new Run(kernel, memMap, () -> false);
    run.prepareViews();
    List<SlabView> views = new ArrayList<>();
    for (long pfn : pfns) {
      run.eachView(pfn, pfn + 1, _ -> true, views::add);
    }
    return views;
  }

  /// The pass.
  private static final class Run {
    private final Kernel kernel;
    private final VirtualMemory memory;
    private final MemMap memMap;
    private final SlabCaches caches;
    private final SlabLayout layout;
    private final BooleanSupplier isOver;
    private final SlabDescriptors descriptors;
    private final SlabFindings findings = new SlabFindings();
    private final List<SlabFault> faults = findings.faults();
    private final List<Instant> instants = findings.instants();

    private final SlabPlaces slabPlaces;
    private final Map<Long, List<SlabPlace>> places;
    private final SlabPatterns patterns;
    private final Optional<Sheaves> sheaves;
    private FreelistDecoder.Vote vote;

    Run(Kernel kernel, MemMap memMap, BooleanSupplier isOver) {
      this.kernel = kernel;
      this.memory = kernel.memory();
      this.memMap = memMap;
      this.caches = kernel.slabCaches();
      this.layout = caches.layout().orElseThrow();
      this.isOver = isOver;
      this.patterns = SlabPatterns.of(kernel);
      this.descriptors = SlabDescriptors.of(kernel, memMap);
      this.sheaves =
          layout.sheaves().map(shape -> Sheaves.gather(kernel, shape, caches.caches(), isOver));
      sheaves.ifPresent(all -> all.faults().forEach(findings::found));
      this.slabPlaces = new SlabPlaces(descriptors, findings, isOver);
      this.places = slabPlaces.bySlab();
    }

    SlabSurvey survey(int threads) {
      slabPlaces.gather();
      SlabVotes votes = new SlabVotes(descriptors, places);
      vote = votes.vote();
      SlabVotes.Frozen onCpuPartial = votes.frozenOnCpuPartial();
      UnlistedSlabs.Marks marks =
          new UnlistedSlabs.Marks(
              onCpuPartial != SlabVotes.Frozen.NONE && layout.cpu().isPresent(), votes.markOfPartial());
      List<SlabWalk> walks = new ArrayList<>();
      long share = Math.max(1, memMap.endPfn() / threads / CHUNKS_PER_THREAD);
      long chunk = Math.clamp(Long.highestOneBit(share), MIN_CHUNK, MAX_CHUNK);
      SlabWalk.Pass pass =
          new SlabWalk.Pass(
              descriptors,
              places,
              vote.decoder(),
              onCpuPartial,
              marks,
              patterns,
              sheaves,
              new ConcurrentHashMap<>(),
              isOver,
              new AtomicLong(),
              chunk);
      List<Thread> started = new ArrayList<>();
      for (int i = 0; i < threads; i++) {
        SlabWalk walk = new SlabWalk(pass);
        walks.add(walk);
        if (i > 0) {
          started.add(Thread.ofPlatform().name("slab-walk-" + i).start(walk));
        }
      }
      walks.getFirst().run();
      started.forEach(Run::join);
      walks.forEach(SlabWalk::rethrow);
      return gather(walks);
    }

    private static void join(Thread thread) {
      boolean interrupted = false;
      while (true) {
        try {
          thread.join();
          break;
        } catch (InterruptedException _) {
          interrupted = true;
        }
      }
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }

    void prepareViews() {
      slabPlaces.gather();
      vote = new SlabVotes(descriptors, places).vote();
    }

    void eachView(
        long firstPfn, long endPfn, Predicate<SlabCache> wanted, Predicate<SlabView> sink) {
      SlabMemory slabMemory = new SlabMemory(memory.physical());
      Freelist.Walker walker = new Freelist.Walker(vote.decoder(), slabMemory);
      memMap.stream(
          firstPfn,
          endPfn,
          new MemMap.Visitor() {
            private boolean isEnough;

            @Override
            public void page(long pfn, MemorySegment bytes, long at) {
              if (!isEnough && memMap.isSlabHead(pfn, bytes, at)) {
                Slab slab = descriptors.readSlab(memMap.descriptor(pfn));
                if (slab != null && wanted.test(slab.cache())) {
                  isEnough = !sink.test(view(slab, walker));
                }
              }
            }

            @Override
            public void unreadable(long first, long count) {}
          });
    }

    private SlabView view(Slab slab, Freelist.Walker walker) {
      List<SlabPlace> where = places.getOrDefault(slab.address(), List.of());
      List<SlabView.FreeObjects> lists = new ArrayList<>();
      walker.start(slab);
      for (SlabPlace place : where) {
        if (place.kind() == SlabPlace.Kind.CPU_SLAB) {
          Freelist list = walker.walk(slab, place.cpuFreelist(), place.cpuFreelistSlot());
          lists.add(
              SlabView.FreeObjects.chain(
                  slab,
                  "kmem_cache_cpu.freelist of cpu " + place.cpu(),
                  place.cpuFreelistSlot(),
                  walker.lastMet(list),
                  list));
        }
      }
      long headSlot = slab.address() + layout.freelistAt();
      Freelist own = walker.walk(slab, slab.freelist(), headSlot);
      lists.add(
          SlabView.FreeObjects.chain(slab, "slab.freelist", headSlot, walker.lastMet(own), own));
      sheaves.ifPresent(all -> lists.addAll(all.in(slab)));
      return new SlabView(slab, where, lists);
    }

    // ---- the result

    private SlabSurvey gather(List<SlabWalk> walks) {
      List<Tally> tallies = new ArrayList<>();
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
          finished ? new LostSlabs(descriptors, places, faults, sums, seen).settle(unreadDescriptors == 0) : Set.of();
      NodeCounters counters = new NodeCounters(descriptors, findings);
      boolean isByNode = counters.isByNode(sums);
      for (SlabCache cache : caches.caches()) {
        SlabCounts sum = sums.get(cache.address());
        tallies.add(
            new Tally(
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
          counters.checkTotals(cache, counters.shares(cache, sum, isByNode), unlisted, excused, missing);
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
      sheaves.ifPresent(all -> all.settle(faults::add, instants::add));
      ofUnlisted.forEach(
          (cache, count) ->
              instants.add(
                  new Instant(
                      cache,
                      count == 1 ? "a slab of it is there" : count + " slabs of it are there",
                      caches.isListWhole()
                          ? "kmem_cache_destroy took the cache off slab_caches: it waits for a"
                              + " grace period, or objects of it were still in use"
                          : "slab_caches is broken before it")));
      faults.sort(
          Comparator.<SlabFault, String>comparing(f -> f.cache() == null ? "" : f.cache().name())
              .thenComparing(SlabFault::address, Long::compareUnsigned)
              .thenComparing(SlabFault::toString));
      return new SlabSurvey(
          vote,
          tallies,
          faults,
          instants,
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

    /// Slabs that are full or frozen on a node's partial list: the kernel takes a slab's freelist
    /// first and the slab off the list next, both under list_lock (`get_partial_node`,
    /// `alloc_single_from_partial`, and from 7.0 on `get_from_partial_node`), so that there may be
    /// one while the lock is held.
    private void taken(List<SlabFault.Place> taken) {
      Map<SlabCache.Node, List<SlabFault.Place>> byNode = new LinkedHashMap<>();
      for (SlabFault.Place one : taken) {
        int id =
            one.places().stream().filter(SlabPlace::isOfNode).findFirst().orElseThrow().index();
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
              instants.add(
                  new Instant(
                      first.cache(), first.why(), "list_lock is held: it may be taken off"));
            } else {
              faults.addAll(ofNode);
            }
          });
    }

    /// Slabs of no known cache: under construction, or of the caches that miss as many, and then
    /// one fault and not two.
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
              instants::add);
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
      for (SlabPlaces.LockedCount count : slabPlaces.lockedCounts()) {
        SlabCache cache = count.fault().cache();
        if (unlisted.notFull(cache) >= count.missing()) {
          instants.add(
              new Instant(
                  cache,
                  "nr_partial is %d and %d slabs are on the list"
                      .formatted(count.fault().actual(), count.fault().expected()),
                  "list_lock is held, and the others are on no list: they are moved"));
        } else {
          faults.add(count.fault());
        }
      }
      for (SlabPlaces.CutChain cut : slabPlaces.cutChains()) {
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
            cache, kernel.perCpu().cpus().size(), isExplained, instants::add, faults::add);
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
                  place.wordAt() != 0 ? entry.getKey() : descriptors.word(entry.getKey() + layout.listAt()),
                  pfn,
                  pfn < 0
                      ? "0x%x is no page descriptor".formatted(entry.getKey())
                      : "page frame 0x%x is not marked as a slab of a known cache".formatted(pfn)));
        }
      }
    }
  }
}
