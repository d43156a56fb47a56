package org.vmcheck.testing;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/// Where a kernel under construction keeps its regions; reads and writes at virtual addresses.
final class AddressSpace {
  static final long IMAGE_BASE = 0xffff_ffff_8000_0000L;

  private final SparseMemory memory;
  private final long physBase;
  private final long directMap;
  private final long vmemmap;

  /// Page frames behind the pages of the vmemmap, by page number within it.
  private final Map<Long, Long> vmemmapFrames = new HashMap<>();

  AddressSpace(SparseMemory memory, long physBase, long directMap, long vmemmap) {
    this.memory = memory;
    this.physBase = physBase;
    this.directMap = directMap;
    this.vmemmap = vmemmap;
  }

  SparseMemory memory() {
    return memory;
  }

  long directMap() {
    return directMap;
  }

  long vmemmap() {
    return vmemmap;
  }

  void setVmemmapFrame(long page, long pfn) {
    vmemmapFrames.put(page, pfn);
  }

  Map<Long, Long> vmemmapFrames() {
    return vmemmapFrames;
  }

  long direct(long paddr) {
    return directMap + paddr;
  }

  long paddr(long vaddr) {
    if (Long.compareUnsigned(vaddr, IMAGE_BASE) >= 0) {
      return vaddr - IMAGE_BASE + physBase;
    }
    if (Long.compareUnsigned(vaddr, vmemmap) >= 0) {
      Long pfn = vmemmapFrames.get((vaddr - vmemmap) >>> 12);
      if (pfn != null) {
        return pfn << 12 | (vaddr & 4095);
      }
    }
    if (Long.compareUnsigned(vaddr, directMap) < 0) {
      throw new IllegalArgumentException("0x%x is in no region".formatted(vaddr));
    }
    return vaddr - directMap;
  }

  void put(long vaddr, byte... bytes) {
    if ((vaddr & 4095) + bytes.length <= 4096) {
      memory.write(paddr(vaddr), bytes);
      return;
    }
    int done = 0;
    while (done < bytes.length) {
      int count = (int) Math.min(bytes.length - done, 4096 - (vaddr + done & 4095));
      memory.write(paddr(vaddr + done), Arrays.copyOfRange(bytes, done, done + count));
      done += count;
    }
  }

  /// Writes the low `byteCount` bytes of a value.
  void put(long vaddr, long value, int byteCount) {
    byte[] bytes = new byte[byteCount];
    for (int i = 0; i < byteCount; i++) {
      bytes[i] = (byte) (value >>> (8 * i));
    }
    put(vaddr, bytes);
  }

  void u64(long vaddr, long value) {
    put(vaddr, value, 8);
  }

  void u32(long vaddr, long value) {
    put(vaddr, value, 4);
  }

  long read64(long vaddr) {
    long value = 0;
    for (int i = 7; i >= 0; i--) {
      value = value << 8 | read8(vaddr + i);
    }
    return value;
  }

  int read8(long vaddr) {
    long paddr = paddr(vaddr);
    byte[] page = memory.pages().get(paddr >>> 12);
    return page == null ? 0 : page[(int) (paddr & 4095)] & 0xff;
  }
}
