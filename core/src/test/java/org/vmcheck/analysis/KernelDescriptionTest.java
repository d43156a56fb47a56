package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.kernel.LogBuffer;

/// Which line of a log is the panic.
class KernelDescriptionTest {
  static List<LogBuffer.Line> log(String... lines) {
    return Arrays.stream(lines).map(text -> new LogBuffer.Line(1_000, 6, text)).toList();
  }

  private static KernelFacts.PanicFacts panic(String... lines) {
    return KernelDescription.panic(log(lines), -1, 0);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "Kernel panic - not syncing: Fatal exception",
        "BUG: unable to handle page fault for address: ffffc90000abc000",
        "BUG: unable to handle kernel paging request at ffffffffc0401234",
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "kernel BUG at mm/slub.c:305!",
        "general protection fault: 0000 [#1] SMP PTI",
        "general protection fault, probably for non-canonical address 0x6b6b6b6b6b6b6b6b: 0000"
            + " [#1] PREEMPT SMP",
        "Oops: general protection fault, probably for non-canonical address"
            + " 0xdead000000000100: 0000 [#2] SMP",
        "Oops: 0002 [#1] SMP",
        "invalid opcode: 0000 [#1] SMP",
        "double fault: 0000 [#1] SMP",
        "sysrq: Trigger a crash",
        "SysRq : Trigger a crash"
      })
  void theKernelsOwnEndIsOne(String line) {
    assertThat(panic("systemd[1]: Started.", line, "CPU: 0 PID: 1 Comm: x").message())
        .isEqualTo(line);
    assertThat(panic(line).hasPanicked()).isTrue();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "traps: x[1] general protection fault ip:401136 sp:7ffc1 error:0 in x[401000+1000]",
        "x[77]: general protection fault in user space, see core",
        "x[77] general protection ip:401136 sp:7ffc1 error:0",
        "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [qemu:812]",
        "BUG: soft lockup - CPU#1 stuck for 22s! [qemu:812]",
        "cat[2]: they say: Kernel panic - not syncing: no",
        "x86/fault: what to do on Oops: nothing",
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!"
      })
  void whatAProgramDoesToItselfIsNone(String line) {
    assertThat(panic(line).hasPanicked()).isFalse();
  }

  @Test
  void thePanicIsPreferredToTheOopsBeforeIt() {
    assertThat(
            panic(
                    "Oops: 0000 [#1] SMP",
                    "RIP: 0010:kfree+0x10/0x200",
                    "Kernel panic - not syncing: Fatal exception")
                .message())
        .startsWith("Kernel panic");
  }
}
