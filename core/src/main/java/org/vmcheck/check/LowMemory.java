package org.vmcheck.check;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.PageMap;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.PageState;
import org.vmcheck.kernel.SlabCache;

/// The low page frames of a dump: what is stored of each, what the kernel used it for, and what its
/// bytes look like.
public final class LowMemory {
  /// End of the range that kexec backs up: 640 KiB.
  public static final long BACKUP_END_PFN = 0xa0;

  /// End of the range that newer kernels reserve: 1 MiB.
  public static final long RESERVED_END_PFN = 0x100;

  private LowMemory() {}

  /// Maps the frames from 0 to `endPfn`.
  public static PageMap map(Dump dump, Optional<Kernel> kernel, long endPfn) {
    List<PageMap.Cell> cells = new ArrayList<>();
    for (long pfn = 0; pfn < endPfn; pfn++) {
      PageRead read = dump.memory().read(pfn);
      String looks =
          read instanceof PageRead.Present(MemorySegment bytes)
              ? PageStatistics.of(bytes).looks()
              : "";
      cells.add(new PageMap.Cell(pfn, read.words(), role(kernel, pfn), looks));
    }
    return new PageMap(0, cells);
  }

  /// What the kernel used a frame for, in words; empty if it cannot be told.
  public static String role(Optional<Kernel> kernel, long pfn) {
    if (kernel.isEmpty() || kernel.get().memMap().isEmpty()) {
      return "";
    }
    PageState state = kernel.get().memMap().get().state(pfn);
    if (state.kind() != PageState.Kind.SLAB) {
      return state.kind().words();
    }
    SlabCache cache = kernel.get().slabCaches().byAddress().get(state.slabCache());
    return cache == null ? "slab" : "slab " + Printable.of(cache.name(), 60);
  }
}
