package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;

/// Views of single slabs, asked for one after the other: what the allocator's lists say is read
/// once. Not safe for use by several threads at once.
public final class SlabViews {
  /// Views that are kept: whoever asks of one object often asks of its neighbours.
  private static final int KEPT = 1024;

  private final Kernel kernel;
  private final MemMap memMap;
  private final Optional<SlubPass> slub;
  private final Map<Long, Optional<SlabView>> views =
      new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Long, Optional<SlabView>> eldest) {
          return size() > KEPT;
        }
      };

  private SlabViews(Kernel kernel, MemMap memMap, Optional<SlubPass> slub) {
    this.kernel = kernel;
    this.memMap = memMap;
    this.slub = slub;
  }

  /// @return empty if the layout of slabs is not known
  public static Optional<SlabViews> of(Kernel kernel) {
    Optional<MemMap> memMap = MemMap.of(kernel);
    if (memMap.isEmpty() || SlabCaches.of(kernel).caches().isEmpty()) {
      return Optional.empty();
    }
    return switch (SlabCaches.of(kernel).detection()) {
      case SlabLayout.Detection.Unknown _ -> Optional.empty();
      case SlabLayout.Detection.Old _ ->
          Optional.of(new SlabViews(kernel, memMap.get(), Optional.empty()));
      case SlabLayout.Detection.Known _ -> {
        SlubPass pass = new SlubPass(kernel, memMap.get(), () -> false);
        pass.prepareViews();
        yield Optional.of(new SlabViews(kernel, memMap.get(), Optional.of(pass)));
      }
    };
  }

  /// How free pointers are stored; empty where the allocator stores none.
  public Optional<FreelistDecoder> decoder() {
    return slub.map(SlubPass::decoder);
  }

  /// The slab whose first page is a frame.
  public Optional<SlabView> at(long headPfn) {
    Optional<SlabView> known = views.get(headPfn);
    if (known == null) {
      known = read(headPfn);
      views.put(headPfn, known);
    }
    return known;
  }

  private Optional<SlabView> read(long headPfn) {
    if (slub.isEmpty()) {
      return SlabSurvey.views(kernel, memMap, headPfn, headPfn + 1, _ -> true, 1).stream()
          .findFirst();
    }
    List<SlabView> found = new ArrayList<>(1);
    slub.get().eachView(headPfn, headPfn + 1, _ -> true, found::add);
    return found.stream().findFirst();
  }
}
