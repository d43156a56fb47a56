package org.vmcheck.memory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;

/// A dump's pages, some of which are read through a mask.
public final class UnmaskedMemory implements PhysicalMemory {
  private final PhysicalMemory memory;
  private final Map<Long, PageMask> masks;

  /// @param masks by page frame
  public UnmaskedMemory(PhysicalMemory memory, Map<Long, PageMask> masks) {
    this.memory = memory;
    this.masks = Map.copyOf(masks);
  }

  @Override
  public int pageSize() {
    return memory.pageSize();
  }

  @Override
  public long endPfn() {
    return memory.endPfn();
  }

  @Override
  public PageRead read(long pfn) {
    PageRead read = memory.read(pfn);
    PageMask mask = masks.get(pfn);
    return mask != null && read instanceof PageRead.Present(MemorySegment bytes)
        ? new PageRead.Present(mask.applyTo(bytes))
        : read;
  }

  @Override
  public PageRead readInto(long pfn, PageBuffer page) {
    return masks.containsKey(pfn)
        ? PhysicalMemory.super.readInto(pfn, page)
        : memory.readInto(pfn, page);
  }

  @Override
  public long nextStored(long pfn) {
    return memory.nextStored(pfn);
  }

  @Override
  public Optional<PageRead> defect(long pfn) {
    return memory.defect(pfn);
  }

  @Override
  public int storedInPart(long paddr) {
    return memory.storedInPart(paddr);
  }

  @Override
  public MemorySegment readPart(long paddr, int byteCount) throws IOException {
    MemorySegment part = memory.readPart(paddr, byteCount);
    PageMask mask = masks.get(paddr / pageSize());
    return mask == null ? part : mask.applyTo(part, paddr);
  }
}
