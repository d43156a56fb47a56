package org.vmcheck.task;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import java.util.OptionalLong;
import java.util.Random;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Backtrace;
import org.vmcheck.finding.Task;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.ChangedMemory;
import org.vmcheck.testing.TestData;

/// Stacks and unwind tables that are damaged in any way: every walk ends, stays on the stack of its
/// task, and says why it did not reach the end.
class DamagedStacksTest {
  private static final int TRIALS = 12;
  private static final int WORDS_A_STACK = 24;
  private static final int WORDS_OF_TABLES = 4000;
  private static final int SLEEPING = 20;

  private static Kernel found(Dump dump) {
    return ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
  }

  private static List<Task> sleeping(Kernel kernel) {
    CallStacks stacks = CallStacks.of(kernel);
    return stacks.tasks().all().stream()
        .filter(task -> task.pid() > 1 && task.stack() != 0)
        .filter(task -> stacks.unwind(task).end() != Backtrace.End.INCOMPLETE)
        .limit(SLEEPING)
        .toList();
  }

  private static void set(ChangedMemory memory, Kernel kernel, long address, long word) {
    long physical = kernel.memory().physicalAddress(address);
    if (physical >= 0 && memory.nextStored(physical >>> 12) == physical >>> 12) {
      memory.setWord(physical, word);
    }
  }

  private static void assertEnds(CallStacks stacks, Task task) {
    Backtrace trace =
        Assertions.assertTimeoutPreemptively(
            Duration.ofSeconds(20), () -> stacks.unwind(task), task::comm);
    assertThat(trace.frames()).hasSizeLessThanOrEqualTo(513);
    assertThat(trace.end() == Backtrace.End.INCOMPLETE).isEqualTo(!trace.why().isEmpty());
    for (Backtrace.Frame frame : trace.frames()) {
      boolean isUser = frame.text().startsWith("user ");
      assertThat(isUser || Long.compareUnsigned(frame.slot() - task.stack(), 1 << 16) < 0)
          .as("%s at 0x%x, stack 0x%x", frame.text(), frame.slot(), task.stack())
          .isTrue();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"debian-cloud", "debian-7.2", "debian-7.2-arm64"})
  void randomWordsOnStacksAndInTables(String name) throws Exception {
    try (Dump dump = Dumps.open(TestData.named(name).dump())) {
      Kernel kernel = found(dump);
      List<Task> tasks = sleeping(kernel);
      assertThat(tasks).hasSize(SLEEPING);
      ChangedMemory memory = new ChangedMemory(dump.memory());
      Random random = new Random(24);
      for (int trial = 0; trial < TRIALS; trial++) {
        memory.restore();
        for (Task task : tasks) {
          long depth = CallStacks.of(kernel).stackBytes();
          for (int i = 0; i < WORDS_A_STACK; i++) {
            long at = task.stack() + depth - 8L * (1 + random.nextInt(60));
            // Numbers, and words of the stack itself: those make circles.
            set(
                memory,
                kernel,
                at,
                random.nextBoolean()
                    ? random.nextLong()
                    : task.stack() + depth - 8L * (1 + random.nextInt(60)));
          }
        }
        if (trial % 2 == 1) {
          damageTables(memory, kernel, random);
        }
        CallStacks damaged = CallStacks.of(kernel.over(memory));
        tasks.forEach(task -> assertEnds(damaged, task));
      }
    }
  }

  private static void damageTables(ChangedMemory memory, Kernel kernel, Random random) {
    for (String table : List.of("orc_unwind_ip", "orc_unwind")) {
      OptionalLong start = kernel.symbol("__start_" + table);
      OptionalLong stop = kernel.symbol("__stop_" + table);
      if (start.isPresent() && stop.isPresent()) {
        int words = (int) ((stop.getAsLong() - start.getAsLong()) / 8);
        for (int i = 0; i < WORDS_OF_TABLES; i++) {
          set(
              memory,
              kernel,
              (start.getAsLong() + 7 & -8L) + 8L * random.nextInt(words - 1),
              random.nextLong());
        }
      }
    }
  }

  private static Task on(Task task, long stack) {
    return new Task(
        task.address(),
        task.pid(),
        task.tgid(),
        task.comm(),
        task.letter(),
        task.isKernelThread(),
        task.cpu(),
        task.residentPages(),
        stack,
        task.savedSp());
  }

  /// A task whose stack or saved stack pointer is another's.
  @ParameterizedTest
  @ValueSource(strings = {"debian-cloud", "debian-7.2", "debian-7.2-arm64"})
  void theStackOfAnotherTaskIsNotTakenForItsOwn(String name) throws Exception {
    try (Dump dump = Dumps.open(TestData.named(name).dump())) {
      Kernel kernel = found(dump);
      List<Task> tasks = sleeping(kernel);
      CallStacks stacks = CallStacks.of(kernel);
      for (int i = 1; i < tasks.size(); i++) {
        Task own = tasks.get(i);
        Task other = tasks.get(i - 1);
        Task mixed = on(own, other.stack());

        Backtrace trace = stacks.unwind(mixed);

        assertThat(trace.end()).isEqualTo(Backtrace.End.INCOMPLETE);
        assertThat(trace.why()).isNotEmpty();
      }
    }
  }
}
