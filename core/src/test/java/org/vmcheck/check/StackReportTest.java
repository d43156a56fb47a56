package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.function.LongFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Backtrace;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Subject;
import org.vmcheck.finding.Task;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.KernelReports;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.task.CallStacks;
import org.vmcheck.task.StackCanary;
import org.vmcheck.testing.ChangedMemory;
import org.vmcheck.testing.TestData;

/// What the kernel says of a stack leads to the task, and to the word that is overwritten, on the
/// stacks of real tasks.
class StackReportTest {
  private static Kernel found(Dump dump) {
    return ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
  }

  /// A function on a task's stack that guards its frame.
  private record Guarded(Task task, Backtrace.Frame frame, StackCanary canary) {
    String function() {
      return frame.text().replaceFirst("\\+.*", "");
    }
  }

  private static List<Guarded> guarded(Kernel kernel) {
    CallStacks stacks = CallStacks.of(kernel);
    return stacks.tasks().all().stream()
        .filter(task -> task.pid() > 0)
        .flatMap(
            task ->
                stacks.unwind(task).frames().stream()
                    .flatMap(
                        frame ->
                            stacks
                                .canary(task, frame.text().replaceFirst("\\+.*", ""))
                                .map(canary -> new Guarded(task, frame, canary))
                                .stream()))
        .toList();
  }

  private static KernelReports.Report reports(String... lines) {
    List<LogBuffer.Line> log =
        Stream.of(lines).map(text -> new LogBuffer.Line(1_000_000, 1, text)).toList();
    List<KernelReports.Report> reports = KernelReports.of(log).reports();
    assertThat(reports).hasSize(1);
    return reports.getFirst();
  }

  private static StackReport report(Kernel kernel, String... lines) {
    return StackReport.of(reports(lines), kernel).orElseThrow();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"debian-5.10", "debian-cloud", "debian-6.12", "debian-7.2", "debian-7.2-arm64"})
  void theCanariesOfSoundStacksAreWhole(String name) throws Exception {
    try (Dump dump = Dumps.open(TestData.named(name).dump())) {
      List<Guarded> all = guarded(found(dump));

      assertThat(all).hasSizeGreaterThan(5).allMatch(one -> one.canary.isWhole());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"debian-cloud", "debian-7.2-arm64"})
  void theOverwrittenCanaryIsNamedWithItsTaskAndStack(String name) throws Exception {
    try (Dump dump = Dumps.open(TestData.named(name).dump())) {
      Kernel kernel = found(dump);
      Guarded one = guarded(kernel).getFirst();
      long slot = one.canary.slot();
      ChangedMemory memory = new ChangedMemory(dump.memory());
      memory.setWord(kernel.memory().physicalAddress(slot), 0x4141414141414141L);
      String[] lines = {
        "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: "
            + one.function()
            + "+0x70/0x70",
        "CPU: 0 PID: %d Comm: %s Not tainted".formatted(one.task.pid(), one.task.comm())
      };

      StackReport report = report(kernel.over(memory), lines);

      assertThat(report.claim()).contains("the stack of PID " + one.task.pid() + " \"");
      assertThat(report.subject().address()).isEqualTo(slot);
      assertThat(report.subject().raw()).isEqualTo(0x4141414141414141L);
      assertThat(report.subject().decoded()).isEqualTo(one.canary.right());
      assertThat(report.evidence().stream().map(Evidence::sentence))
          .anyMatch(text -> text.contains("reaches from 0x%x".formatted(one.task.stack())))
          .anyMatch(text -> text.contains("is 0x4141414141414141 where the task's own is"));
      // The same words over a canary that is whole name the stack, and no word.
      StackReport whole = report(kernel, lines);
      assertThat(whole.subject()).isEqualTo(Subject.NONE);
      assertThat(whole.evidence().getLast().sentence()).contains("is the task's own again");
    }
  }

  /// arm64 prints the address at fault and the bounds of the stacks that it can be of.
  @Test
  void theStackThatRanOverIsNamed() throws Exception {
    try (Dump dump = Dumps.open(TestData.named("debian-7.2-arm64").dump())) {
      Kernel kernel = found(dump);
      Task task = guarded(kernel).getFirst().task;
      long irq = 0xffff_8000_8001_0000L;
      LongFunction<String[]> lines =
          fault ->
              new String[] {
                "Insufficient stack space to handle exception!",
                "ESR: 0x0000000096000047 -- DABT (current EL)",
                "FAR: 0x%016x".formatted(fault),
                "Task stack:     [0x%016x..0x%016x]".formatted(task.stack(), task.stack() + 0x4000),
                "IRQ stack:      [0x%016x..0x%016x]".formatted(irq, irq + 0x4000),
                "Kernel panic - not syncing: kernel stack overflow"
              };

      StackReport own = report(kernel, lines.apply(task.stack() - 16));
      assertThat(own.claim())
          .isEqualTo("the stack of PID %d \"%s\"".formatted(task.pid(), task.comm()));
      assertThat(own.evidence().stream().map(Evidence::sentence))
          .contains(
              "the address at fault, 0x%x, is 16 bytes below it, in its guard page"
                  .formatted(task.stack() - 16));
      assertThat(report(kernel, lines.apply(irq - 8)).claim())
          .isEqualTo("the stack of interrupts at 0xffff800080010000");
      for (long elsewhere : new long[] {task.stack(), task.stack() - 0x4001, 0, -1}) {
        assertThat(StackReport.of(reports(lines.apply(elsewhere)), kernel)).isEmpty();
      }
      assertThat(reports(lines.apply(1)).lines()).hasSize(6);
    }
  }

  @Test
  void theStacksEndIsNamed() throws Exception {
    try (Dump dump = Dumps.open(TestData.named("debian-cloud").dump())) {
      Kernel kernel = found(dump);
      Task task = guarded(kernel).getFirst().task;
      ChangedMemory memory = new ChangedMemory(dump.memory());
      memory.setWord(kernel.memory().physicalAddress(task.stack()), 7);
      String[] lines = {
        "Kernel panic - not syncing: corrupted stack end detected inside scheduler",
        "CPU: 0 UID: 0 PID: %d Comm: x".formatted(task.pid())
      };

      assertThat(report(kernel.over(memory), lines).subject().address()).isEqualTo(task.stack());
      assertThat(report(kernel, lines).subject()).isEqualTo(Subject.NONE);
      assertThat(
              report(kernel, "BUG: TASK stack guard page was hit at 1 (stack is 0..1)", lines[1]))
          .satisfies(guard -> assertThat(guard.claim()).contains("PID " + task.pid()))
          .satisfies(guard -> assertThat(guard.evidence()).hasSize(1));
    }
  }
}
