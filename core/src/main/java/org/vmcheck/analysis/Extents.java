package org.vmcheck.analysis;

import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;

/// How far the things reach that findings are about: addresses in registers, stacks and log lines
/// rarely are those of a first byte.
final class Extents {
  /// Addresses from `from` up to before `to`; none if both are equal.
  record Range(long from, long to) {
    static final Range NONE = new Range(0, 0);

    boolean contains(long address) {
      return Long.compareUnsigned(address, from) >= 0 && Long.compareUnsigned(address, to) < 0;
    }

    boolean isEmpty() {
      return from == to;
    }
  }

  /// @param slab its pages
  /// @param descriptor its `struct slab` or `struct page`
  /// @param cache the `kmem_cache`
  /// @param freePointerAt offset of the free pointer in an object; 0 where it is not known
  record Of(Range object, Range slab, Range descriptor, Range cache, int freePointerAt) {}

  private final Kernel kernel;
  private final Map<String, SlabCache> caches = new HashMap<>();
  private final long cacheBytes;
  private final long descriptorBytes;

  Extents(Kernel kernel) {
    this.kernel = kernel;
    // Findings name caches as they are printed. Of several of one name, those whose numbers can be
    // right go first: findings about slabs and objects are theirs.
    SlabCaches.of(kernel).caches().stream()
        .sorted(Comparator.comparing(SlabCache::isSane).reversed())
        .forEach(cache -> caches.putIfAbsent(Printable.of(cache.name(), 60), cache));
    // The type ends in an array for all nodes that can be, the object with those that there are.
    SlabCache ofCaches = caches.get("kmem_cache");
    cacheBytes = ofCaches == null ? 8 : ofCaches.objectSize();
    descriptorBytes =
        kernel.struct("slab").or(() -> kernel.struct("page")).map(StructLayout::size).orElse(8L);
  }

  /// The cache of that name, as findings print it; null if there is none.
  SlabCache cache(String name) {
    return caches.get(name);
  }

  Of of(Subject subject) {
    SlabCache cache = caches.get(subject.cache());
    Range object =
        subject.object() == Evidence.UNKNOWN
            ? Range.NONE
            : range(subject.object(), cache == null ? 8 : cache.objectSize());
    Range slab = Range.NONE;
    Range descriptor = Range.NONE;
    if (subject.slab() != Evidence.UNKNOWN && MemMap.of(kernel).isPresent()) {
      long pfn = MemMap.of(kernel).get().pfn(subject.slab());
      descriptor = range(subject.slab(), descriptorBytes);
      if (pfn >= 0 && cache != null) {
        slab = range(kernel.memory().directMapPage(pfn), cache.slabBytes(cache.order()));
      }
    }
    return new Of(
        object,
        slab,
        descriptor,
        cache == null ? Range.NONE : range(cache.address(), cacheBytes),
        cache == null ? 0 : cache.offset());
  }

  private static Range range(long from, long byteCount) {
    return new Range(from, from + Math.max(1, byteCount));
  }
}
