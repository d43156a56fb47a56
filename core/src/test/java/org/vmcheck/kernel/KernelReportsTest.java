package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Fate;
import org.vmcheck.testing.KernelMessages;

/// The kernel's reports of its own memory, the lines of healthy logs that look like them, and the
/// same words from others.
class KernelReportsTest {
  private static LogBuffer.Line kernel(String text) {
    return new LogBuffer.Line(1_000, 3, text);
  }

  private static LogBuffer.Line program(String text) {
    return new LogBuffer.Line(1_000, 3, 1, LogBuffer.Line.ANYONE, text);
  }

  private static KernelReports of(String... lines) {
    return KernelReports.of(Arrays.stream(lines).map(KernelReportsTest::kernel).toList());
  }

  private static KernelReports.Report only(String... lines) {
    assertThat(of(lines).reports()).hasSize(1);
    return of(lines).reports().getFirst();
  }

  @ParameterizedTest
  @EnumSource(KernelMessage.class)
  void eachRowIsRecognisedInTheWordsOfEveryKernel(KernelMessage message) {
    assertThat(KernelMessages.byRow()).containsKey(message.name());
    for (String line : KernelMessages.byRow().get(message.name())) {
      KernelReports.Report report = only(line);
      assertThat(report.message()).as(line).isEqualTo(message);
      assertThat(message.mayStart(line)).as(line).isTrue();
      assertThat(report.isProof())
          .isEqualTo(message.proof() != KernelMessage.Proof.MISUSE)
          .isEqualTo(message.cause() != null);
    }
  }

  @Test
  void whatProgramsWriteIsNoReport() {
    KernelReports reports =
        KernelReports.of(KernelMessages.all().stream().map(KernelReportsTest::program).toList());
    assertThat(reports.reports()).isEmpty();
    assertThat(reports.written()).hasSameSizeAs(KernelMessages.all());
  }

  @Test
  void theWordsOfOthersInALineOfTheKernelAreNoReport() {
    for (String line : KernelMessages.all()) {
      assertThat(of("lab: the last boot's log has: " + line).reports()).as(line).isEmpty();
      assertThat(of("lab: option\n" + line).reports()).as(line).isEmpty();
      assertThat(of("<3>[   12.345678] " + line).reports()).as(line).isEmpty();
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "lkdtm: Performing direct entry REFCOUNT_ADD_ZERO",
        "lkdtm: attempting good refcount_add() above 0",
        "lkdtm: Increasing refcount from 0",
        "BUG x (y): z[77]: segfault at 0 ip 00007f1 sp 00007f2 error 4",
        "slub_kunit: module loaded",
        "mem auto-init: stack:off, heap alloc:on, heap free:off",
        "SLUB: HWalign=64, Order=0-3, MinObjects=0, CPUs=2, Nodes=1",
        "kfence: initialized - using 2097152 bytes for 255 objects at 0x(____ptrval____)",
        "kasan: KernelAddressSanitizer initialized",
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 30s!",
        "BUG: sleeping function called from invalid context at mm/slab.h:512",
        "kernel BUG at fs/ext4/inode.c:3000!",
        "WARNING: CPU: 0 PID: 1 at mm/slub.c:3012 kmem_cache_open+0x1/0x2",
        "Stack Depot early init allocating hash table with memblock_alloc, 8388608 bytes",
        "page:00000000deadbeef refcount:1 mapcount:0 mapping:0000000000000000"
      })
  void healthyLinesAreNone(String line) {
    assertThat(of(line).reports()).isEmpty();
  }

  @Test
  void theDetailsOfANewerReportTellTheZoneAndTheRepair() {
    KernelReports.Report report =
        only(
            "[Right Redzone overwritten] 0xffff888003a1c040-0xffff888003a1c043 @offset=64. First"
                + " byte 0x41 instead of 0xcc",
            "=".repeat(77),
            "BUG kmalloc-64 (Not tainted): Object corrupt",
            "-".repeat(77),
            "Slab 0xffffea00000e8700 objects=16 used=3 fp=0xffff888003a1c080 flags=0x200",
            "Object 0xffff888003a1c000 @offset=0 fp=0x0000000000000000",
            "---[ end trace 0000000000000000 ]---",
            "FIX kmalloc-64: Restoring Right Redzone 0xffff888003a1c040-0xffff888003a1c043=0xcc",
            "FIX kmalloc-64: Object at 0xffff888003a1c000 not freed",
            "RIP: 0010:sysrq_handle_crash+0x16/0x20");
    assertThat(report.function()).isEmpty();
    assertThat(report.cause()).isEqualTo(Cause.REDZONE_OVERWRITTEN);
    assertThat(report.fate()).isEqualTo(Fate.REPAIRED);
    assertThat(report.cache()).isEqualTo("kmalloc-64");
    assertThat(report.addresses()).contains(0xffff_8880_03a1_c000L);
  }

