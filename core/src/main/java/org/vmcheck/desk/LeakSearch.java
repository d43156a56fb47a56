package org.vmcheck.desk;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.dump.OpenOptions;
import org.vmcheck.finding.LeaksAnswer;
import org.vmcheck.finding.LeaksAnswer.LeakedCache;
import org.vmcheck.finding.LeaksAnswer.Site;
import org.vmcheck.finding.Registers;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.page.PageUses;
import org.vmcheck.slab.ObjectTrack;
import org.vmcheck.slab.SlabCache;

/// Finds objects in use that no word of the kernel's memory leads to, as kmemleak does in a running
/// kernel: one pass over memory for all. A pointer to any byte of an object counts, for two thirds
/// of all lead past the start; a pointer in a free object, or in the object itself, does not.
public final class LeakSearch {
  private static final VarHandle WORD =
      MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  /// Objects that are asked who allocated them.
  private static final int MAX_ASKED = 1 << 16;

  /// Frames whose uses are read at a time.
  private static final int CHUNK = 1024;

  private static final int LEAST_EXAMPLES = 3;
  private static final int MAX_SITES = 64;

  /// Words of an object in which a pointer to a symbol tells what it is.
  private static final int TELLING_WORDS = 16;

  private final Kernel kernel;
  private final VirtualMemory memory;
  private final Places places;

  public LeakSearch(Places places) {
    this.places = places;
    this.kernel = places.kernel();
    this.memory = kernel.memory();
  }

  /// Searches.
  ///
  /// @param examples how many addresses of each kind are listed
  /// @param threads how many read at once
  public LeaksAnswer search(int examples, int threads, OpenOptions.Progress progress) {
    MemMap memMap = MemMap.of(kernel).orElseThrow();
    ObjectIndex index = ObjectIndex.of(kernel, memMap);
    List<Marker> markers = Collections.synchronizedList(new ArrayList<>());
    MemorySweep.Coverage coverage =
        MemorySweep.over(
            kernel,
            MemorySweep.Scope.KERNEL,
            threads,
            progress,
            () -> {
              Marker marker = new Marker(index, memory);
              markers.add(marker);
              return marker;
            });
    BitSet lost = index.inUse();
    markers.forEach(marker -> lost.andNot(marker.marked));
    lost.andNot(registers(index));
    return new LeaksAnswer(
        caches(index, lost, Math.max(examples, LEAST_EXAMPLES)),
        index.inUse().cardinality(),
        index.notJudged(),
        coverage.pages(),
        coverage.passedOver(),
        coverage.unread(),
        absent(memMap));
  }

  /// What the registers of the CPUs lead to.
  private BitSet registers(ObjectIndex index) {
    BitSet marked = new BitSet();
    for (int cpu = 0; ; cpu++) {
      Optional<Registers> registers = places.callStacks().registers(cpu);
      if (registers.isEmpty()) {
        return marked;
      }
      for (long word : registers.get().words().values()) {
        int slab = index.slabAt(word);
        if (slab >= 0) {
          marked.set(index.objectAt(slab, word));
        }
      }
    }
  }

  /// Pages of the kernel's own that the dump lacks: what lies there may lead anywhere.
  private long absent(MemMap memMap) {
    long absent = 0;
    Cancellation cancellation = Cancellation.current();
    PageUses uses = new PageUses(memMap);
    long end = memMap.endPfn();
    for (long first = 0; first < end; first += CHUNK) {
      cancellation.step();
      int count = (int) Math.min(CHUNK, end - first);
      PageState.Kind[] kinds = uses.of(first, count);
      long stored = memory.physical().nextStored(first);
      for (int i = 0; i < count; i++) {
        if (stored >= 0 && stored < first + i) {
          stored = memory.physical().nextStored(first + i);
        }
        boolean isKernels = kinds[i] == PageState.Kind.SLAB || kinds[i] == PageState.Kind.KERNEL;
        absent += isKernels && stored != first + i ? 1 : 0;
      }
    }
    return absent;
  }

  // ---- whose they are

  /// What is collected of one cache.
  private static final class Tally {
    private final SlabCache cache;
    private long objects;
    private long lost;
    private final Map<String, Kind> kinds = new LinkedHashMap<>();

    Tally(SlabCache cache) {
      this.cache = cache;
    }
  }

  /// Objects of one kind.
  private static final class Kind {
    private long count;
    private final List<Long> examples = new ArrayList<>();
  }

