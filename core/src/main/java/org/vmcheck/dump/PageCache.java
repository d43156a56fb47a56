package org.vmcheck.dump;

import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicReferenceArray;

/// Decoded pages, one place a frame number: a bounded cache without locks. Two threads that miss at
/// once decode the page twice, which costs less than making every reader wait.
final class PageCache {
  private static final int MAX_BYTES = 48 << 20;

  private record Cached(long pfn, PageRead.Present page) {}

  private final AtomicReferenceArray<Cached> places;

  PageCache(int pageSize) {
    places = new AtomicReferenceArray<>(Math.max(64, MAX_BYTES / pageSize));
  }

  /// The page if it is here, else null.
  PageRead.Present get(long pfn) {
    Cached cached = places.get(place(pfn));
    return cached != null && cached.pfn == pfn ? cached.page : null;
  }

  PageRead.Present put(long pfn, MemorySegment bytes) {
    PageRead.Present page = new PageRead.Present(bytes);
    places.set(place(pfn), new Cached(pfn, page));
    return page;
  }

  private int place(long pfn) {
    return (int) Long.remainderUnsigned(pfn, places.length());
  }
}
