package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.TestData;

/// The size that was asked for, on a real kernel with slub_debug=FZPU: healthy objects hold one, an
/// impossible one is found where it is.
class OriginalSizeTest {
  @Test
  void anImpossibleOriginalSizeIsFound(@TempDir Path dir) throws Exception {
    Path real = TestData.named("redzone").dump();
    long physical;
    try (Dump dump = Dumps.open(real)) {
      Kernel kernel = kernel(dump);
      SlabView view =
          SlabSurvey.views(
                  kernel,
                  MemMap.of(kernel).orElseThrow(),
                  0,
                  MemMap.of(kernel).orElseThrow().endPfn(),
                  cache -> cache.name().equals("kmalloc-64"),
                  1)
              .getFirst();
      SlabCache cache = view.slab().cache();
      int allocated = 0;
      while (view.listOf(allocated) != null) {
        allocated++;
      }
      long tracks = 2 * kernel.struct("track").orElseThrow().size();
      long address =
          view.slab().object(allocated)
              + cache.inuse()
              + (cache.offset() >= cache.inuse() ? 8 : 0)
              + tracks;
      physical = kernel.memory().physicalAddress(address);
      assertThat(patterns(kernel)).hasSize(1); // the red zone that testdata tells of
    }
    DumpCopy copy = DumpCopy.of(real);
    long word = copy.word(physical & -8);
    int shift = (int) (physical & 7) * 8;
    copy.setWord(physical & -8, (word & ~(0xffffffffL << shift)) | 65_000L << shift);
    try (Dump dump = Dumps.open(copy.write(dir, Packer.ZLIB))) {
      Kernel kernel = kernel(dump);
      List<SlabFault.Pattern> found =
          patterns(kernel).stream()
              .filter(fault -> fault.zone() == SlabFault.Zone.TRACKING)
              .toList();
      assertThat(found).hasSize(1);
      assertThat(kernel.memory().physicalAddress(found.getFirst().address())).isEqualTo(physical);
      assertThat(found.getFirst().why()).startsWith("65000 bytes");
    }
  }

  private static Kernel kernel(Dump dump) {
    return KernelFinder.find(dump) instanceof KernelSearch.Found(Kernel kernel)
        ? kernel
        : fail("no kernel");
  }

  private static List<SlabFault.Pattern> patterns(Kernel kernel) {
    return SlabSurvey.run(kernel, MemMap.of(kernel).orElseThrow(), 1, () -> false).faults().stream()
        .filter(SlabFault.Pattern.class::isInstance)
        .map(SlabFault.Pattern.class::cast)
        .toList();
  }
}
