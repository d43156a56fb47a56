package org.vmcheck.check;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabLayout;

/// What a check needs before it can run; the runner turns what is not met into the reasons for
/// which it is skipped.
public enum Needs {
  /// The container alone.
  DUMP,
  /// A kernel whose memory can be read.
  KERNEL,
  /// Symbols of the kernel.
  SYMBOLS,
  /// The kernel's page descriptors.
  MEMMAP,
  /// A slab allocator whose layout is known, and page descriptors.
  SLAB;

  /// What is missing, a sentence each; empty if the check can run.
  public List<String> unmet(CheckContext context) {
    if (this == DUMP) {
      return List.of();
    }
    if (context.search() instanceof KernelSearch.NotFound(List<String> reasons, boolean _)) {
      return reasons;
    }
    Optional<Kernel> found = context.kernel();
    Kernel kernel = found.orElseThrow();
    List<String> unmet = new ArrayList<>();
    if (this != KERNEL && this != MEMMAP && kernel.symbols().isEmpty()) {
      unmet.addAll(kernel.missing());
    }
    if ((this == MEMMAP || this == SLAB) && MemMap.of(kernel).isEmpty()) {
      unmet.add("page descriptors: the dump does not tell how large or where they are");
    }
    if (this == SLAB && MemMap.of(kernel).isPresent() && !MemMap.of(kernel).get().knowsSlabs()) {
      unmet.add("page descriptors: the dump does not tell what marks a slab");
    }
    if (this == SLAB && !kernel.memory().map().knowsDirectMap()) {
      unmet.add("the direct map: neither page_offset_base nor the page tables tell where it is");
    }
    if (this == SLAB
        && unmet.isEmpty()
        && SlabCaches.of(kernel).detection()
            instanceof SlabLayout.Detection.Unknown(String allocator, List<String> missing)) {
      unmet.add(
          (allocator.isEmpty() ? "" : "allocator " + allocator + ": ")
              + "missing "
              + String.join(", ", missing));
    }
    return unmet;
  }
}
