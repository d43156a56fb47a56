package org.vmcheck.memory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.io.ByteView;

/// Bytes at kernel addresses. Safe for use by several threads at once.
public final class VirtualMemory {
  /// No kernel structure that is read whole is larger.
  private static final int MAX_READ = 64 << 20;

  private final PhysicalMemory physical;
  private final Paging paging;
  private final AddressMap map;
  private final int pageSize;
  private final int pageShift;

  public VirtualMemory(PhysicalMemory physical, Paging paging, AddressMap map) {
    this.physical = physical;
    this.paging = paging;
    this.map = map;
    this.pageSize = physical.pageSize();
    this.pageShift = Integer.numberOfTrailingZeros(pageSize);
  }

  public PhysicalMemory physical() {
    return physical;
  }

  public Paging paging() {
    return paging;
  }

  /// Bytes of a page of the kernel (`PAGE_SIZE`).
  public int pageSize() {
    return pageSize;
  }

  /// `PAGE_SHIFT`.
  public int pageShift() {
    return pageShift;
  }

  /// The frame that holds a physical address (`PHYS_PFN`).
  public long pfn(long paddr) {
    return paddr >>> pageShift;
  }

  /// Physical address of the first byte of a frame (`PFN_PHYS`).
  public long paddr(long pfn) {
    return pfn << pageShift;
  }

  /// The frame that holds an address of the direct map.
  public long directMapPfn(long vaddr) {
    return map.directMapPhysical(vaddr) >>> pageShift;
  }

  /// Address in the direct map of the first byte of a frame.
  public long directMapPage(long pfn) {
    return map.directMapAddress(pfn << pageShift);
  }

  /// The start of the page that holds an address (`PAGE_MASK`).
  public long pageStart(long vaddr) {
    return vaddr & -pageSize;
  }

  public AddressMap map() {
    return map;
  }

  /// The same memory with more known of its regions.
  public VirtualMemory with(AddressMap newMap) {
    return new VirtualMemory(physical, paging, newMap);
  }

  /// Image and direct map by arithmetic, everything else through the page tables.
  public Translated translate(long vaddr) {
    if (map.isDirectMap(vaddr)) {
      return new Translated.At(map.directMapPhysical(vaddr));
    }
    if (map.isImage(vaddr)) {
      return new Translated.At(map.imagePhysical(vaddr));
    }
    return paging.translate(vaddr);
  }

  /// Physical address, or -1 if there is none.
  public long physicalAddress(long vaddr) {
    return translate(vaddr) instanceof Translated.At(long paddr) ? paddr : -1;
  }

  /// Reads `byteCount` bytes: a view of the page where they lie in one, else a copy.
  public MemoryRead read(long vaddr, int byteCount) {
    if (byteCount < 0 || byteCount > MAX_READ) {
      return new MemoryRead.NotMapped(vaddr, "a read of " + byteCount + " bytes");
    }
    int inPage = (int) (vaddr & (pageSize - 1));
    if (inPage + byteCount <= pageSize) {
      MemoryRead whole = page(vaddr);
      return whole instanceof MemoryRead.Bytes(ByteView view)
          ? new MemoryRead.Bytes(view.slice("memory", inPage, byteCount))
          : ofPart(vaddr, byteCount, whole);
    }
    byte[] copy = new byte[byteCount];
    int done = 0;
    while (done < byteCount) {
      int from = (int) (vaddr + done & (pageSize - 1));
      int count = Math.min(pageSize - from, byteCount - done);
      MemoryRead whole = page(vaddr + done);
      if (whole instanceof MemoryRead.Bytes(ByteView view)) {
        MemorySegment.copy(view.segment(), ValueLayout.JAVA_BYTE, from, copy, done, count);
      } else if (ofPart(vaddr + done, count, whole) instanceof MemoryRead.Bytes(ByteView part)) {
        MemorySegment.copy(part.segment(), ValueLayout.JAVA_BYTE, 0, copy, done, count);
      } else {
        return whole;
      }
      done += count;
    }
    return new MemoryRead.Bytes(ByteView.of("memory", copy));
  }

  /// Bytes of a page that the dump holds in part, if these are among them.
  ///
  /// @param whole what the read of the page said
  private MemoryRead ofPart(long vaddr, int byteCount, MemoryRead whole) {
    if (!(whole instanceof MemoryRead.Missing)
        || !(translate(vaddr) instanceof Translated.At(long paddr))
        || physical.storedInPart(paddr) < byteCount) {
      return whole;
    }
    try {
      return new MemoryRead.Bytes(ByteView.of("memory", physical.readPart(paddr, byteCount)));
    } catch (IOException _) {
      return whole;
    }
  }

  /// [#read], or null if that cannot be had.
  public ByteView bytes(long vaddr, int byteCount) {
    return read(vaddr, byteCount) instanceof MemoryRead.Bytes(ByteView view) ? view : null;
  }

  /// The whole page that holds an address.
  public MemoryRead page(long vaddr) {
    return switch (translate(vaddr)) {
      case Translated.At(long paddr) -> physicalPage(vaddr, paddr);
      case Translated.NotMapped(long _, String reason) -> new MemoryRead.NotMapped(vaddr, reason);
      case Translated.TableMissing(long table, PageRead why) ->
          new MemoryRead.Missing(vaddr, pfn(table), why);
    };
  }

  private MemoryRead physicalPage(long vaddr, long paddr) {
    long pfn = paddr >>> pageShift;
    PageRead read = physical.read(pfn);
    return read instanceof PageRead.Present(MemorySegment bytes)
        ? new MemoryRead.Bytes(ByteView.of("page", bytes))
        : new MemoryRead.Missing(vaddr, pfn, read);
  }

  /// Copies the page that holds an address, or says that it cannot: for walks that ask [#page] why
  /// only where it matters.
  public boolean copyPage(long vaddr, PageBuffer into) {
    long paddr;
    if (map.isDirectMap(vaddr)) {
      paddr = map.directMapPhysical(vaddr);
    } else {
      paddr = physicalAddress(vaddr);
      if (paddr == -1) {
        return false;
      }
    }
    return physical.readInto(paddr >>> pageShift, into) instanceof PageRead.Present;
  }
}
