package org.vmcheck.desk;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;

/// Every slab object by its address, numbered in the order of addresses, and which are in use. Some
/// tens of bytes a slab and two bits an object. Safe for use by several threads.
final class ObjectIndex {
  private final long[] starts;
  private final long[] ends;
  private final int[] strides;
  private final int[] pads;
  private final int[] firsts;
  private final SlabCache[] caches;
  private final BitSet inUse = new BitSet();
  private final BitSet judged = new BitSet();
  private final int count;

  /// A slab while it is collected.
  private record Span(SlabCache cache, long base, int objects, BitSet free, boolean isWhole) {}

  private ObjectIndex(List<Span> spans) {
    int slabs = spans.size();
    starts = new long[slabs];
    ends = new long[slabs];
    strides = new int[slabs];
    pads = new int[slabs];
    firsts = new int[slabs + 1];
    caches = new SlabCache[slabs];
    int next = 0;
    for (int i = 0; i < slabs; i++) {
      Span span = spans.get(i);
      starts[i] = span.base;
      strides[i] = span.cache.size();
      pads[i] = span.cache.redLeftPad();
      ends[i] = span.base + (long) span.objects * strides[i];
      firsts[i] = next;
      caches[i] = span.cache;
      if (span.isWhole) {
        inUse.set(next, next + span.objects);
        judged.set(next, next + span.objects);
        int first = next;
        span.free.stream().forEach(index -> inUse.clear(first + index));
      }
      next = Math.addExact(next, span.objects);
    }
    firsts[slabs] = next;
    count = next;
  }

  static ObjectIndex of(Kernel kernel, MemMap memMap) {
    Cancellation cancellation = Cancellation.current();
    List<Span> spans = new ArrayList<>();
    SlabSurvey.eachView(
        kernel,
        memMap,
        0,
        memMap.endPfn(),
        _ -> true,
        view -> {
          cancellation.step();
          spans.add(span(view));
          return true;
        });
    spans.sort(Comparator.comparing(Span::base, Long::compareUnsigned));
    // Two descriptors that claim one piece of memory are damage: the first counts.
    List<Span> apart = new ArrayList<>();
    long end = 0;
    for (Span span : spans) {
      if (Long.compareUnsigned(span.base, end) >= 0 && span.objects > 0) {
        apart.add(span);
        end = span.base + (long) span.objects * span.cache.size();
      }
    }
    return new ObjectIndex(apart);
  }

  private static Span span(SlabView view) {
    Slab slab = view.slab();
    int objects = slab.walkableObjects();
    BitSet free = new BitSet();
    view.lists().stream()
        .flatMapToInt(list -> list.objects().stream().mapToInt(Integer::intValue))
        .filter(index -> index >= 0 && index < objects)
        .forEach(free::set);
    boolean isWhole = view.lists().stream().allMatch(list -> list.list().isClosed());
    return new Span(slab.cache(), slab.base(), objects, free, isWhole);
  }

  /// How many objects there are.
  int count() {
    return count;
  }

  /// Whether an object's state could be told.
  boolean isJudged(int object) {
    return judged.get(object);
  }

  boolean isInUse(int object) {
    return inUse.get(object);
  }

  /// Those in use.
  BitSet inUse() {
    return (BitSet) inUse.clone();
  }

  /// How many could not be judged.
  long notJudged() {
    return (long) count - judged.cardinality();
  }

  /// The lowest address of a slab.
  long low() {
    return starts.length == 0 ? 0 : starts[0];
  }

  /// Behind the highest.
  long high() {
    return starts.length == 0 ? 0 : ends[ends.length - 1];
  }

  /// The slab that has an address, -1 if none has.
  int slabAt(long address) {
    int at = Arrays.binarySearch(starts, address);
    int slab = at >= 0 ? at : -at - 2;
    return slab >= 0 && address < ends[slab] ? slab : -1;
  }

  /// The slab at or behind an address; the number of slabs if there is none.
  int slabFrom(long address) {
    int at = Arrays.binarySearch(starts, address);
    int slab = at >= 0 ? at : -at - 2;
    return slab >= 0 && address < ends[slab] ? slab : slab + 1;
  }

  int slabs() {
    return starts.length;
  }

  /// Number of the object of a slab that has an address.
  int objectAt(int slab, long address) {
    return firsts[slab] + (int) ((address - starts[slab]) / strides[slab]);
  }

  /// First byte of a slab.
  long start(int slab) {
    return starts[slab];
  }

  /// Number of the first object of a slab; of the slab behind the last, how many there are.
  int firstObject(int slab) {
    return firsts[slab];
  }

  /// First byte of an object, with what the allocator keeps before it.
  long start(int slab, int object) {
    return starts[slab] + (long) (object - firsts[slab]) * strides[slab];
  }

  /// Address of an object as its users see it.
  long address(int slab, int object) {
    return start(slab, object) + pads[slab];
  }

  long end(int slab) {
    return ends[slab];
  }

  int stride(int slab) {
    return strides[slab];
  }

  SlabCache cache(int slab) {
    return caches[slab];
  }
}
