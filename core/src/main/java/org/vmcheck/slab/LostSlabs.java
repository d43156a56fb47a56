package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.vmcheck.dump.PageRead;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Printable;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;

/// Looks for the slabs that `nr_slabs` of a cache counts and the stream did not meet as slabs of
/// it: those that name another cache, those that lost their mark, and descriptors that were wiped.
/// Each is told where the bad word is, and counted where it belongs, so that the counter, which was
/// right, is no second fault.
final class LostSlabs {
  private static final int MAX_CANDIDATES = 1 << 10;

  private final SlabDescriptors descriptors;
  private final VirtualMemory memory;
  private final MemMap memMap;
  private final SlabCaches caches;
  private final SlabLayout layout;
  private final Map<Long, List<SlabPlace>> places;
  private final List<SlabFault> faults;
  private final Map<Long, SlabCounts> sums;
  private final Set<Long> seen;

  /// Wiped descriptors that a list names, and the words for the list.
  private final Map<Long, SlabPlace> wipedOnLists = new TreeMap<>();

  /// @param places by the address of the slab's descriptor
  /// @param faults found so far; corrected in place
  /// @param sums what was met of each cache, by its address; corrected in place
  /// @param seen slabs on lists that were met; those found here are added
  LostSlabs(
      SlabDescriptors descriptors,
      Map<Long, List<SlabPlace>> places,
      List<SlabFault> faults,
      Map<Long, SlabCounts> sums,
      Set<Long> seen) {
    this.descriptors = descriptors;
    this.memory = descriptors.memory();
    this.memMap = descriptors.memMap();
    this.caches = descriptors.caches();
    this.layout = descriptors.layout();
    this.places = places;
    this.faults = faults;
    this.sums = sums;
    this.seen = seen;
  }

  /// @param isComplete whether all descriptors were read, so that the counters can be judged
  /// @return addresses of caches whose missing slabs are accounted for by wiped descriptors
  Set<Long> settle(boolean isComplete) {
    onLists();
    Map<Long, Long> missing = isComplete ? missing() : Map.of();
    if (!missing.isEmpty()) {
      inOtherCaches(missing);
      missing = missing();
    }
    Search search = new Search(missing.keySet());
    if (!missing.isEmpty()) {
      memMap.stream(0, memMap.endPfn(), search, memMap.newBuffer());
    }
    for (Map.Entry<Long, List<Slab>> entry : search.found.entrySet()) {
      if (entry.getValue().size() <= missing.get(entry.getKey())) {
        entry.getValue().forEach(slab -> unmarked(slab, "nr_slabs of the cache counts it"));
      }
    }
    return wiped(search.wiped, isComplete ? missing() : Map.of());
  }

  /// How many slabs each cache counts that were not found.
  private Map<Long, Long> missing() {
    Map<Long, Long> missing = new HashMap<>();
    for (SlabCache cache : caches.caches()) {
      long excess = excess(cache);
      if (excess < 0) {
        missing.put(cache.address(), -excess);
      }
    }
    return missing;
  }

  /// How many slabs more were found than the cache counts; 0 where it does not count, or is on no
  /// list of caches, so that its slabs were not counted here either.
  private long excess(SlabCache cache) {
    long counted = 0;
    for (SlabCache.Node node : cache.nodes()) {
      if (node.slabs() < 0) {
        return 0; // Not counted, or a counter that cannot be right.
      }
      counted += node.slabs();
    }
    SlabCounts sum = sums.get(cache.address());
    return sum != null && cache.isSane() ? sum.slabs - counted : 0;
  }

