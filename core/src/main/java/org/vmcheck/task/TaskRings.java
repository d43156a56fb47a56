package org.vmcheck.task;

import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.finding.Task;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Ring;

/// The lists that tasks keep and are on (Linux `include/linux/sched.h`, `sched/signal.h`).
final class TaskRings {
  private static final int MAX_NODES = 1 << 22;

  private final Kernel kernel;
  private final boolean isStill;
  private final Tasks tasks;

  TaskRings(Kernel kernel, boolean isStill, Tasks tasks) {
    this.kernel = kernel;
    this.isStill = isStill;
    this.tasks = tasks;
  }

  /// Is told of each list.
  @FunctionalInterface
  interface Walker {
    /// @param task whose list it is
    /// @param name of the list, by the kernel's names
    void met(Task task, String name, Ring ring);
  }

  void walk(Walker walker) {
    Optional<StructLayout> task = kernel.struct("task_struct", "tasks");
    Optional<StructLayout> signal = kernel.struct("signal_struct");
    OptionalLong init = kernel.symbol("init_task");
    if (task.isEmpty() || init.isEmpty()) {
      return;
    }
    Optional<Task> first = tasks.at(init.getAsLong());
    first.ifPresent(one -> walk(walker, one, task.get(), one.address(), "task_struct", "tasks"));
    for (Task one : tasks.all()) {
      Cancellation.check();
      walk(walker, one, task.get(), one.address(), "task_struct", "children");
      walk(walker, one, task.get(), one.address(), "task_struct", "pending.list");
      Optional<Member> shared = task.get().member("signal");
      if (one.pid() != one.tgid() || shared.isEmpty() || signal.isEmpty()) {
        continue;
      }
      long at = kernel.word(one.address() + shared.get().offset()).orElse(0);
      if (at != 0) {
        walk(walker, one, signal.get(), at, "signal_struct", "thread_head");
        walk(walker, one, signal.get(), at, "signal_struct", "shared_pending.list");
      }
    }
  }

  private void walk(
      Walker walker, Task task, StructLayout layout, long at, String struct, String member) {
    layout
        .member(member)
        .filter(list -> list.struct().filter(of -> of.name().equals("list_head")).isPresent())
        .ifPresent(
            list ->
                walker.met(
                    task,
                    struct + "." + member,
                    Ring.of(kernel, at + list.offset(), MAX_NODES, isStill)));
  }
}
