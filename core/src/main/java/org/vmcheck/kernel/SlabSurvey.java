package org.vmcheck.kernel;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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
    private final VirtualMemory memory;
    private final MemMap memMap;
    private final SlabLayout layout;
    private final BooleanSupplier isOver;
    private final SlabDescriptors descriptors;
    private final SlabFindings findings = new SlabFindings();
    private final SlabPlaces slabPlaces;
    private final Map<Long, List<SlabPlace>> places;
    private final SlabPatterns patterns;
    private final Optional<Sheaves> sheaves;
    private FreelistDecoder.Vote vote;

    Run(Kernel kernel, MemMap memMap, BooleanSupplier isOver) {
      this.memory = kernel.memory();
      this.memMap = memMap;
      this.isOver = isOver;
      this.patterns = SlabPatterns.of(kernel);
      this.descriptors = SlabDescriptors.of(kernel, memMap);
      this.layout = descriptors.layout();
      this.sheaves =
          layout.sheaves().map(shape -> Sheaves.gather(kernel, shape, descriptors.caches().caches(), isOver));
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
      return new SlabSettlement(descriptors, slabPlaces, findings, sheaves, vote).settle(walks);
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
  }
}
