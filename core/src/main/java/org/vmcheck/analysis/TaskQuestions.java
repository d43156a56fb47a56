package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.finding.LogLine;
import org.vmcheck.finding.MachineState;
import org.vmcheck.finding.Registers;
import org.vmcheck.finding.Task;
import org.vmcheck.finding.TaskList;
import org.vmcheck.finding.TaskTrace;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.task.CallStacks;
import org.vmcheck.task.Clock;

/// Questions about the tasks of a dump and what they were doing.
public final class TaskQuestions {
  /// CPUs of large machines are in few functions.
  private static final int MAX_FUNCTIONS = 64;

  private final Kernel kernel;
  private final CallStacks stacks;

  TaskQuestions(Kernel kernel) {
    this.kernel = kernel;
    this.stacks = CallStacks.of(kernel);
  }

  /// Every task that can be found.
  public TaskList list() {
    return new TaskList(
        stacks.tasks().all(),
        stacks.tasks().current(),
        stacks.stackBytes(),
        kernel.memory().physical().pageSize(),
        stacks.tasks().problems());
  }

  /// The task that panicked, else that of the CPU that did; of a dump of a running system that of
  /// the first CPU. Empty if no task of a CPU is known.
  public Optional<Task> panicking() {
    int index = Math.max(0, kernel.perCpu().cpus().indexOf(kernel.identity().panicCpu()));
    return stacks.onCpu(index);
  }

  /// The task with a number, or at an address.
  public Optional<Task> find(long pidOrAddress) {
    Optional<Task> at = stacks.tasks().at(pidOrAddress);
    return at.isPresent() || pidOrAddress <= 0 || pidOrAddress > Integer.MAX_VALUE
        ? at
        : stacks.tasks().byPid((int) pidOrAddress);
  }

  /// The tasks that a CPU was in, in the order of the CPUs.
  public List<Task> onCpus() {
    List<Task> tasks = new ArrayList<>();
    for (int i = 0; i < kernel.perCpu().cpus().size(); i++) {
      stacks.onCpu(i).ifPresent(tasks::add);
    }
    return tasks;
  }

  /// What a task was doing: the frames of its stack.
  public TaskTrace trace(Task task) {
    return trace(task, CallStacks.Detail.FRAMES);
  }

  /// The same with every other word of the stack that is an address of code, as the kernel's own
  /// Call Trace has them behind a question mark.
  public TaskTrace traceWithSeen(Task task) {
    return trace(task, CallStacks.Detail.SEEN);
  }

  private TaskTrace trace(Task task, CallStacks.Detail detail) {
    int index = stacks.cpuIndex(task);
    return new TaskTrace(
        task,
        index < 0 ? -1 : kernel.perCpu().cpus().get(index),
        index < 0 ? Optional.empty() : stacks.registers(index),
        stacks.unwind(task, detail));
  }

  private static boolean isSame(Optional<Task> task, Optional<Task> other) {
    return task.isPresent() && other.isPresent() && task.get().address() == other.get().address();
  }

  /// The machine at a glance.
  ///
  /// @param lastLines the end of the log
  MachineState state(List<LogLine> lastLines) {
    SortedMap<String, Integer> states = new TreeMap<>();
    for (Task task : stacks.tasks().all()) {
      states.merge(String.valueOf(task.letter()), 1, Integer::sum);
    }
    Optional<Task> first = panicking();
    SortedMap<String, Integer> others = new TreeMap<>();
    for (int i = 0; i < kernel.perCpu().cpus().size(); i++) {
      Optional<Task> task = stacks.onCpu(i);
      if (task.isPresent() && !isSame(task, first) && others.size() < MAX_FUNCTIONS) {
        others.merge(doing(i), 1, Integer::sum);
      }
    }
    return new MachineState(
        first.map(this::trace),
        others,
        Clock.uptime(kernel).orElse(-1),
        Clock.load(kernel),
        Clock.memoryBytes(kernel),
        states,
        lastLines);
  }

  /// The function that a CPU was stopped in.
  private String doing(int index) {
    Optional<Registers> at = stacks.registers(index);
    return at.isEmpty()
        ? "registers not saved"
        : at.get().isUser() ? "a user's program" : stacks.functionName(at.get().ip());
  }
}
