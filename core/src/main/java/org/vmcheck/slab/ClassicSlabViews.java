package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.vmcheck.dump.PageRead;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.kernel.StructRef;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;

/// Slabs of the SLAB allocator as they are shown: where each lies, and which of its objects are
/// free and by what.
final class ClassicSlabViews {
  /// What holds the free objects of a slab, in words.
  static final String FREE_INDICES = "array of free indices";

  private final Kernel kernel;
  private final VirtualMemory memory;
  private final MemMap memMap;
  private final ClassicSlabLayout layout;
  private final ArrayCaches arrays;

  ClassicSlabViews(Kernel kernel, MemMap memMap, ClassicSlabLayout layout) {
    this.kernel = kernel;
    this.memory = kernel.memory();
    this.memMap = memMap;
    this.layout = layout;
    this.arrays = new ArrayCaches(kernel, layout, _ -> {});
  }

  /// The slabs whose first page lies in a range of frames, of the caches asked for.
  void eachView(long firstPfn, long endPfn, Predicate<SlabCache> wanted, Predicate<SlabView> sink) {
    SlabCaches caches = SlabCaches.of(kernel);
    Map<Long, List<SlabPlace>> places = new HashMap<>();
    for (SlabCache cache : caches.caches()) {
      if (cache.isSane() && wanted.test(cache)) {
        arrays.read(cache);
        places(cache, places);
      }
    }
    arrays.sort();
    memMap.stream(
        firstPfn,
        endPfn,
        new MemMap.Visitor() {
          private boolean isEnough;

          @Override
          public void page(long pfn, byte[] bytes, int at) {
            if (isEnough || !memMap.isSlabHead(pfn, bytes, at)) {
              return;
            }
            SlabCache cache = caches.byAddress().get(MemMap.word(bytes, at + layout.slabCacheAt()));
            if (cache != null && cache.isSane() && wanted.test(cache)) {
              Slab slab = layout.slab(cache, memMap.descriptor(pfn), pfn, bytes, at);
              isEnough = !sink.test(view(slab, places.getOrDefault(slab.address(), List.of())));
            }
          }

          @Override
          public void unreadable(long first, long count) {}
        },
        memMap.newBuffer());
  }

  private void places(SlabCache cache, Map<Long, List<SlabPlace>> places) {
    for (SlabCache.Node node : cache.nodes()) {
      if (StructRef.read(memory, layout.node(), node.address()) instanceof StructRef lists) {
        for (ClassicSlabList list : ClassicSlabList.values()) {
          if (lists.has(list.member())) {
            SlabPlace place = new SlabPlace(list.place(), cache, -1, node.id(), 0, 0, 0);
            for (long link :
                ListWalk.walk(memory, lists.addressOf(list.member()), ClassicSlabList.MAX_SLABS)
                    .nodes()) {
              places.computeIfAbsent(link - layout.listAt(), _ -> new ArrayList<>(1)).add(place);
            }
          }
        }
      }
    }
  }

  private SlabView view(Slab slab, List<SlabPlace> places) {
    List<SlabView.FreeObjects> lists = new ArrayList<>();
    lists.add(indices(slab));
    lists.addAll(arrays.holding(slab));
    return new SlabView(slab, places, lists);
  }

  /// The free objects by the slab's array of indices, up to the first index that cannot be.
  private SlabView.FreeObjects indices(Slab slab) {
    List<Integer> objects = new ArrayList<>();
    List<Long> words = new ArrayList<>();
    Freelist.End end = new Freelist.End.Closed();
    int active = slab.inuse();
    long headSlot = slab.address() + layout.freelistAt();
    if (active < 0 || active > slab.objects()) {
      end = new Freelist.End.BadPointer(Freelist.HEAD, headSlot, slab.freelist(), slab.freelist());
    } else if (active < slab.objects()) {
      int size = layout.indexSize();
      long from = slab.freelist() + (long) size * active;
      boolean[] free = new boolean[slab.objects()];
      int count = slab.objects() - active;
      int holder = Freelist.HEAD;
      switch (memory.read(from, count * size)) {
        case MemoryRead.Bytes(ByteView read) -> {
          for (int i = 0; i < count && end instanceof Freelist.End.Closed; i++) {
            int index = size == 1 ? read.u8(i) : read.u16(2L * i);
            long word = from + (long) i * size;
            if (index >= slab.objects() || free[index]) {
              end = new Freelist.End.BadPointer(holder, word, index, index);
            } else {
              free[index] = true;
              objects.add(index);
              words.add(word);
              holder = index;
            }
          }
        }
        case MemoryRead.Missing(long _, long _, PageRead why) ->
            end = new Freelist.End.Unreadable(holder, from, why);
        case MemoryRead.NotMapped _ ->
            end = new Freelist.End.BadPointer(holder, headSlot, slab.freelist(), slab.freelist());
      }
    }
    return new SlabView.FreeObjects(
        SlabView.Kind.LIST, FREE_INDICES, objects, words, new Freelist(objects.size(), end));
  }
}
