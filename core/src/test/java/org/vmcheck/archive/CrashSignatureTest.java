package org.vmcheck.archive;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.vmcheck.testing.SampleReports;

class CrashSignatureTest {
  private static final List<String> OOPS =
      List.of(
          "[   12.000001] BUG: unable to handle page fault for address: ffff888012345678",
          "[   12.000002] CPU: 3 PID: 4242 Comm: bad Tainted: G           O       6.1.0 #1",
          "[   12.000003] RIP: 0010:kmem_cache_alloc+0x8c/0x2b0",
          "[   12.000004] Call Trace:",
          "[   12.000005]  <TASK>",
          "[   12.000006]  ? __die_body.cold+0x1a/0x1f",
          "[   12.000007]  asm_exc_page_fault+0x22/0x30",
          "[   12.000008]  getname_flags.part.0+0x29/0x1c0",
          "[   12.000009]  do_sys_openat2+0x9b/0x160 [mod]",
          "[   12.000010]  </TASK>");

  @Test
  void namesStayAndNumbersGo() {
    CrashSignature signature = CrashSignature.ofPanic(OOPS);

    assertThat(signature.text())
        .isEqualTo(
            "BUG: unable to handle page fault for address: # | at kmem_cache_alloc"
                + " | getname_flags < do_sys_openat2 [mod]");
  }

  @Test
  void anOopsOfArm64HasOneToo() {
    CrashSignature signature =
        CrashSignature.ofPanic(
            List.of(
                "[   12.000001] Unable to handle kernel paging request at virtual address"
                    + " 6ce7b862468b00a8",
                "[   12.000002] Internal error: Oops: 0000000096000004 [#1] SMP",
                "[   12.000003] pc : kmem_cache_alloc_noprof+0xa8/0x2f0",
                "[   12.000004] lr : kmem_cache_alloc_noprof+0x74/0x2f0",
                "[   12.000005] Call trace:",
                "[   12.000006]  kmem_cache_alloc_noprof+0xa8/0x2f0 (P)",
                "[   12.000007]  lab_init+0x48/0x1000 [vmcheck_lab]",
                "[   12.000008]  el0t_64_sync+0x190/0x198",
                "[   12.000009] Code: aa1403e1 (f8606a95)"));

    assertThat(signature.text())
        .isEqualTo(
            "Unable to handle kernel paging request at virtual address # | at"
                + " kmem_cache_alloc_noprof | kmem_cache_alloc_noprof < lab_init [vmcheck_lab]");
  }

  @Test
  void sameCrashElsewhereHasTheSameSignature() {
    List<String> other =
        OOPS.stream()
            .map(
                line ->
                    line.replace("12.0000", "98765.4321")
                        .replace("ffff888012345678", "ffff99aa00000010")
                        .replace("+0x8c/0x2b0", "+0x90/0x2c0")
                        .replace("getname_flags.part.0", "getname_flags.isra.0.part.3"))
            .toList();

    assertThat(CrashSignature.ofPanic(other)).isEqualTo(CrashSignature.ofPanic(OOPS));
    assertThat(CrashSignature.ofPanic(OOPS.subList(0, 3)))
        .isNotEqualTo(CrashSignature.ofPanic(OOPS));
  }

  @Test
  void whatTheKernelSurvivedIsNoPartOfIt() {
    List<String> log = new ArrayList<>();
    log.add("[    3.000000] WARNING: CPU: 0 PID: 1 at mm/slub.c:1 early+0x1/0x2");
    log.add("[    3.000001] RIP: 0010:early+0x1/0x2");
    log.add("[    3.000002] Call Trace:");
    log.add("[    3.000003]  early_caller+0x1/0x2");
    log.add("[    3.000004] ---[ end trace 0000000000000000 ]---");
    log.add("[    4.000000] BUG: kernel NULL pointer dereference, address: 0000000000000008");
    log.add("[    4.000001] RIP: 0010:other+0x1/0x2");
    log.addAll(OOPS);

    assertThat(CrashSignature.ofPanic(log)).isEqualTo(CrashSignature.ofPanic(OOPS));

    log.add("[   12.000011] Kernel panic - not syncing: Fatal exception");
    assertThat(CrashSignature.ofPanic(log)).isEqualTo(CrashSignature.ofPanic(OOPS));
    log.add("[   12.000012] Kernel panic - not syncing: hung_task: blocked tasks");
    assertThat(CrashSignature.ofPanic(log).text())
        .isEqualTo("Kernel panic - not syncing: hung_task: blocked tasks");
  }

  @Test
  void whoWasUnluckyIsNoPartOfIt() {
    assertThat(
            CrashSignature.ofPanic(
                List.of(
                    "[ 9.1] watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [kworker/3:1:42]",
                    "[ 9.2] RIP: 0010:spin+0x8/0x9",
                    "[ 9.3] Kernel panic - not syncing: softlockup: hung tasks")))
        .isEqualTo(
            CrashSignature.ofPanic(
                List.of(
                    "[ 7.1] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [cc1:4242]",
                    "[ 7.2] RIP: 0010:spin+0x8/0x9")));
  }

  @Test
  void aLogWithoutPanicHasNone() {
    assertThat(CrashSignature.ofPanic(List.of("[ 0.0] Linux version 6.1")))
        .isEqualTo(CrashSignature.NONE);
    assertThat(CrashSignature.ofPanic(List.of())).isEqualTo(CrashSignature.NONE);
  }

  @Test
  void damageIsCauseCacheAndOffset() {
    assertThat(CrashSignature.ofDamage(SampleReports.damaged()).text())
        .isEqualTo("use-after-free-write kmalloc-64 +0x40");
    assertThat(CrashSignature.ofDamage(SampleReports.intact("x"))).isEqualTo(CrashSignature.NONE);
  }
}
