package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/// Oopses read back from a log: the lines of 4.x, 6.1 and 6.12.
class OopsTest {
  private static List<LogBuffer.Line> log(String... lines) {
    return Arrays.stream(lines).map(text -> new LogBuffer.Line(1_000, 6, text)).toList();
  }

  private static final String[] PAGE_FAULT = {
    "BUG: unable to handle page fault for address: ffff888003a51008",
    "#PF: supervisor write access in kernel mode",
    "Oops: 0002 [#1] PREEMPT SMP PTI",
    "CPU: 3 PID: 812 Comm: dd Not tainted 6.1.0 #1",
    "RIP: 0010:kmem_cache_alloc+0x4f/0x2d0",
    "Code: 00 01 02",
    "RSP: 0018:ffffc90000117e10 EFLAGS: 00010246",
    "RAX: 4141414141414141 RBX: ffff888003a51000 RCX: 0000000000000000",
    "R13: ffff888003402f00 R14: 0000000000000000 R15: 0000000000000cc0",
    "FS:  00007f0000000000(0000) GS:ffff88800f600000(0000) knlGS:0000000000000000",
    "CR2: ffff888003a51008 CR3: 0000000002c0a000 CR4: 00000000000006f0",
    "Call Trace:",
    " do_syscall_64+0x5b/0xc0",
    "RIP: 0033:0x7f1122334455",
    "RAX: ffffffffffffffda RBX: 00007ffc11111111 RCX: 00007f1122334455"
  };

  private static final String[] OF_ARM64 = {
    "Unable to handle kernel paging request at virtual address 6ce7b862468b00a8",
    "Mem abort info:",
    "  ESR = 0x0000000096000004",
    "[6ce7b862468b00a8] address between user and kernel address ranges",
    "Internal error: Oops: 0000000096000004 [#1] SMP",
    "CPU: 1 UID: 0 PID: 847 Comm: insmod Kdump: loaded Not tainted 6.12.117+deb13-cloud-arm64 #1",
    "pstate: 20400005 (nzCv daif +PAN -UAO -TCO -DIT -SSBS BTYPE=--)",
    "pc : kmem_cache_alloc_noprof+0xa8/0x2f0",
    "lr : kmem_cache_alloc_noprof+0x74/0x2f0",
    "sp : ffff800080883700",
    "x29: ffff800080883710 x28: 0000000000000000 x27: ffffaab6c5a51000",
    "x2 : 0000000000000001 x1 : 6ce7b862468b0028 x0 : fff0000002a71280",
    "Call trace:",
    " kmem_cache_alloc_noprof+0xa8/0x2f0 (P)"
  };

  @Test
  void theRegistersOfArm64AreRead() {
    List<Oops> all = Oops.of(log(OF_ARM64));

    assertThat(all).hasSize(1);
    Oops oops = all.getFirst();
    assertThat(oops.registers())
        .containsEntry("FAR", 0x6ce7b862468b00a8L)
        .containsEntry("sp", 0xffff800080883700L)
        .containsEntry("x29", 0xffff800080883710L)
        .containsEntry("x1", 0x6ce7b862468b0028L)
        .containsEntry("x0", 0xfff0000002a71280L)
        .doesNotContainKey("pc");
    assertThat(oops.function()).isEqualTo("kmem_cache_alloc_noprof+0xa8/0x2f0");
    assertThat(oops.cpu()).isEqualTo(1);
    assertThat(oops.pid()).isEqualTo(847);
  }

  @Test
  void theRegistersOfTheFaultAreRead() {
    List<Oops> all = Oops.of(log(PAGE_FAULT));

    assertThat(all).hasSize(1);
    Oops oops = all.getFirst();
    assertThat(oops.registers())
        .containsEntry("CR2", 0xffff888003a51008L)
        .containsEntry("RSP", 0xffffc90000117e10L)
        .containsEntry("RAX", 0x4141414141414141L)
        .containsEntry("RBX", 0xffff888003a51000L)
        .containsEntry("R13", 0xffff888003402f00L)
        .doesNotContainValue(0x00007ffc11111111L);
    assertThat(oops.function()).isEqualTo("kmem_cache_alloc+0x4f/0x2d0");
    assertThat(oops.cpu()).isEqualTo(3);
    assertThat(oops.pid()).isEqualTo(812);
  }

  @Test
  void aSecondOopsIsASecondOne() {
    List<String> twice = new ArrayList<>(List.of(PAGE_FAULT));
    twice.addAll(
        List.of(
            "Oops: general protection fault, probably for non-canonical address"
                + " 0xdead000000000108: 0000 [#2] SMP",
            "CPU: 0 UID: 0 PID: 7 Comm: kworker/0:1 Tainted: G      D 6.12.0 #1",
            "RAX: dead000000000100 RBX: 0000000000000000 RCX: 0000000000000000"));

    List<Oops> all = Oops.of(log(twice.toArray(String[]::new)));

    assertThat(all).hasSize(2);
    assertThat(all.getLast().registers())
        .containsEntry("CR2", 0xdead000000000108L)
        .containsEntry("RAX", 0xdead000000000100L);
    assertThat(all.getLast().pid()).isEqualTo(7);
  }

  @Test
  void aJumpIntoNowhereHasItsAddress() {
    Oops oops =
        Oops.of(
                log(
                    "BUG: unable to handle kernel paging request at ffffffffdeadbeef",
                    "RIP: 0010:0xffffffffdeadbeef",
                    "Oops: 0010 [#1] SMP"))
            .getFirst();

    assertThat(oops.registers()).containsEntry("RIP", 0xffffffffdeadbeefL);
    assertThat(oops.function()).isEmpty();
  }

  @Test
  void aLogWithoutOnesHasNone() {
    assertThat(
            Oops.of(
                log(
                    "WARNING: CPU: 0 PID: 1 at mm/slub.c:1 x+0x1/0x2",
                    "RAX: ffff888003a51000 RBX: ffff888003a51000",
                    "traps: x[1] general protection fault ip:401136 sp:7ffc1 error:0")))
        .isEmpty();
  }

  @Test
  void manyAreBoundedAndTheLastIsKept() {
    List<String> lines = new ArrayList<>();
    for (int i = 1; i <= 5000; i++) {
      lines.add("Oops: 0002 [#%d] SMP".formatted(i));
      lines.add("RAX: %016x RBX: 0000000000000000".formatted(i));
    }

    List<Oops> all = Oops.of(log(lines.toArray(String[]::new)));

    assertThat(all).hasSizeLessThanOrEqualTo(256);
    assertThat(all.getLast().registers()).containsEntry("RAX", 5000L);
  }
}
