package org.vmcheck.anchors;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.TreeMap;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListPoison;
import org.vmcheck.kernel.PairedLinks;
import org.vmcheck.kernel.WordCache;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// The links in the kernel's own variables ([PairedLinks]). List heads and hash heads, empty ones
/// too, are of that kind.
///
/// @param links words that are whole
/// @param faults links that one bit, or the circle that they are of, makes whole
/// @param notRead pages, by reason
record DataLinks(long links, List<LinkFault> faults, Map<String, Long> notRead) {
  /// The data of the largest kernels has 40 MiB.
  private static final long MAX_BYTES = 256L << 20;

  private static final int MAX_FAULTS = 64;

  DataLinks {
    faults = List.copyOf(faults);
    notRead = Map.copyOf(notRead);
  }

  static DataLinks of(Kernel kernel, boolean isStill) {
    Pass pass = new Pass(kernel, isStill);
    pass.range("_sdata", "_edata");
    pass.range("__bss_start", "__bss_stop");
    return new DataLinks(pass.links, pass.faults, pass.notRead);
  }

  private static final class Pass {
    private final Kernel kernel;
    private final VirtualMemory memory;
    private final int pageSize;
    private final List<LinkFault> faults = new ArrayList<>();
    private final Map<String, Long> notRead = new TreeMap<>();
    private long links;
    private final PairedLinks paired;

    Pass(Kernel kernel, boolean isStill) {
      this.kernel = kernel;
      this.memory = kernel.memory();
      this.pageSize = memory.pageSize();
      paired =
          new PairedLinks(
              new WordCache(memory)::word,
              isStill,
              0,
              value -> ListPoison.isNoAddress(memory, value),
              this::fault);
    }

    void range(String first, String last) {
      OptionalLong start = kernel.symbol(first);
      OptionalLong end = kernel.symbol(last);
      if (start.isEmpty()
          || end.isEmpty()
          || !memory.map().isImage(start.getAsLong())
          || Long.compareUnsigned(end.getAsLong() - start.getAsLong(), MAX_BYTES) > 0) {
        return;
      }
      long carried = 0;
      for (long at = memory.pageStart(start.getAsLong()); at < end.getAsLong(); at += pageSize) {
        Cancellation.check();
        if (memory.page(at) instanceof MemoryRead.Bytes(ByteView page)) {
          pair(at - 8, carried, page.u64(0), page.u64(8)); // Across the border.
          page(at, page);
          carried = page.u64(pageSize - 8L);
        } else {
          carried = 0;
          notRead.merge("pages of data", 1L, Long::sum);
        }
      }
    }

    private void page(long start, ByteView page) {
      long first = page.u64(0);
      int words = pageSize / 8;
      for (int i = 0; i + 1 < words; i++) {
        long second = page.u64((i + 1) * 8L);
        pair(start + i * 8L, first, second, i + 2 < words ? page.u64((i + 2) * 8L) : 0);
        first = second;
      }
    }

    private void pair(long at, long next, long prev, long behind) {
      PairedLinks.Pair pair = paired.look(at, next, prev, behind);
      if (pair == PairedLinks.Pair.WHOLE || pair == PairedLinks.Pair.EMPTY) {
        links += 2;
      }
    }

    private void fault(PairedLinks.Wrong wrong) {
      if (faults.size() < MAX_FAULTS) {
        faults.add(
            new LinkFault(
                LinkFault.Kind.CIRCLE,
                kernel.describe(wrong.node()),
                wrong.member(),
                wrong.address(),
                wrong.value(),
                wrong.right()));
      }
    }
  }
}