  private void onLists() {
    places.forEach(
        (address, where) -> {
          long pfn = memMap.pfn(address);
          SlabPlace place = where.getFirst();
          if (pfn < 0
              || seen.contains(address)
              || descriptors.kfence().has(pfn)
              || !(memory.read(address, memMap.shape().size())
                  instanceof MemoryRead.Bytes(ByteView view))) {
            return;
          }
          byte[] bytes = view.bytes();
          if (memMap.isWiped(bytes, 0)) {
            wipedOnLists.put(address, place);
          } else if (place.cache().isSane()
              && !memMap.isMarkedAsSlab(bytes, 0)
              && MemMap.word(bytes, layout.slabCacheAt()) == place.cache().address()) {
            unmarked(
                Slab.of(layout, place.cache(), address, pfn, descriptors.base(pfn), bytes, 0),
                "the slab is on the " + place.words());
          }
        });
    seen.addAll(wipedOnLists.keySet());
  }

  private void unmarked(Slab slab, String why) {
    long mark = slab.address() + memMap.slabMarkAt();
    faults.add(
        new SlabFault.Descriptor(
            slab.cache(),
            slab.address(),
            slab.pfn(),
            mark,
            descriptors.word(mark),
            memMap.slabMarkName(),
            "it does not mark a slab, though slab_cache names the cache, its counters fit, and "
                + why));
    seen.add(slab.address());
    count(slab, 1);
  }

  private void count(Slab slab, int sign) {
    sums.get(slab.cache().address()).count(slab, descriptors.nodeOf(slab.pfn()), sign);
  }

  /// Full slabs that name another cache: it has one too many, and the slab's count of objects is
  /// right for the cache that misses one.
  private void inOtherCaches(Map<Long, Long> missing) {
    Map<SlabCache, List<Slab>> found = new LinkedHashMap<>();
    for (SlabFault fault : faults) {
      if (fault instanceof SlabFault.Count(SlabCache cache, Slab slab, String counter, _, _, _, _)
          && slab != null
          && counter.equals("slab.objects")
          && excess(cache) > 0
          && !places.containsKey(slab.address())
          && slabAgain(slab, cache) != null) {
        for (SlabCache other : caches.caches()) {
          if (missing.containsKey(other.address())) {
            Slab seenAs = slabAgain(slab, other);
            if (seenAs != null
                && seenAs.objects() == seenAs.walkableObjects()
                && seenAs.inuse() == seenAs.objects()
                && seenAs.freelist() == 0) {
              found.computeIfAbsent(other, _ -> new ArrayList<>()).add(slab);
            }
          }
        }
      }
    }
    Set<Long> settled = new HashSet<>();
    found.forEach(
        (cache, slabs) -> {
          long named = slabs.stream().map(Slab::cache).distinct().count();
          boolean isOne =
              slabs.size() <= missing.get(cache.address())
                  && found.values().stream().filter(slabs::equals).count() == 1
                  && slabs.stream()
                      .allMatch(slab -> excess(slab.cache()) >= (named == 1 ? slabs.size() : 1));
          for (Slab slab : isOne ? slabs : List.<Slab>of()) {
            if (!settled.add(slab.address())) {
              continue;
            }
            count(slab, -1);
            count(slabAgain(slab, cache), 1);
            faults.removeIf(fault -> SlabFindings.slabOf(fault) == slab.address());
            faults.add(
                new SlabFault.Owner(
                    cache,
                    slab.address(),
                    slab.address() + layout.slabCacheAt(),
                    slab.pfn(),
                    slab.cache().address(),
                    "that is cache %s, which has a slab more than it counts; this cache has one less, and the slab's %d objects are as many as its slabs hold"
                        .formatted(Printable.of(slab.cache().name(), 60), slab.objects())));
          }
        });
  }

  private Slab slabAgain(Slab slab, SlabCache as) {
    return memory.read(slab.address(), memMap.shape().size())
            instanceof MemoryRead.Bytes(ByteView view)
        ? Slab.of(layout, as, slab.address(), slab.pfn(), slab.base(), view.bytes(), 0)
        : null;
  }

