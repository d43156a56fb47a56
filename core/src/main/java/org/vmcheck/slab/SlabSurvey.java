package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Predicate;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;

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
/// @param transients states that are legal only for an instant, in which a CPU was stopped
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
    List<TransientState> transients,
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

  public SlabSurvey {
    tallies = List.copyOf(tallies);
    faults = List.copyOf(faults);
    transients = List.copyOf(transients);
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

  /// Runs the pass.
  ///
  /// @param threads how many threads walk
  /// @param isOver asked between pieces of work; true ends the pass early
  public static SlabSurvey run(Kernel kernel, MemMap memMap, int threads, BooleanSupplier isOver) {
    return SlabCaches.of(kernel).detection()
            instanceof SlabLayout.Detection.Old(ClassicSlabLayout old)
        ? new ClassicSlabSurvey(kernel, memMap, old, isOver).survey()
        : new SlubPass(kernel, memMap, isOver).survey(Math.max(1, threads));
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
    if (SlabCaches.of(kernel).detection()
        instanceof SlabLayout.Detection.Old(ClassicSlabLayout old)) {
      new ClassicSlabViews(kernel, memMap, old).eachView(firstPfn, endPfn, wanted, sink);
      return;
    }
    SlubPass pass = new SlubPass(kernel, memMap, () -> false);
    pass.prepareViews();
    pass.eachView(firstPfn, endPfn, wanted, sink);
  }

  /// The slabs of SLUB whose first pages are these frames; fewer where a frame is the first of
  /// none.
  public static List<SlabView> views(Kernel kernel, MemMap memMap, List<Long> pfns) {
    SlubPass pass = new SlubPass(kernel, memMap, () -> false);
    pass.prepareViews();
    List<SlabView> views = new ArrayList<>();
    for (long pfn : pfns) {
      pass.eachView(pfn, pfn + 1, _ -> true, views::add);
    }
    return views;
  }
}
