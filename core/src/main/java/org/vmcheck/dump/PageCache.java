package org.vmcheck.dump;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.LongUnaryOperator;

/// Decoded pages: a bounded cache without locks. Two threads that miss at once decode the page
/// twice, which costs less than making every reader wait.
///
/// Where all stored pages of a dump find room, each has a place of its own and is decoded once. Of
/// a larger dump, frames share places.
final class PageCache {
  private static final int MAX_BYTES = 48 << 20;

  /// Room for a dump that is kept whole: more would crowd the smallest heap that the launcher gives
  /// (192 MiB).
  private static final int MAX_BYTES_OF_ALL = 72 << 20;

  /// Frames up to which each may have a place, stored or not (1 GiB of 4 KiB pages, a reference of
  /// four bytes each): to count the stored ones below a frame takes longer than to look there.
  private static final int MAX_FRAMES = 1 << 18;

  /// Pages of a block: blocks are so large that the collector, told so by the launcher
  /// (`PretenureSizeThreshold`), never moves them.
  private static final int PAGES_IN_BLOCK = 256;

  private record Cached(long pfn, PageRead.Present page) {}

  private final AtomicReferenceArray<Cached> places;
  private final boolean holdsAll;
  private final LongUnaryOperator place;
  private final int pageSize;
  private final ThreadLocal<byte[]> decoded;

  /// The bytes of a dump that is held whole.
  private final AtomicReferenceArray<byte[]> blocks;

  private final AtomicInteger used = new AtomicInteger();

  /// @param stored the frames that have a page in the dump
  PageCache(int pageSize, PageBitmap stored) {
    this.pageSize = pageSize;
    decoded = ThreadLocal.withInitial(() -> new byte[pageSize]);
    long count = stored.setCount();
    holdsAll = count <= MAX_BYTES_OF_ALL / pageSize;
    blocks = new AtomicReferenceArray<>(holdsAll ? (int) (count / PAGES_IN_BLOCK) + 1 : 0);
    if (!holdsAll) {
      int shared = Math.max(64, MAX_BYTES / pageSize);
      places = new AtomicReferenceArray<>(shared);
      place = pfn -> Long.remainderUnsigned(pfn, shared);
    } else if (stored.bitCount() <= MAX_FRAMES) {
      int last = (int) Math.max(0, stored.bitCount() - 1);
      places = new AtomicReferenceArray<>(last + 1);
      place = pfn -> Math.clamp(pfn, 0, last);
    } else {
      places = new AtomicReferenceArray<>((int) count + 1);
      place = stored::rank;
    }
  }

  /// Whether no page is ever given up for another one.
  boolean holdsAll() {
    return holdsAll;
  }

  /// The page if it is here, else null.
  PageRead.Present get(long pfn) {
    Cached cached = places.get((int) place.applyAsLong(pfn));
    return cached != null && cached.pfn == pfn ? cached.page : null;
  }

  /// Room to decode a page into, for [#put(long, byte[])].
  byte[] room() {
    return holdsAll ? decoded.get() : new byte[pageSize];
  }

  /// Keeps a page that was decoded into [#room], or a copy of it.
  PageRead.Present put(long pfn, byte[] page) {
    if (!holdsAll) {
      return put(pfn, MemorySegment.ofArray(page).asReadOnly());
    }
    int index = used.getAndIncrement();
    // Pages that two threads decoded at once have two places: in the end one may be missing.
    if (index < 0 || index >= blocks.length() * PAGES_IN_BLOCK) {
      return new PageRead.Present(MemorySegment.ofArray(page.clone()).asReadOnly());
    }
    MemorySegment bytes =
        MemorySegment.ofArray(block(index / PAGES_IN_BLOCK))
            .asSlice((long) index % PAGES_IN_BLOCK * pageSize, pageSize);
    MemorySegment.copy(page, 0, bytes, ValueLayout.JAVA_BYTE, 0, pageSize);
    return put(pfn, bytes.asReadOnly());
  }

  /// Keeps a page that lies in the file as it is.
  PageRead.Present put(long pfn, MemorySegment bytes) {
    PageRead.Present page = new PageRead.Present(bytes);
    places.set((int) place.applyAsLong(pfn), new Cached(pfn, page));
    return page;
  }

  private byte[] block(int index) {
    byte[] block = blocks.get(index);
    if (block != null) {
      return block;
    }
    synchronized (blocks) {
      block = blocks.get(index);
      if (block == null) {
        block = new byte[PAGES_IN_BLOCK * pageSize];
        blocks.set(index, block);
      }
      return block;
    }
  }
}
