package org.vmcheck.slab;

import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.page.MemMap;

/// The frames of the KFENCE pool. Every second one is marked as a slab and is none.
///
/// The pool has a first pair of pages and a pair for each of `CONFIG_KFENCE_NUM_OBJECTS` objects
/// (Linux `include/linux/kfence.h`). No symbol holds that number. The pages show it: of each pair
/// the first is marked, as a slab of at most one object, and the second is not. So does the
/// metadata, where types tell of it. The one that sees more pages is believed: either may be left
/// out of the dump in part.
///
/// @param start its first frame
/// @param end behind its last one; `start` if there is no pool
record KfencePool(long start, long end) {
  /// `CONFIG_KFENCE_NUM_OBJECTS` is at most 65535.
  private static final long MAX_FRAMES = 1 << 17;

  /// Frames in a row whose descriptors may be missing: those of a page or two of them.
  private static final long MAX_GAP = 128;

  static KfencePool of(Kernel kernel, MemMap memMap) {
    int countersAt = SlabCaches.of(kernel).layout().map(SlabLayout::countersAt).orElse(-1);
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
    long start = kernel.memory().directMapPfn(pool);
    long most = Math.min(start + MAX_FRAMES, memMap.endPfn() - 1);
    long seen = start + 2;
    for (long pair = start + 2; pair < most && pair - seen <= MAX_GAP; pair += 2) {
      Cancellation.check();
      ByteView first = descriptor(kernel, memMap, pair);
      ByteView second = descriptor(kernel, memMap, pair + 1);
      // Pairs whose descriptors are not in the dump tell nothing, and do not end the pool.
      if (first != null && second != null) {
        if (!isPair(memMap, slots, pair, first, second)) {
          break;
        }
        seen = pair + 2;
      }
    }
    return new KfencePool(start, Math.max(seen, metadataEnd(kernel, start)));
  }

  private static long metadataEnd(Kernel kernel, long start) {
    KfenceObjects told = KfenceObjects.of(kernel);
    long count = (long) told.objects().size() + told.unread();
    return start + 2 + 2 * count;
  }

  boolean has(long pfn) {
    return pfn >= start && pfn < end;
  }

  private static boolean isPair(
      MemMap memMap, Slots slots, long pfn, ByteView first, ByteView second) {
    return memMap.isSlabHead(pfn, first.bytes(), 0)
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
