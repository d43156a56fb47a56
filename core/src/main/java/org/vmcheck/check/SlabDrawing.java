package org.vmcheck.check;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.finding.Evidence;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.Freelist;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;

/// Pictures of slabs with broken freelists: which objects are free, and the way of the list up to
/// the break.
final class SlabDrawing {
  /// More pictures than anyone looks at; a picture costs a look at all lists of the kernel.
  private static final int MAX_SLABS = 16;

  /// Objects of the largest slab that is drawn.
  private static final int MAX_OBJECTS = 1024;

  private final Map<Long, SlabView> views = new HashMap<>();

  private SlabDrawing() {}

  static SlabDrawing of(Kernel kernel, List<SlabFault> faults) {
    SlabDrawing drawing = new SlabDrawing();
    List<Long> pfns =
        faults.stream()
            .filter(SlabFault.Broken.class::isInstance)
            .map(fault -> ((SlabFault.Broken) fault).slab())
            .filter(slab -> slab.walkableObjects() <= MAX_OBJECTS)
            .map(Slab::pfn)
            .distinct()
            .limit(MAX_SLABS)
            .toList();
    if (!pfns.isEmpty() && SlabCaches.of(kernel).layout().isPresent()) {
      for (SlabView view : SlabSurvey.views(kernel, MemMap.of(kernel).orElseThrow(), pfns)) {
        drawing.views.put(view.slab().address(), view);
      }
    }
    return drawing;
  }

  /// The picture of one broken list; none where the slab is not drawn.
  List<Evidence> picture(SlabFault.Broken broken) {
    SlabView view = views.get(broken.slab().address());
    if (view == null) {
      return List.of();
    }
    Slab slab = view.slab();
    char[] cells = new char[slab.walkableObjects()];
    Arrays.fill(cells, Evidence.SlabPicture.ALLOCATED);
    List<Integer> path = new ArrayList<>();
    for (SlabView.FreeObjects list : view.lists()) {
      boolean isThis = list.name().equals(broken.listName());
      if (list.kind() == SlabView.Kind.WAITING) {
        continue; // Nobody gets these before a grace period has ended: they count as held.
      }
      for (int index : list.objects()) {
        if (isThis || cells[index] == Evidence.SlabPicture.ALLOCATED) {
          cells[index] = isThis ? Evidence.SlabPicture.FREE : Evidence.SlabPicture.ELSEWHERE;
        }
      }
      if (isThis) {
        path.addAll(list.objects());
      }
    }
    int holder = -1;
    int target = -1;
    switch (broken.list().end()) {
      case Freelist.End.BadPointer end -> holder = end.holder();
      case Freelist.End.Cycle end -> {
        holder = end.holder();
        target = end.target();
      }
      case Freelist.End.OnOtherList end -> {
        holder = end.holder();
        target = end.target();
      }
      case Freelist.End.Unreadable end -> holder = end.holder();
      case Freelist.End.Closed() -> {
        return List.of();
      }
    }
    return List.of(
        new Evidence.SlabPicture(
            slab.object(0),
            slab.cache().size(),
            new String(cells),
            path,
            holder,
            target,
            "the slab: %d objects, %d on this list up to the break"
                .formatted(cells.length, path.size())));
  }
}
