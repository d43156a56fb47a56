package org.vmcheck.image;

import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.AddressMap;

/// Which frame an address has by arithmetic: in the direct map as far as there is memory, and in
/// the kernel's image.
///
/// @param directEnd exclusive
/// @param imageStart of what the symbols say of the image
/// @param imageEnd exclusive
record Expected(AddressMap map, long directEnd, long imageStart, long imageEnd) {
  static Expected of(Kernel kernel) {
    AddressMap map = kernel.memory().map();
    // What lies before _stext on aarch64 is given to the page allocator by some kernels.
    long start = kernel.symbol("_stext").orElse(kernel.symbol("_text").orElse(0));
    long end = kernel.symbol("_end").orElse(0);
    return new Expected(
        map,
        map.directMap().end(),
        start,
        map.isImage(start) && Long.compareUnsigned(end, start) > 0 ? end : start);
  }

  /// The physical address; -1 if arithmetic does not tell it.
  long frame(long vaddr) {
    if (map.knowsDirectMap() && isWithin(vaddr, map.directMap().start(), directEnd)) {
      return map.directMapPhysical(vaddr);
    }
    return isWithin(vaddr, imageStart, imageEnd) ? map.imagePhysical(vaddr) : -1;
  }

  private static boolean isWithin(long vaddr, long start, long end) {
    return Long.compareUnsigned(vaddr, start) >= 0 && Long.compareUnsigned(vaddr, end) < 0;
  }
}
