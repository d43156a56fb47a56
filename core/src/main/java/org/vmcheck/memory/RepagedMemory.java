package org.vmcheck.memory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.Optional;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;

/// A dump's pages in the size of the kernel's, where the container counts in another: QEMU writes
/// blocks of 64 KiB for kernels with pages of 4 KiB, and pages of 4 KiB where it does not know
/// better.
///
/// A page that lies in several blocks is what the first of them is that is not present.
public final class RepagedMemory implements PhysicalMemory {
  private final PhysicalMemory memory;
  private final int pageShift;
  private final int blockShift;

  private RepagedMemory(PhysicalMemory memory, int pageSize) {
    this.memory = memory;
    this.pageShift = Integer.numberOfTrailingZeros(pageSize);
    this.blockShift = Integer.numberOfTrailingZeros(memory.pageSize());
  }

  /// Whether a kernel can have pages of so many bytes.
  public static boolean isPageSize(long byteCount) {
    return byteCount == 1 << 12 || byteCount == 1 << 14 || byteCount == 1 << 16;
  }

  /// The memory itself where the sizes agree.
  public static PhysicalMemory of(PhysicalMemory memory, int pageSize) {
    return memory.pageSize() == pageSize ? memory : new RepagedMemory(memory, pageSize);
  }

  @Override
  public int pageSize() {
    return 1 << pageShift;
  }

  @Override
  public long endPfn() {
    long end = memory.endPfn();
    return blockShift >= pageShift
        ? end << (blockShift - pageShift)
        : ((end - 1) >> (pageShift - blockShift)) + 1;
  }

  @Override
  public PageRead read(long pfn) {
    if (pfn < 0 || pfn > Long.MAX_VALUE >>> pageShift) {
      return new PageRead.NotInDump(pfn);
    }
    long paddr = pfn << pageShift;
    PageRead first = memory.read(paddr >>> blockShift);
    if (!(first instanceof PageRead.Present(MemorySegment bytes))) {
      return first;
    }
    if (blockShift > pageShift) {
      return new PageRead.Present(bytes.asSlice(paddr & (1L << blockShift) - 1, pageSize()));
    }
    MemorySegment whole = MemorySegment.ofArray(new byte[pageSize()]);
    for (long at = 0; at < pageSize(); at += 1L << blockShift) {
      PageRead read = memory.read((paddr + at) >>> blockShift);
      if (!(read instanceof PageRead.Present(MemorySegment part))) {
        return read;
      }
      MemorySegment.copy(part, 0, whole, at, 1L << blockShift);
    }
    return new PageRead.Present(whole.asReadOnly());
  }

  @Override
  public long nextStored(long pfn) {
    return page(pfn, memory.nextStored(block(pfn)));
  }

  @Override
  public long nextData(long pfn) {
    return page(pfn, memory.nextData(block(pfn)));
  }

  /// The first block that has bytes of a page.
  private long block(long pfn) {
    return blockShift >= pageShift
        ? pfn >> (blockShift - pageShift)
        : pfn << (pageShift - blockShift);
  }

  private long page(long atLeast, long block) {
    if (block < 0) {
      return -1;
    }
    long found =
        blockShift >= pageShift
            ? block << (blockShift - pageShift)
            : block >> (pageShift - blockShift);
    return Math.max(atLeast, found);
  }

  @Override
  public Optional<PageRead> defect(long pfn) {
    return memory.defect(block(pfn));
  }

  @Override
  public int storedInPart(long paddr) {
    return Math.min(memory.storedInPart(paddr), pageSize() - (int) (paddr & pageSize() - 1));
  }

  @Override
  public MemorySegment readPart(long paddr, int byteCount) throws IOException {
    return memory.readPart(paddr, byteCount);
  }
}
