package org.vmcheck.check;

import java.util.List;
import java.util.Optional;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;
import org.vmcheck.slab.Words;

/// The slab objects behind addresses.
final class SlabObjects {
  private final Kernel kernel;
  private final Optional<MemMap> memMap;

  /// @param view the slab that holds it
  /// @param index of the object in it
  record Found(SlabView view, int index) {
    long address() {
      return view.slab().object(index);
    }

    String cache() {
      return Words.name(view.slab().cache());
    }
  }

  /// @param context that can tell nothing of slabs: no address is found
  SlabObjects(CheckContext context) {
    this.kernel = context.kernel().orElseThrow();
    this.memMap = context.unmetForSlabs().isEmpty() ? MemMap.of(kernel) : Optional.empty();
  }

  /// The object whose bytes, red zones and metadata included, hold an address.
  Optional<Found> at(long address) {
    if (memMap.isEmpty() || !kernel.memory().map().isDirectMap(address)) {
      return Optional.empty();
    }
    long physical = kernel.memory().physicalAddress(address);
    PageState state = memMap.get().state(kernel.memory().pfn(physical));
    if (physical < 0 || state.kind() != PageState.Kind.SLAB) {
      return Optional.empty();
    }
    long head = state.headPfn();
    List<SlabView> views = SlabSurvey.views(kernel, memMap.get(), head, head + 1, _ -> true, 1);
    if (views.isEmpty()) {
      return Optional.empty();
    }
    int index = views.getFirst().slab().indexHolding(address);
    return index < 0 ? Optional.empty() : Optional.of(new Found(views.getFirst(), index));
  }
}
