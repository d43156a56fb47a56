package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.LongPredicate;
import java.util.stream.Collectors;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.ListPoison;

/// Slabs of each cache that no list keeps although they are not simply full: on their way from one
/// place to another, or lost.
///
/// What a CPU, stopped at any moment, may leave behind (Linux `mm/slub.c`):
/// - a slab under construction (`allocate_slab`) or being given back (`discard_slab`): in no
///   counter of the node, whatever its words say, one a CPU;
/// - empty slabs that wait on a stack to be given back (`free_partial`, `__kmem_cache_do_shrink`);
/// - slabs carried between lists: a CPU's partial chain on its way to the node
///   (`__unfreeze_partials`, `__put_partials`) or what a sheaf is refilled from
///   (`get_partial_node_bulk`). They are frozen up to 6.7, and from 6.8 on lack the mark that each
///   slab of a node's list carries;
/// - one slab a CPU between any two of these.
///
/// The counts are added up thread by thread and judged once, when all slabs were seen.
final class UnlistedSlabs {
  /// No chain of a CPU and no refill of a sheaf takes more slabs at a time.
  private static final int MAX_CARRIED = 64;

  private static final int MAX_NAMES = 8;
  private static final int MAX_NAME = 60;

  /// Slabs that tasks may build that sleep: `account_slab` allocates `obj_exts` before the slab has
  /// its cache, and waits for memory where there is little (5.17 on).
  private static final int MAX_BUILT = 64;

  private final SlabLayout layout;
  private final Map<Long, Counts> caches = new HashMap<>();

  UnlistedSlabs(SlabLayout layout) {
    this.layout = layout;
  }

  /// Of one cache.
  private static final class Counts {
    int empty;
    int marked;
    int carried;
    int other;
    int frozenFull;
    Slab first;
    Slab firstMarked;
    Slab firstFrozen;

    /// Addresses of those with faults of their own.
    final Set<Long> faulty = new HashSet<>();

    int notFull() {
      return empty + marked + carried + other;
    }

    /// How many may be ones that the node does not count.
    int candidates() {
      return notFull() + frozenFull + faulty.size();
    }

    void merge(Counts more) {
      empty += more.empty;
      marked += more.marked;
      carried += more.carried;
      other += more.other;
      frozenFull += more.frozenFull;
      first = lower(first, more.first);
      firstMarked = lower(firstMarked, more.firstMarked);
      firstFrozen = lower(firstFrozen, more.firstFrozen);
      faulty.addAll(more.faulty);
    }

    private static Slab lower(Slab one, Slab other) {
      return one == null || (other != null && other.pfn() < one.pfn()) ? other : one;
    }
  }

  /// What tells a slab that a CPU carries from one that is lost.
  ///
  /// @param frozen whether slabs on their way from a CPU's partial chain are frozen
  /// @param mark mask of the flag that slabs on a node's list carry; 0 if there is none
  record Marks(boolean frozen, long mark) {}

  /// Takes note of a slab on no list.
  ///
  /// @param isClosed whether its freelist ends as it should
  /// @param isFaulty whether something was reported of it
  void add(Slab slab, boolean isClosed, boolean isFaulty, Marks marks) {
    boolean full = slab.inuse() >= slab.objects();
    if (!isFaulty && (full ? !slab.frozen() : !isClosed)) {
      return;
    }
    Counts counts = caches.computeIfAbsent(slab.cache().address(), _ -> new Counts());
    if (isFaulty) {
      if (counts.faulty.size() < MAX_CARRIED) {
        counts.faulty.add(slab.address());
      }
      return;
    }
    if (full) {
      counts.frozenFull++;
      counts.firstFrozen = counts.firstFrozen == null ? slab : counts.firstFrozen;
      return;
    }
    if (slab.inuse() == 0) {
      counts.empty++;
      return;
    }
    counts.first = counts.first == null ? slab : counts.first;
    if (marks.mark() != 0 && (slab.flags() & marks.mark()) != 0) {
      counts.marked++;
      counts.firstMarked = counts.firstMarked == null ? slab : counts.firstMarked;
    } else if (marks.mark() != 0 || (marks.frozen() && slab.frozen())) {
      counts.carried++;
    } else {
      counts.other++;
    }
  }

  /// Adds what another thread saw.
  void merge(UnlistedSlabs more) {
    more.caches.forEach((cache, counts) -> of(cache).merge(counts));
  }

  private Counts of(long cache) {
    return caches.computeIfAbsent(cache, _ -> new Counts());
  }

  /// How many slabs with free objects no list of a cache keeps.
  int notFull(SlabCache cache) {
    Counts counts = caches.get(cache.address());
    return counts == null ? 0 : counts.notFull();
  }

  /// Whether so many slabs that the node does not count can be ones that a CPU builds or gives
  /// back.
  ///
  /// @param uncounted slabs found beyond `nr_slabs`
  boolean explains(SlabCache cache, long uncounted, int cpus) {
    Counts counts = caches.get(cache.address());
    return counts != null && uncounted > 0 && uncounted <= Math.min(cpus, counts.candidates());
  }

  /// The slabs whose own faults so many uncounted slabs explain: all that have any, or none.
  Set<Long> excused(SlabCache cache, long uncounted) {
    Counts counts = caches.get(cache.address());
    return counts == null || counts.faulty.size() > uncounted ? Set.of() : counts.faulty;
  }

