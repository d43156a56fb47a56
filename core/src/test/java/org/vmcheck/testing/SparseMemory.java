package org.vmcheck.testing;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.NavigableMap;
import java.util.TreeMap;
import java.util.TreeSet;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;

/// Physical memory held in pages of 4 KiB, each made when first written.
public final class SparseMemory implements PhysicalMemory {
  private static final int PAGE = 4096;
  private static final ValueLayout.OfLong U64 =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final TreeMap<Long, byte[]> pages = new TreeMap<>();
  private final TreeSet<Long> excluded = new TreeSet<>();

  public SparseMemory write(long paddr, byte[] bytes) {
    for (int done = 0; done < bytes.length; ) {
      int in = (int) (paddr + done & PAGE - 1);
      int count = Math.min(PAGE - in, bytes.length - done);
      System.arraycopy(bytes, done, page(paddr + done), in, count);
      done += count;
    }
    return this;
  }

  public SparseMemory writeU64(long paddr, long value) {
    byte[] bytes = new byte[8];
    MemorySegment.ofArray(bytes).set(U64, 0, value);
    return write(paddr, bytes);
  }

  public long readU64(long paddr) {
    return MemorySegment.ofArray(page(paddr)).get(U64, paddr & PAGE - 1);
  }

  /// Makes the page be there, all zeros if nothing was written to it.
  public SparseMemory touch(long paddr) {
    page(paddr);
    return this;
  }

  /// Leaves the page out, as a dump level does.
  public SparseMemory exclude(long paddr) {
    excluded.add(paddr >>> 12);
    return this;
  }

  /// Puts a whole page, left out before or not.
  public SparseMemory store(long pfn, byte[] page) {
    excluded.remove(pfn);
    pages.put(pfn, page.clone());
    return this;
  }

  private byte[] page(long paddr) {
    return pages.computeIfAbsent(paddr >>> 12, _ -> new byte[PAGE]);
  }

  /// The pages that were written, by frame number, in ascending order.
  public NavigableMap<Long, byte[]> pages() {
    return pages;
  }

  @Override
  public int pageSize() {
    return PAGE;
  }

  @Override
  public long endPfn() {
    return pages.isEmpty() ? 0 : pages.lastKey() + 1;
  }

  @Override
  public PageRead read(long pfn) {
    if (excluded.contains(pfn)) {
      return new PageRead.Excluded(pfn);
    }
    byte[] page = pages.get(pfn);
    return page == null
        ? new PageRead.NotInDump(pfn)
        : new PageRead.Present(MemorySegment.ofArray(page).asReadOnly());
  }

  @Override
  public PageRead readInto(long pfn, PageBuffer page) {
    if (!(read(pfn) instanceof PageRead.Present(MemorySegment bytes))) {
      return read(pfn);
    }
    MemorySegment.copy(bytes, ValueLayout.JAVA_BYTE, 0, page.bytes(), 0, PAGE);
    return page.present();
  }

  @Override
  public long nextStored(long pfn) {
    Long next = pages.ceilingKey(pfn);
    while (next != null && excluded.contains(next)) {
      next = pages.higherKey(next);
    }
    return next == null ? -1 : next;
  }
}
