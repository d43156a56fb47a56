package org.vmcheck.kernel;

import org.vmcheck.io.ByteView;
import org.vmcheck.memory.MemoryRead;

/// The frames of the KFENCE pool. Every second one is marked as a slab and is none.
///
/// The pool has a first pair of pages and a pair for each of `CONFIG_KFENCE_NUM_OBJECTS` objects
/// (Linux `include/linux/kfence.h`). No symbol holds that number; the pages show it: of each pair
/// the first is marked, as a slab of at most one object, and the second is not.
///
/// @param start its first frame
/// @param end behind its last one; `start` if there is no pool
record KfencePool(long start, long end) {
  /// The default: 255 objects.
  private static final long DEFAULT_FRAMES = 512;

  /// `CONFIG_KFENCE_NUM_OBJECTS` is at most 65535.
  private static final long MAX_FRAMES = 1 << 17;

  static KfencePool of(Kernel kernel, MemMap memMap) {
    int countersAt = kernel.slabCaches().layout().map(SlabLayout::countersAt).orElse(-1);
    return of(
        kernel,
        memMap,
        (_, bytes) -> countersAt >= 0 && (bytes.u64(countersAt) >>> 16 & 0x7fff) <= 1);
  }

  /// Tells a page of the pool from a slab behind it.
  interface Slots {
    /// @param address of the descriptor of a page that is marked as a slab
    /// @param bytes its descriptor
    boolean mayBe(long address, ByteView bytes);
  }

  /// The pool of a kernel whose slabs are told apart in another way.
  static KfencePool of(Kernel kernel, MemMap memMap, Slots slots) {
    long pool = kernel.variable64("__kfence_pool").orElse(0);
    if (pool == 0 || !kernel.memory().map().isDirectMap(pool)) {
      return new KfencePool(0, 0);
    }
    long start = kernel.memory().physicalAddress(pool) >>> 12;
    long most = Math.min(start + MAX_FRAMES, memMap.endPfn() - 1);
    long end = start + 2;
    while (end < most && isPair(kernel, memMap, slots, end)) {
      end += 2;
    }
    return new KfencePool(start, end > start + 2 ? end : start + DEFAULT_FRAMES);
  }

  boolean has(long pfn) {
    return pfn >= start && pfn < end;
  }

  private static boolean isPair(Kernel kernel, MemMap memMap, Slots slots, long pfn) {
    ByteView first = descriptor(kernel, memMap, pfn);
    ByteView second = descriptor(kernel, memMap, pfn + 1);
    return first != null
        && second != null
        && memMap.isSlabHead(pfn, first.bytes(), 0)
        && slots.mayBe(memMap.descriptor(pfn), first)
        && !memMap.isSlabHead(pfn + 1, second.bytes(), 0)
        && !memMap.isTail(second.bytes(), 0);
  }

  private static ByteView descriptor(Kernel kernel, MemMap memMap, long pfn) {
    return kernel.memory().read(memMap.descriptor(pfn), memMap.shape().size())
            instanceof MemoryRead.Bytes(ByteView bytes)
        ? bytes
        : null;
  }
}
