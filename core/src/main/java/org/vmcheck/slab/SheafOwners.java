package org.vmcheck.slab;

import java.util.Map;
import java.util.Optional;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;

/// Whose a sheaf is that does not say so: told by where it lies and what it holds.
final class SheafOwners {
  /// The largest sheaf that a kernel makes holds 60 objects; a cache may ask for more.
  static final int MAX_CAPACITY = 1 << 14;

  private final VirtualMemory memory;
  private final Optional<MemMap> memMap;
  private final Map<Long, SlabCache> byAddress;
  private final SheafLayout layout;

  SheafOwners(Kernel kernel, SheafLayout layout) {
    this.memory = kernel.memory();
    this.memMap = MemMap.of(kernel);
    this.byAddress = SlabCaches.of(kernel).byAddress();
    this.layout = layout;
  }

  /// Whether a sheaf of the cache may lie at an address: an object of kmalloc that has room for it
  /// starts there.
  boolean mayBeSheaf(SlabCache cache, long address) {
    if (memMap.isEmpty() || !memory.map().isDirectMap(address)) {
      return memMap.isEmpty();
    }
    PageState page = memMap.get().state(memory.directMapPfn(address));
    SlabCache home = byAddress.get(page.slabCache());
    if (page.kind() != PageState.Kind.SLAB || home == null || !home.isSane()) {
      return false;
    }
    long inSlab = address - memory.directMapPage(page.headPfn()) - home.redLeftPad();
    return home.name().startsWith("kmalloc-")
        && home.objectSize() >= layout.objectsAt() + 8L * cache.sheafCapacity()
        && inSlab >= 0
        && inSlab % home.size() == 0;
  }

  /// Whether a sheaf holds objects, and each lies in a slab of the cache.
  boolean isOfCache(SlabCache cache, long address, long size) {
    if (memMap.isEmpty()
        || size < 1
        || size > Math.min(cache.sheafCapacity(), MAX_CAPACITY)
        || !(memory.read(address + layout.objectsAt(), 8 * (int) size)
            instanceof MemoryRead.Bytes(ByteView words))) {
      return false;
    }
    for (int i = 0; i < size; i++) {
      long object = words.u64(8L * i);
      if (!memory.map().isDirectMap(object)
          || memMap.get().state(memory.directMapPfn(object)).slabCache() != cache.address()) {
        return false;
      }
    }
    return true;
  }
}
