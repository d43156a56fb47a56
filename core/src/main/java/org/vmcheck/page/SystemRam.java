package org.vmcheck.page;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.StructRef;

/// The frames that the kernel knows as memory ("System RAM" in `iomem_resource`). Descriptors of
/// what lies between have a zone of a neighbour, or none, as each kernel sees fit.
///
/// @param starts first frames, ascending
/// @param ends one more than the last frame of each
record SystemRam(List<Long> starts, List<Long> ends) {
  private static final int MAX_RESOURCES = 1 << 16;
  private static final int MAX_NAME = 32;

  SystemRam {
    starts = List.copyOf(starts);
    ends = List.copyOf(ends);
  }

  static SystemRam of(Kernel kernel) {
    Optional<StructLayout> type =
        kernel.struct("resource", "start", "end", "name", "sibling", "child");
    OptionalLong root = kernel.symbol("iomem_resource");
    List<Long> starts = new ArrayList<>();
    List<Long> ends = new ArrayList<>();
    if (type.isPresent()
        && root.isPresent()
        && StructRef.read(kernel.memory(), type.get(), root.getAsLong()) instanceof StructRef all) {
      int pageShift = kernel.memory().pageShift();
      long at = all.get("child");
      for (int i = 0; at != 0 && i < MAX_RESOURCES; i++) {
        if (!(StructRef.read(kernel.memory(), type.get(), at) instanceof StructRef one)) {
          break;
        }
        if (kernel.string(one.get("name"), MAX_NAME).orElse("").equals("System RAM")) {
          starts.add((one.get("start") + (1L << pageShift) - 1) >>> pageShift);
          ends.add((one.get("end") + 1) >>> pageShift);
        }
        at = one.get("sibling");
      }
    }
    return new SystemRam(starts, ends);
  }

  boolean has(long pfn) {
    for (int i = 0; i < starts.size(); i++) {
      if (pfn >= starts.get(i) && pfn < ends.get(i)) {
        return true;
      }
    }
    return false;
  }
}
