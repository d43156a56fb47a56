package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import java.util.function.Predicate;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;

/// The pass of [SlabSurvey] over a kernel with SLUB: the places first, then the slabs, by several
/// threads, then what can be settled only when all were seen. Or views of single slabs.
final class SlubPass {
  /// Frames that a thread takes at once. The least is the page allocator's largest block, which no
  /// slab crosses; the most bounds the steps through memory that a header merely claims.
  private static final int MIN_CHUNK = 1 << 10;

  private static final int MAX_CHUNK = 1 << 15;

  /// Slabs crowd in a few places: only many small pieces share them evenly.
  private static final int CHUNKS_PER_THREAD = 512;

  private final VirtualMemory memory;
  private final MemMap memMap;
  private final SlabLayout layout;
  private final BooleanSupplier isOver;
  private final SlabDescriptors descriptors;
  private final SlabFindings findings = new SlabFindings();
  private final PartialLists slabPlaces;
  private final Map<Long, List<SlabPlace>> places;
  private final DebugPatterns patterns;
  private final Optional<Sheaves> sheaves;
  private FreelistDecoder.Vote vote;

  SlubPass(Kernel kernel, MemMap memMap, BooleanSupplier isOver) {
    this.memory = kernel.memory();
    this.memMap = memMap;
    this.isOver = isOver;
    this.patterns = DebugPatterns.of(kernel);
    this.descriptors = SlabDescriptors.of(kernel, memMap);
    this.layout = descriptors.layout();
    this.sheaves =
        layout
            .sheaves()
            .map(shape -> Sheaves.gather(kernel, shape, descriptors.caches().caches(), isOver));
    sheaves.ifPresent(all -> all.faults().forEach(findings::found));
    this.slabPlaces = new PartialLists(descriptors, findings, isOver);
    this.places = slabPlaces.bySlab();
  }

  SlabSurvey survey(int threads) {
    slabPlaces.gather();
    EncodingVote votes = new EncodingVote(descriptors, places);
    vote = votes.vote();
    EncodingVote.Frozen onCpuPartial = votes.frozenOnCpuPartial();
    UnlistedSlabs.Marks marks =
        new UnlistedSlabs.Marks(
            onCpuPartial != EncodingVote.Frozen.NONE && layout.cpu().isPresent(),
            votes.markOfPartial());
    List<SlabWalk> walks = new ArrayList<>();
    long share = Math.max(1, memMap.endPfn() / threads / CHUNKS_PER_THREAD);
    long chunk = Math.clamp(Long.highestOneBit(share), MIN_CHUNK, MAX_CHUNK);
    // Where pages are unpacked, that is most of the work, and it is compiled from the start.
    boolean isPacked = !descriptors.kernel().dump().container().codecs().isEmpty();
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
            chunk,
            new CountDownLatch(isPacked ? 0 : 1));
    List<Thread> started = new ArrayList<>();
    try {
      for (int i = 0; i < threads; i++) {
        SlabWalk walk = new SlabWalk(pass);
        walks.add(walk);
        if (i > 0) {
          Runnable later =
              () -> {
                await(pass.warm());
                walk.run();
              };
          started.add(Thread.ofPlatform().name("slab-walk-" + i).start(later));
        }
      }
      walks.getFirst().run();
    } finally {
      pass.warm().countDown();
    }
    started.forEach(SlubPass::join);
    walks.forEach(SlabWalk::rethrow);
    return new SlabSettlement(descriptors, slabPlaces, findings, sheaves, vote).settle(walks);
  }

  private static void await(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt(); // It is not worth more than a little time.
    }
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

  /// How free pointers are stored: known behind [#prepareViews] and [#survey].
  FreelistDecoder decoder() {
    return vote.decoder();
  }

  void prepareViews() {
    slabPlaces.gather();
    vote = new EncodingVote(descriptors, places).vote();
  }

  void eachView(long firstPfn, long endPfn, Predicate<SlabCache> wanted, Predicate<SlabView> sink) {
    SlabMemory slabMemory = new SlabMemory(memory.physical());
    Freelist.Walker walker = new Freelist.Walker(vote.decoder(), slabMemory);
    memMap.stream(
        firstPfn,
        endPfn,
        new MemMap.Visitor() {
          private boolean isEnough;

          @Override
          public void page(long pfn, byte[] bytes, int at) {
            if (!isEnough && memMap.isSlabHead(pfn, bytes, at)) {
              Slab slab = descriptors.readSlab(memMap.descriptor(pfn));
              if (slab != null && wanted.test(slab.cache())) {
                isEnough = !sink.test(view(slab, walker));
              }
            }
          }

          @Override
          public void unreadable(long first, long count) {}
        },
        memMap.newBuffer());
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
