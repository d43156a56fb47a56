package org.vmcheck.lowmem;

import java.util.Optional;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabCaches;

/// The low page frames of a dump: where they end, and what the kernel used each for.
public final class LowMemory {
  /// End of the range that kexec backs up: 640 KiB.
  public static final long BACKUP_END_PFN = 0xa0;

  /// End of the range that newer kernels reserve: 1 MiB.
  public static final long RESERVED_END_PFN = 0x100;

  private LowMemory() {}

  /// The frame that holds a physical address, in the frames that low memory is counted in.
  public static long pfn(long paddr) {
    return paddr >>> 12;
  }

  /// What the kernel used a frame for, in words; empty if it cannot be told.
  public static String role(Optional<Kernel> kernel, long pfn) {
    if (kernel.isEmpty() || MemMap.of(kernel.get()).isEmpty()) {
      return "";
    }
    PageState state = MemMap.of(kernel.get()).get().state(pfn);
    if (state.kind() != PageState.Kind.SLAB) {
      return state.kind().words();
    }
    SlabCache cache = SlabCaches.of(kernel.get()).byAddress().get(state.slabCache());
    return cache == null ? "slab" : "slab " + Printable.of(cache.name(), 60);
  }
}
