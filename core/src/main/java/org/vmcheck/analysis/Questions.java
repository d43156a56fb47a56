package org.vmcheck.analysis;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.check.LowMemory;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PageRead;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;

/// Small questions about one place of a dump.
final class Questions {
  private Questions() {}

  static MemoryAnswer read(
      Dump dump, Optional<Kernel> kernel, long address, int byteCount, boolean physical)
      throws UnansweredException {
    List<Integer> bytes = new ArrayList<>();
    int pageSize = dump.memory().pageSize();
    String end = "";
    while (bytes.size() < byteCount && end.isEmpty()) {
      long at = address + bytes.size();
      MemorySegment page = null;
      if (physical) {
        PageRead read = dump.memory().read(at >>> Integer.numberOfTrailingZeros(pageSize));
        if (read instanceof PageRead.Present(MemorySegment present)) {
          page = present;
        } else {
          end = "the page frame is " + read.words();
        }
      } else {
        Kernel found =
            kernel.orElseThrow(() -> new UnansweredException("no kernel in the dump: give --phys"));
        MemoryRead read = found.memory().page(at);
        if (read instanceof MemoryRead.Bytes(ByteView view)) {
          page = view.segment();
        } else {
          end = read.words();
        }
      }
      if (page != null) {
        int from = (int) (at & (pageSize - 1));
        for (int i = from; i < pageSize && bytes.size() < byteCount; i++) {
          bytes.add(page.get(ValueLayout.JAVA_BYTE, i) & 0xff);
        }
      }
    }
    if (bytes.isEmpty() && byteCount > 0) {
      throw new UnansweredException("0x%x cannot be read: %s".formatted(address, end));
    }
    long paddr =
        physical ? address : kernel.map(k -> k.memory().physicalAddress(address)).orElse(-1L);
    String symbol =
        physical
            ? ""
            : kernel
                .map(k -> k.describe(address))
                .filter(text -> !text.startsWith("0x"))
                .orElse("");
    return new MemoryAnswer(
        address,
        paddr,
        bytes,
        paddr == -1 ? "" : LowMemory.role(kernel, paddr >>> 12),
        symbol,
        end);
  }
}
