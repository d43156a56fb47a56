package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.kernel.LogTestimony.Topic;

/// Lines as kernels print them, and the lines of every boot that look like them.
class LogTestimonyTest {
  private static List<LogBuffer.Line> log(String... lines) {
    return Arrays.stream(lines).map(text -> new LogBuffer.Line(1_000, 6, text)).toList();
  }

  private static List<LogTestimony.Report> reports(String... lines) {
    return LogTestimony.of(log(lines), 12).reports();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "EDAC|EDAC MC0: 1 CE memory read error on CPU_SrcID#0_MC#0 (channel:0 slot:0 page:0x12345"
            + " offset:0x40 grain:32 syndrome:0x0)",
        "EDAC|EDAC MC1: 2 UE on mc#1csrow#0 (csrow:0 page:0x12345 offset:0x0 grain:8)",
        "EDAC|EDAC MC0: CE page 0x12345, offset 0xd00, grain 128, syndrome 0x3c, row 0",
        "EDAC|EDAC sbridge MC0: HANDLING MCE MEMORY ERROR",
        "MACHINE_CHECK|mce: [Hardware Error]: TSC 0 ADDR 12345680 MISC 86",
        "MACHINE_CHECK|{1}[Hardware Error]:   physical_address: 0x0000000012345680",
        "MACHINE_CHECK|Memory failure: 0x12345: recovery action for dirty page: Recovered",
        "BAD_PAGE|BUG: Bad page state in process swapper/0  pfn:12345"
      })
  void whatTellsOfOnePageNamesIt(Topic topic, String line) {
    assertThat(reports(line)).hasSize(1);
    assertThat(reports(line).getFirst().topic()).isEqualTo(topic);
    if (!line.contains("HANDLING")) {
      assertThat(reports(line).getFirst().pfn()).isEqualTo(0x12345);
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "EDAC MC0: Giving out device to module amd64_edac controller F19h_M60h: DEV 0000:00:18.3"
            + " (INTERRUPT)",
        "EDAC PCI0: Giving out device to module 'amd64_edac' controller 'EDAC PCI controller': DEV"
            + " '0000:00:18.2' (POLLED)",
        "EDAC DEVICE0: Giving out device to module zynqmp-ocm-edac controller zynqmp_ocm: DEV x",
        "EDAC MC: Ver: 3.0.0",
        "EDAC MC: UMC0 chip selects:",
        "EDAC amd64: F19h_M60h detected (node 0).",
        "EDAC amd64: ECC disabled in the BIOS or no ECC capability, module will not load.",
        "EDAC MC: ECC not enabled",
        "MCE: In-kernel MCE decoding enabled.",
        "mce: CPU supports 22 MCE banks",
        "traps: x[1] general protection fault ip:6b6b6b6b sp:7ffc1 error:0",
        "SLUB: HWalign=64, Order=0-3, MinObjects=0, CPUs=2, Nodes=1",
        "debug: BUGS are fixed"
      })
  void linesOfEveryBootTellNothing(String line) {
    assertThat(reports(line)).isEmpty();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "kmalloc-64|BUG kmalloc-64 (Tainted: G    B      O      ): Redzone overwritten",
        "kmalloc-64|BUG kmalloc-64 (Not tainted): Freechain corrupt",
        "dentry(12:x.service)|BUG dentry(12:x.service) (Not tainted): Poison overwritten",
        "size-64|Slab corruption (Tainted: G W): size-64 start=ffff888003a51000, len=64",
        "size-64|Slab corruption: size-64 start=ffff888003a51000, len=64",
        "size-64|slab error in verify_redzone_free(): cache `size-64': double free detected"
      })
  void theAllocatorsReportsNameTheirCache(String cache, String line) {
    assertThat(reports(line)).hasSize(1);
    assertThat(reports(line).getFirst().topic()).isEqualTo(Topic.SLAB);
    assertThat(reports(line).getFirst().cache()).isEqualTo(cache);
  }

  @Test
  void aReportIsReadWithWhatFollows() {
    List<LogTestimony.Report> all =
        reports(
            "=============================",
            "BUG kmalloc-64 (Not tainted): Right Redzone overwritten",
            "-----------------------------",
            "0xffff888003a51040-0xffff888003a51043 @offset=64. First byte 0x0 instead of 0xcc",
            "Allocated in load_it+0x12/0x40 [lab] age=12 cpu=0 pid=91",
            "Freed in drop_it+0x12/0x40 [lab] age=9 cpu=1 pid=92",
            "Slab 0xffffea00000e9440 objects=16 used=15 fp=0xffff888003a51100 flags=0x200",
            "Object 0xffff888003a51000 @offset=0 fp=0x0000000000000000",
            "FIX kmalloc-64: Restoring Right Redzone 0xffff888003a51040-0xffff888003a51043=0xcc",
            "Allocated in another+0x1/0x2 age=1 cpu=0 pid=1");

    assertThat(all).hasSize(1);
    LogTestimony.Report report = all.getFirst();
    assertThat(report.lines()).hasSize(7);
    assertThat(report.addresses())
        .contains(0xffff888003a51000L, 0xffff888003a51040L, 0xffffea00000e9440L);
    assertThat(report.isRepaired()).isTrue();
  }

  @Test
  void aFaultOnPoisonIsSeenByItsRegistersWhereTheLineHasNoAddress() {
    assertThat(
            reports("Unable to handle kernel paging request at virtual address dead000000000108"))
        .extracting(LogTestimony.Report::topic)
        .containsExactly(Topic.POISON_FAULT);
    String[] fault = {
      "general protection fault: 0000 [#1] SMP PTI",
      "CPU: 0 PID: 1 Comm: x Not tainted 4.19.0 #1",
      "RAX: 6b6b6b6b6b6b6b6b RBX: ffff888003a51000 RCX: 0000000000000000"
    };

    assertThat(reports(fault))
        .extracting(LogTestimony.Report::topic)
        .containsExactly(Topic.POISON_FAULT);
    fault[2] = fault[2].replace('b', '7');
    assertThat(reports(fault)).isEmpty();
  }

  @Test
  void aFloodOfOneKindHidesNoOther() {
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < 10_000; i++) {
      lines.add("mce: [Hardware Error]: Machine check events logged");
    }
    lines.add("BUG kmalloc-64 (Not tainted): Poison overwritten");

    LogTestimony testimony = LogTestimony.of(log(lines.toArray(String[]::new)), 12);

    assertThat(testimony.counts()).containsEntry(Topic.MACHINE_CHECK, 10_000);
    assertThat(testimony.reports()).hasSize(LogTestimony.MAX_REPORTS + 1);
    assertThat(testimony.reports().getLast().topic()).isEqualTo(Topic.SLAB);
  }
}
