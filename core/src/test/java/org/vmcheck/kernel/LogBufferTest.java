package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
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

  /// The log of a dump whose VMCOREINFO is changed: of a real 6.1, or one of 5.3 of our own.
  private static LogBuffer logWithout(Path dir, Path real, String line, String instead)
      throws Exception {
    DumpCopy copy = DumpCopy.of(real);
    assertThat(copy.vmcoreinfo()).contains(line);
    copy.vmcoreinfo(text -> text.replaceAll("(?m)^" + Pattern.quote(line) + ".*\n", instead));
    try (Dump dump = Dumps.open(copy.write(dir, Packer.ZLIB))) {
      return kernel(dump).log();
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "SIZE(prb_desc)",
        "SIZE(printk_info)",
        "OFFSET(prb_data_blk_lpos.begin)",
        "OFFSET(prb_data_blk_lpos.next)",
        "OFFSET(atomic_long_t.counter)"
      })
  void whatTheRingNeedsIsNamedWhereItIsLackingAndNeverSupplied(String line, @TempDir Path dir)
      throws Exception {
    LogBuffer log = logWithout(dir, TestData.named("healthy").dump(), line + "=", "");
    assertThat(log.problem()).isEqualTo("VMCOREINFO lacks " + line);
    assertThat(log.records()).isEmpty();
  }

  @Test
  void typesTellTheFacilityWhereNoCallerIsExported(@TempDir Path dir) throws Exception {
    Path real = TestData.named("healthy").dump();
    LogBuffer log = logWithout(dir, real, "OFFSET(printk_info.caller_id)=", "");
    try (Dump dump = Dumps.open(real)) {
      assertThat(log).isEqualTo(kernel(dump).log());
    }
    assertThat(log.kernelRecords()).isNotEmpty();
  }

  private static Path old(Layout layout, Path dir) throws Exception {
    return FakeKernel.of(layout).log(List.of("one", "two")).build().writeKdump(dir, "old");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "SIZE(printk_log)",
        "OFFSET(printk_log.len)",
        "OFFSET(printk_log.text_len)",
        "OFFSET(printk_log.ts_nsec)",
        "SYMBOL(log_next_idx)"
      })
  void soIsWhatOldRecordsNeed(String line, @TempDir Path dir) throws Exception {
    LogBuffer log = logWithout(dir, old(Layout.V5_3, dir), line + "=", "");
    assertThat(log.problem()).isEqualTo("VMCOREINFO lacks " + line);
    assertThat(log.records()).isEmpty();
  }

  /// What stands before the facility is not needed where types tell of it, and what it is needed
  /// for is all that is lost where they do not.
  @Test
  void withoutTheLengthBeforeItTheFacilityComesFromTypesOrIsUnknown(@TempDir Path dir)
      throws Exception {
    String line = "OFFSET(printk_log.dict_len)=";
    LogBuffer typed = logWithout(dir, old(Layout.V5_3, dir), line, "");
    assertThat(typed.problem()).isEmpty();
    assertThat(typed.kernelRecords()).hasSize(2);
    LogBuffer untyped = logWithout(dir, old(Layout.V6_1, dir), line, "");
    assertThat(untyped.problem()).contains("keeps the facility");
    assertThat(untyped.records()).hasSize(2);
    assertThat(untyped.kernelRecords()).isEmpty();
  }

  @Test
  void recordsOfUnknownFacilityAreNobodysTestimony(@TempDir Path dir) throws Exception {
    // A caller elsewhere than behind two bytes: the order of the members is not the known one. And
    // no types of that structure.
    LogBuffer log =
        logWithout(
            dir,
            old(Layout.V6_1, dir),
            "OFFSET(printk_log.dict_len)=",
            "OFFSET(printk_log.dict_len)=12\nOFFSET(printk_log.caller_id)=4\n");
    assertThat(log.problem()).contains("keeps the facility");
    assertThat(log.records()).extracting(LogBuffer.Line::text).containsExactly("one", "two");
    assertThat(log.kernelRecords()).isEmpty();
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
