package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.TestData;

/// The log of a real kernel, as it is and with records that all claim the same text.
class LogBufferTest {
  private static Kernel kernel(Dump dump) {
    return ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
  }

  @Test
  void aHealthyLogHasAllItsRecordsAndNoProblem() throws Exception {
    try (Dump dump = Dumps.open(TestData.named("healthy").dump())) {
      LogBuffer log = kernel(dump).log();
      assertThat(log.problem()).isEmpty();
      assertThat(log.records()).hasSizeGreaterThan(50);
    }
  }

  @Test
  void recordsThatShareOneTextAreNotReadOverAndOver(@TempDir Path dir) throws Exception {
    Path real = TestData.named("healthy").dump();
    DumpCopy copy = DumpCopy.of(real);
    long ringBytes;
    try (Dump dump = Dumps.open(real)) {
      Kernel kernel = kernel(dump);
      Vmcoreinfo info = kernel.vmcoreinfo();
      long ring = word(kernel, info.symbol("prb").orElseThrow());
      long descRing = ring + at(info, "printk_ringbuffer.desc_ring");
      long textRing = ring + at(info, "printk_ringbuffer.text_data_ring");
      ringBytes = 1L << (int) word(kernel, textRing + at(info, "prb_data_ring.size_bits"));
      long count = 1L << (int) word(kernel, descRing + at(info, "prb_desc_ring.count_bits"));
      long descs = word(kernel, descRing + at(info, "prb_desc_ring.descs"));
      long infos = word(kernel, descRing + at(info, "prb_desc_ring.infos"));
      long block = at(info, "prb_desc.text_blk_lpos");
      for (long i = 0; i < count; i++) {
        long blockAt = descs + i * info.size("prb_desc").orElseThrow() + block;
        set(copy, kernel, blockAt, 0);
        set(copy, kernel, blockAt + 8, 0x8000);
        long infoAt =
            infos + i * info.size("printk_info").orElseThrow() + at(info, "printk_info.text_len");
        set(copy, kernel, infoAt & -8, word(kernel, infoAt & -8) | 0x7fffL << ((infoAt & 7) * 8));
      }
    }
    try (Dump dump = Dumps.open(copy.write(dir, Packer.ZLIB))) {
      LogBuffer log = kernel(dump).log();
      assertThat(log.problem()).contains("more text than its ring");
      assertThat(log.records().stream().mapToLong(line -> line.text().length()).sum())
          .isPositive()
          .isLessThanOrEqualTo(ringBytes);
    }
  }

  private static long at(Vmcoreinfo info, String member) {
    return info.offset(member).orElseThrow();
  }

  private static long word(Kernel kernel, long vaddr) {
    return kernel.word(vaddr).orElseThrow();
  }

  private static void set(DumpCopy copy, Kernel kernel, long vaddr, long value) {
    long physical = kernel.memory().physicalAddress(vaddr);
    // Pages of records that were never used are not in the dump.
    if (physical >= 0 && kernel.word(vaddr).isPresent()) {
      copy.setWord(physical, value);
    }
  }
}
