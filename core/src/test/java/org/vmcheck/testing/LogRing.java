package org.vmcheck.testing;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;

/// Writes other texts into the log of a copy of a real dump (5.10 on, `struct printk_ringbuffer`):
/// each over a record that has the room, in order.
public final class LogRing {
  private static final long ID_MASK = (1L << 62) - 1;

  /// Records of the boot stay as they are.
  private static final int FIRST = 150;

  private LogRing() {}

  /// @param facility 0 for the kernel's own
  public static void write(DumpCopy copy, Path real, int facility, List<String> lines)
      throws IOException {
    try (Dump dump = Dumps.open(real)) {
      Kernel kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
      Vmcoreinfo info = kernel.vmcoreinfo();
      long ring = word(kernel, info.symbol("prb").orElseThrow());
      long descRing = ring + at(info, "printk_ringbuffer.desc_ring");
      long textRing = ring + at(info, "printk_ringbuffer.text_data_ring");
      long textBytes = 1L << (int) word(kernel, textRing + at(info, "prb_data_ring.size_bits"));
      long data = word(kernel, textRing + at(info, "prb_data_ring.data"));
      long count = 1L << (int) word(kernel, descRing + at(info, "prb_desc_ring.count_bits"));
      long descs = word(kernel, descRing + at(info, "prb_desc_ring.descs"));
      long infos = word(kernel, descRing + at(info, "prb_desc_ring.infos"));
      long id = word(kernel, descRing + at(info, "prb_desc_ring.tail_id")) & ID_MASK;
      int next = 0;
      for (long record = 0; next < lines.size(); record++, id++) {
        long index = id & (count - 1);
        long block =
            descs
                + index * info.size("prb_desc").orElseThrow()
                + at(info, "prb_desc.text_blk_lpos");
        long begin = word(kernel, block);
        long end = word(kernel, block + 8);
        byte[] text = lines.get(next).getBytes(StandardCharsets.ISO_8859_1);
        if (record < FIRST
            || (begin & 1) != 0
            || begin / textBytes != (end - 1) / textBytes
            || end - begin - 8 < text.length) {
          continue;
        }
        long textAt = data + (begin & (textBytes - 1)) + 8;
        for (int i = 0; i < text.length; i++) {
          put(copy, kernel.memory().physicalAddress(textAt + i), text[i]);
        }
        long infoAt =
            infos
                + index * info.size("printk_info").orElseThrow()
                + at(info, "printk_info.text_len");
        put(copy, kernel.memory().physicalAddress(infoAt), (byte) text.length);
        put(copy, kernel.memory().physicalAddress(infoAt + 1), (byte) (text.length >> 8));
        put(copy, kernel.memory().physicalAddress(infoAt + 2), (byte) facility);
        next++;
      }
    }
  }

  private static void put(DumpCopy copy, long physical, byte value) {
    copy.pages().get(physical >>> 12)[(int) (physical & 4095)] = value;
  }

  private static long at(Vmcoreinfo info, String member) {
    return info.offset(member).orElseThrow();
  }

  private static long word(Kernel kernel, long vaddr) {
    return kernel.word(vaddr).orElseThrow();
  }
}
