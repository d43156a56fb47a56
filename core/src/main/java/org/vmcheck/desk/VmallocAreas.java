package org.vmcheck.desk;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeMap;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.kernel.StructRef;

/// The areas of the vmalloc range in use (Linux `mm/vmalloc.c`): on one list up to 6.8, on one of
/// each `vmap_node` since.
final class VmallocAreas {
  private static final int MAX_AREAS = 1 << 20;
  private static final int MAX_NODES = 1 << 10;

  private final Kernel kernel;
  private final TreeMap<Long, Area> byStart = new TreeMap<>();

  /// An area.
  ///
  /// @param caller address of the code that asked for it; 0 if not known
  record Area(long start, long end, long caller) {}

  VmallocAreas(Kernel kernel) {
    this.kernel = kernel;
    Optional<StructLayout> area = kernel.struct("vmap_area", "va_start", "va_end", "list");
    if (area.isEmpty()) {
      return;
    }
    OptionalLong list = kernel.symbol("vmap_area_list");
    if (list.isPresent()) {
      read(area.get(), list.getAsLong());
      return;
    }
    Optional<StructLayout> node = kernel.struct("vmap_node", "busy.head");
    OptionalLong nodes = kernel.variable64("vmap_nodes");
    if (node.isPresent() && nodes.isPresent()) {
      long count = Math.clamp(kernel.variable32("nr_vmap_nodes").orElse(1), 1, MAX_NODES);
      for (int i = 0; i < count; i++) {
        long head = nodes.getAsLong() + i * node.get().size();
        read(area.get(), head + node.get().member("busy.head").orElseThrow().offset());
      }
    }
  }

  private void read(StructLayout layout, long head) {
    List<Long> nodes = ListWalk.walk(kernel.memory(), head, MAX_AREAS).nodes();
    int listAt = layout.member("list").orElseThrow().offset();
    int callerAt =
        kernel
            .struct("vm_struct")
            .flatMap(vm -> vm.member("caller"))
            .map(m -> m.offset())
            .orElse(-1);
    for (long link : nodes) {
      if (StructRef.read(kernel.memory(), layout, link - listAt) instanceof StructRef at) {
        long start = at.get("va_start");
        long end = at.get("va_end");
        if (start < 0 && Long.compareUnsigned(start, end) < 0) {
          long vm = at.has("vm") ? at.get("vm") : 0;
          long caller = vm >= 0 || callerAt < 0 ? 0 : kernel.word(vm + callerAt).orElse(0);
          byStart.put(start, new Area(start, end, caller));
        }
      }
    }
  }

  /// The area that has an address, the guard page behind it included.
  Optional<Area> at(long address) {
    // All lie in the kernel's half: signed order is theirs.
    Map.Entry<Long, Area> entry = byStart.floorEntry(address);
    return entry == null || address >= entry.getValue().end()
        ? Optional.empty()
        : Optional.of(entry.getValue());
  }

  /// The name of the code that asked for an area; empty if it is not known.
  String caller(Area area) {
    String text = area.caller() == 0 ? "" : kernel.describe(area.caller());
    return text.startsWith("0x") ? "" : text;
  }
}