  /// Judges what is left of a cache.
  ///
  /// @param isExplained whether a broken list of the cache accounts for slabs that no list keeps
  void judge(
      SlabCache cache,
      int cpus,
      boolean isExplained,
      Consumer<TransientState> transients,
      Consumer<SlabFault> faults) {
    Counts counts = caches.get(cache.address());
    if (counts == null) {
      return;
    }
    if (isExplained && counts.notFull() > 0) {
      transients.accept(
          new TransientState(
              cache, words(counts.notFull()), "a list of the cache is broken before them", false));
    } else {
      judgeNotFull(cache, counts, cpus, transients, faults);
    }
    if (counts.frozenFull > 0) {
      String what =
          counts.frozenFull == 1
              ? "a full slab is frozen and no CPU's"
              : counts.frozenFull + " full slabs are frozen and no CPU's";
      if (counts.frozenFull <= cpus) {
        transients.accept(new TransientState(cache, what, "a CPU may take one up or give it back"));
      } else {
        Slab first = counts.firstFrozen;
        faults.accept(
            place(
                first,
                SlabFault.PlaceRule.NOT_FROZEN_WHERE_NO_CPU_HAS_IT,
                first.address() + layout.countersAt(),
                1,
                what));
      }
    }
  }

  private void judgeNotFull(
      SlabCache cache,
      Counts counts,
      int cpus,
      Consumer<TransientState> transients,
      Consumer<SlabFault> faults) {
    long locked = cache.nodes().stream().filter(SlabCache.Node::isLocked).count();
    if (counts.marked > locked) {
      Slab first = counts.firstMarked;
      faults.accept(
          place(
              first,
              SlabFault.PlaceRule.ON_A_LIST,
              first.address(),
              first.flags(),
              words(counts.marked) + " and marked as being on a node's"));
    } else if (counts.marked > 0) {
      transients.accept(
          new TransientState(cache, words(counts.marked), "list_lock is held: it may be moved"));
    }
    if (counts.carried > cpus * MAX_CARRIED || counts.other > cpus) {
      Slab first = counts.first;
      faults.accept(
          place(
              first,
              SlabFault.PlaceRule.ON_A_LIST,
              first.address() + layout.listAt(),
              first.next(),
              words(counts.carried + counts.other)));
    } else if (counts.carried + counts.other > 0) {
      transients.accept(
          new TransientState(
              cache,
              words(counts.carried + counts.other),
              counts.other == 0
                  ? "a CPU may carry them between two lists"
                  : "a CPU may hold one between two lists"));
    }
    if (counts.empty > 0) {
      transients.accept(
          new TransientState(
              cache,
              counts.empty == 1
                  ? "an empty slab is on no list"
                  : counts.empty + " empty slabs are on no list",
              "they may wait to be given back"));
    }
  }

  private static SlabFault place(
      Slab slab, SlabFault.PlaceRule rule, long address, long raw, String why) {
    return new SlabFault.Place(slab, List.of(), rule, address, raw, why);
  }

  private static String words(int count) {
    return count == 1
        ? "a slab with free objects is on no list"
        : count + " slabs with free objects are on no list";
  }

  /// Settles page frames that are marked as slabs and name no cache.
  ///
  /// @param strangers such slabs, on no list
  /// @param missing how many slabs each cache counts that were not found
  /// @param isCounted whether all caches count their slabs
  /// @param isJustAllocated whether a page frame looks as the page allocator hands it out
  /// @return the faults that remain
  static List<SlabFault.Owner> settle(
      List<SlabFault.Owner> strangers,
      Map<SlabCache, Long> missing,
      boolean isCounted,
      int cpus,
      LongPredicate isJustAllocated,
      Consumer<TransientState> transients) {
    if (strangers.isEmpty() || !isCounted) {
      return strangers;
    }
    long lost = missing.values().stream().mapToLong(Long::longValue).sum();
    if (lost == 0
        && strangers.size() <= cpus + MAX_BUILT
        && strangers.stream()
            .allMatch(one -> isUnset(one.slabCache()) && isJustAllocated.test(one.pfn()))) {
      for (SlabFault.Owner one : strangers) {
        transients.accept(
            new TransientState(
                null,
                "slab_cache of the slab at 0x%x is not set".formatted(one.slab()),
                "a CPU or a task may build it: it is on no list and in no counter"));
      }
      return List.of();
    }
    if (lost != strangers.size()) {
      return strangers;
    }
    boolean isOfOne = missing.size() == 1;
    SlabCache cache = isOfOne ? missing.keySet().iterator().next() : null;
    String why =
        isOfOne
            ? "; as many slabs are missing from nr_slabs of this cache"
            : "; as many slabs, %d, are missing from nr_slabs of the caches %s%s"
                .formatted(
                    lost,
                    missing.keySet().stream()
                        .limit(MAX_NAMES)
                        .map(one -> Printable.of(one.name(), MAX_NAME))
                        .collect(Collectors.joining(", ")),
                    missing.size() > MAX_NAMES ? " and more" : "");
    List<SlabFault.Owner> named = new ArrayList<>();
    for (SlabFault.Owner one : strangers) {
      named.add(
          new SlabFault.Owner(
              cache, one.slab(), one.address(), one.pfn(), one.slabCache(), one.why() + why));
    }
    return named;
  }

  /// From 6.2 on `slab_cache` lies over a link of the page allocator's lists.
  private static boolean isUnset(long slabCache) {
    return ListPoison.isFirstOfAllocated(slabCache);
  }
}