  /// One fault a page of the memory map that holds wiped descriptors of slabs.
  private Set<Long> wiped(List<Long> inStream, Map<Long, Long> missing) {
    Map<Long, List<Long>> byPage = new TreeMap<>();
    Set<Long> all = new TreeSet<>(inStream);
    all.addAll(wipedOnLists.keySet());
    for (long address : all) {
      byPage.computeIfAbsent(memory.pageStart(address), _ -> new ArrayList<>()).add(address);
    }
    long lost = missing.values().stream().mapToLong(Long::longValue).sum();
    Set<Long> covered = new HashSet<>();
    byPage.forEach(
        (_, addresses) -> {
          List<SlabPlace> named =
              addresses.stream().filter(wipedOnLists::containsKey).map(wipedOnLists::get).toList();
          boolean holdsAll = lost > 0 && lost <= addresses.size() && byPage.size() == 1;
          if (named.isEmpty() && !holdsAll) {
            return;
          }
          if (holdsAll) {
            covered.addAll(missing.keySet());
          }
          SlabCache cache =
              !named.isEmpty()
                  ? named.getFirst().cache()
                  : caches.byAddress().get(missing.keySet().iterator().next());
          long first =
              addresses.stream()
                  .filter(one -> named.isEmpty() || wipedOnLists.containsKey(one))
                  .findFirst()
                  .orElseThrow();
          faults.add(
              new SlabFault.Descriptor(
                  cache,
                  first,
                  memMap.pfn(first),
                  first,
                  0,
                  "struct page",
                  "it is all zeros%s%s%s"
                      .formatted(
                          addresses.size() > 1
                              ? ", as %s from 0x%x on"
                                  .formatted(
                                      addresses.size() == 2
                                          ? "is one other"
                                          : "are %d others".formatted(addresses.size() - 1),
                                      addresses.getFirst())
                              : "",
                          named.isEmpty()
                              ? ""
                              : ", and the "
                                  + named.getFirst().words()
                                  + (named.size() > 1
                                      ? " names it, as other lists name %d of the others"
                                          .formatted(named.size() - 1)
                                      : " names it"),
                          holdsAll
                              ? "; slabs that nr_slabs counts and that are not found: " + lost
                              : "")));
          for (SlabPlace place : named) {
            covered.add(place.cache().address());
          }
        });
    return covered;
  }

  /// Descriptors without the mark of a slab that are one of a cache that misses some, and wiped
  /// ones.
  private final class Search implements MemMap.Visitor {
    private final Set<Long> wanted;
    private final Map<Long, List<Slab>> found = new TreeMap<>();
    private final List<Long> wiped = new ArrayList<>();

    Search(Set<Long> wanted) {
      this.wanted = wanted;
    }

    @Override
    public void unreadable(long firstPfn, long count) {}

    @Override
    public void page(long pfn, byte[] bytes, int at) {
      long owner = MemMap.word(bytes, at + layout.slabCacheAt());
      if (owner == 0) {
        if (wiped.size() < MAX_CANDIDATES
            && memMap.isWiped(bytes, at)
            && !(memory.physical().read(pfn) instanceof PageRead.NotInDump)) {
          wiped.add(memMap.descriptor(pfn));
        }
        return;
      }
      if (!wanted.contains(owner)
          || memMap.isMarkedAsSlab(bytes, at)
          || memMap.isFreeBlock(bytes, at)
          || memMap.isTail(bytes, at)) {
        return;
      }
      long address = memMap.descriptor(pfn);
      Slab slab =
          Slab.of(
              layout,
              caches.byAddress().get(owner),
              address,
              pfn,
              descriptors.base(pfn),
              bytes,
              at);
      boolean fits =
          slab.objects() == slab.walkableObjects()
              && slab.inuse() <= slab.objects()
              && (slab.freelist() == 0
                  ? slab.inuse() == slab.objects()
                  : slab.index(slab.freelist()) >= 0);
      List<Slab> ofCache = found.computeIfAbsent(owner, _ -> new ArrayList<>());
      if (fits && !seen.contains(address) && ofCache.size() < MAX_CANDIDATES) {
        ofCache.add(slab);
      }
    }
  }
}
