package org.vmcheck.memory;

import java.lang.foreign.MemorySegment;
import java.util.Optional;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;

/// A dump's pages, of which one range is read from where it was copied to.
public final class CopiedMemory implements PhysicalMemory {
  private final PhysicalMemory memory;
  private final long start;
  private final long byteCount;
  private final long copy;

  /// @param start physical address of the range
  /// @param copy physical address of its copy
  public CopiedMemory(PhysicalMemory memory, long start, long byteCount, long copy) {
    this.memory = memory;
    this.start = start;
    this.byteCount = byteCount;
    this.copy = copy;
  }

  @Override
  public int pageSize() {
    return memory.pageSize();
  }

  @Override
  public long endPfn() {
    return memory.endPfn();
  }

  /// Pages of which a part lies outside the range keep that part.
  @Override
  public PageRead read(long pfn) {
    int size = pageSize();
    long page = pfn * size;
    long from = Math.max(page, start);
    long to = Math.min(page + size, start + byteCount);
    if (from >= to) {
      return memory.read(pfn);
    }
    byte[] out = new byte[size];
    MemorySegment target = MemorySegment.ofArray(out);
    if (to - from < size) {
      if (!(memory.read(pfn) instanceof PageRead.Present(MemorySegment own))) {
        return memory.read(pfn);
      }
      target.copyFrom(own);
    }
    for (long at = from; at < to; ) {
      long source = at - start + copy;
      PageRead read = memory.read(source / size);
      if (!(read instanceof PageRead.Present(MemorySegment bytes))) {
        return read;
      }
      int inPage = (int) (source % size);
      int count = (int) Math.min(to - at, size - inPage);
      MemorySegment.copy(bytes, inPage, target, at - page, count);
      at += count;
    }
    return new PageRead.Present(target.asReadOnly());
  }

  @Override
  public long nextStored(long pfn) {
    return memory.nextStored(pfn);
  }

  @Override
  public Optional<PageRead> defect(long pfn) {
    return memory.defect(pfn);
  }
}