  @Test
  void whoIsCaughtIsTheFirstOfTheTraceThatDoesNotReport() {
    assertThat(
            only(
                    "list_add corruption. prev is NULL.",
                    "kernel BUG at lib/list_debug.c:29!",
                    "RIP: 0010:__list_add_valid_or_report+0x78/0xb0",
                    "Call Trace:",
                    " <TASK>",
                    " ? __check_object_size+0x8d/0x200",
                    " lkdtm_CORRUPT_LIST_ADD+0xb8/0x132 [lkdtm]",
                    " direct_entry+0x18/0x2b [lkdtm]")
                .caller())
        .isEqualTo("lkdtm_CORRUPT_LIST_ADD+0xb8/0x132 [lkdtm]");
  }

  @Test
  void whatIsOnlyNotFreedIsNotRepaired() {
    assertThat(
            only(
                    "BUG kmalloc-64 (Not tainted): Object corrupt",
                    "FIX kmalloc-64: Object at 0xffff888003a1c000 not freed")
                .fate())
        .isEqualTo(Fate.UNTOLD);
  }

  @Test
  void aRefusedFreeIsStoppedThoughTheKernelSaysFix() {
    assertThat(
            only(
                    "BUG kmalloc-64 (Not tainted): Object already free",
                    "FIX kmalloc-64: Object at 0xffff888003a1c000 not freed")
                .fate())
        .isEqualTo(Fate.STOPPED);
  }

  @Test
  void theTrapBehindItsTextIsNoReportOfItsOwn() {
    assertThat(
            only(
                    "usercopy: Kernel memory exposure attempt detected from SLUB object 'lab'"
                        + " (offset 48, size 32)!",
                    "------------[ cut here ]------------",
                    "kernel BUG at mm/usercopy.c:99!")
                .cache())
        .isEqualTo("lab");
    assertThat(
            only(
                    "list_del corruption, ffff888003a1c000->next is NULL",
                    "WARNING: CPU: 0 PID: 93 at lib/list_debug.c:53 __list_del_entry+0x90/0x120")
                .message())
        .isEqualTo(KernelMessage.LIST_BROKEN);
  }

  @Test
  void linesOfAnotherWriterAreNotJoined() {
    List<LogBuffer.Line> log =
        List.of(
            new LogBuffer.Line(1, 3, 0, 7, "BUG kmalloc-64 (Not tainted): Poison overwritten"),
            new LogBuffer.Line(2, 3, 0, 8, "FIX kmalloc-32: Restoring Poison 0x0-0x1=0x6b"),
            new LogBuffer.Line(3, 3, 0, 7, "Slab 0x1 objects=16 used=3 fp=0x0 flags=0x200"));
    assertThat(KernelReports.of(log).reports().getFirst().fate()).isEqualTo(Fate.UNTOLD);
  }

  @Test
  void theSameAgainIsToldOnce() {
    KernelReports.Report report =
        only(
            "refcount_t: underflow; use-after-free.",
            "---[ end trace 0000000000000000 ]---",
            "refcount_t: underflow; use-after-free.");
    assertThat(report.times()).isEqualTo(2);
  }

  @Test
  void whatTheKernelsSelfTestsDoIsNoProof() {
    assertThat(only("BUG: KASAN: slab-out-of-bounds in kmalloc_oob_right+0x1/0x2 [kasan_test]"))
        .matches(report -> !report.isProof());
    String[] builtIn = {
      "    # Subtest: kasan",
      "BUG: KASAN: slab-out-of-bounds in kmalloc_oob_right+0x1/0x2",
      "CPU: 0 PID: 99 Comm: kunit_try_catch Tainted: G N 6.1.0"
    };
    assertThat(only(builtIn)).matches(report -> !report.isProof());
    // The name alone is anyone's.
    assertThat(only(builtIn[1], builtIn[2])).matches(KernelReports.Report::isProof);
  }

  @Test
  void aReadThatKasanCaughtChangedNothing() {
    String[] read = {
      "BUG: KASAN: slab-use-after-free in lab+0x1/0x2", "Read of size 8 at addr ffff888003a1c000"
    };
    assertThat(only(read).fate()).isEqualTo(Fate.STOPPED);
    KernelReports.Report write = only(read[0], read[1].replace("Read", "Write"));
    assertThat(write.fate()).isEqualTo(Fate.UNTOLD);
    assertThat(write.cause()).isEqualTo(Cause.USE_AFTER_FREE_WRITE);
  }

  @Test
  void aRecordOfManyCharactersIsCutBeforeItIsMatched() {
    String text = "BUG " + "(".repeat(60_000);
    assertThat(of(text, text, "usercopy: " + "'".repeat(60_000)).reports()).isEmpty();
  }
}