  private List<LeakedCache> caches(ObjectIndex index, BitSet lost, int examples) {
    Cancellation cancellation = Cancellation.current();
    Map<String, Tally> tallies = new HashMap<>();
    int asked = 0;
    for (int slab = 0; slab < index.slabs(); slab++) {
      cancellation.step();
      SlabCache cache = index.cache(slab);
      Tally tally = tallies.computeIfAbsent(cache.name(), _ -> new Tally(cache));
      int end = index.firstObject(slab + 1);
      for (int object = index.firstObject(slab); object < end; object++) {
        tally.objects += index.isInUse(object) ? 1 : 0;
        if (lost.get(object)) {
          tally.lost++;
          long address = index.address(slab, object);
          String words = asked++ < MAX_ASKED ? kind(cache, address) : "";
          Kind kind = tally.kinds.computeIfAbsent(words, _ -> new Kind());
          kind.count++;
          if (kind.examples.size() < examples) {
            kind.examples.add(address);
          }
        }
      }
    }
    return tallies.values().stream()
        .filter(tally -> tally.lost > 0)
        .map(this::leaked)
        .sorted(
            Comparator.comparingLong(LeakedCache::bytes)
                .reversed()
                .thenComparing(LeakedCache::cache))
        .toList();
  }

  private LeakedCache leaked(Tally tally) {
    return new LeakedCache(
        tally.cache.name(),
        tally.objects,
        tally.lost,
        tally.lost * tally.cache.size(),
        ObjectTrack.isKept(kernel, tally.cache),
        tally.kinds.entrySet().stream()
            .map(kind -> new Site(kind.getKey(), kind.getValue().count, kind.getValue().examples))
            .sorted(Comparator.comparingLong(Site::count).reversed())
            .limit(MAX_SITES)
            .toList());
  }

  /// Who allocated an object, where the cache keeps that; else the first pointer to a symbol that
  /// it holds, which most structures have: a table of functions. Empty if neither is there.
  private String kind(SlabCache cache, long object) {
    for (ObjectTrack track : ObjectTrack.of(kernel, cache, object)) {
      if (!track.isFree()) {
        return "allocated by " + kernel.describe(track.caller());
      }
    }
    int size = Math.min(cache.objectSize(), 8 * TELLING_WORDS) & -8;
    if (memory.read(object, size) instanceof MemoryRead.Bytes(ByteView bytes)) {
      for (int at = 0; at + 8 <= size; at += 8) {
        long word = bytes.u64(at);
        if (memory.map().isImage(word) || kernel.modules().at(word).isPresent()) {
          return "with a pointer to " + kernel.describe(word);
        }
      }
    }
    return "";
  }

  // ---- the pass

  /// The search of one thread.
  private static final class Marker implements MemorySweep.Visitor {
    private static final int NO_OBJECT = -1;

    private final ObjectIndex index;
    private final VirtualMemory memory;
    private final BitSet marked;
    private final long low;
    private final long reach;

    Marker(ObjectIndex index, VirtualMemory memory) {
      this.index = index;
      this.memory = memory;
      this.marked = new BitSet(index.count());
      this.low = index.low();
      this.reach = index.high() - low;
    }

    @Override
    public void page(long pfn, byte[] bytes) {
      long start = memory.directMapPage(pfn);
      long end = start + bytes.length;
      long at = start;
      for (int slab = index.slabFrom(start);
          slab < index.slabs() && index.start(slab) < end;
          slab++) {
        long from = Math.max(at, index.start(slab));
        words(bytes, (int) (at - start), (int) (from - start), NO_OBJECT);
        at = objects(slab, start, from, Math.min(end, index.end(slab)), bytes);
      }
      words(bytes, (int) (at - start), bytes.length, NO_OBJECT);
    }

    /// The objects of one slab that lie in a page.
    private long objects(int slab, long start, long first, long end, byte[] bytes) {
      long from = first;
      for (int object = index.objectAt(slab, from); from < end; object++) {
        long to = Math.min(end, index.start(slab, object) + index.stride(slab));
        if (index.isInUse(object) || !index.isJudged(object)) {
          words(bytes, (int) (from - start + 7) & -8, (int) (to - start), object);
        }
        from = to;
      }
      return end;
    }

    private void words(byte[] bytes, int from, int to, int owner) {
      long first = low;
      long limit = reach + Long.MIN_VALUE;
      for (int at = from; at + 8 <= to; at += 8) {
        long word = (long) WORD.get(bytes, at);
        // An unsigned comparison.
        if (word - first + Long.MIN_VALUE < limit) {
          int slab = index.slabAt(word);
          if (slab >= 0) {
            int object = index.objectAt(slab, word);
            if (object != owner) {
              marked.set(object);
            }
          }
        }
      }
    }
  }
}
