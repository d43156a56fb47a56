package org.vmcheck.desk;

import java.util.Map;
import java.util.NavigableSet;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.memory.ReverseMap;
import org.vmcheck.memory.VirtualMemory;

/// The kernel addresses of physical ones, as code that uses the page has them: the image, vmalloc
/// and stacks before the direct map, which has every page.
final class Locator {
  private final VirtualMemory memory;
  private final AddressMap map;
  private final Map<Long, Long> mapped;

  /// @param frames those that will be asked for
  Locator(Kernel kernel, NavigableSet<Long> frames) {
    this.memory = kernel.memory();
    this.map = memory.map();
    this.mapped = ReverseMap.of(kernel.memory(), frames);
  }

  long address(long paddr) {
    long image = paddr - map.imagePhysical(map.imageStart());
    if (image >= 0 && image < map.imageEnd() - map.imageStart()) {
      return map.imageStart() + image;
    }
    Long page = mapped.get(memory.pfn(paddr));
    return page == null ? map.directMapAddress(paddr) : page + (paddr & (memory.pageSize() - 1));
  }
}
