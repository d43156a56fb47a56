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

  private static final String CHILDREN = "children";

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
      walk(walker, one, task.get(), one.address(), "task_struct", CHILDREN);
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

  /// Whether a list of children is as a CPU leaves it that was stopped while it gave the children
  /// of a task that ends to another (Linux `kernel/exit.c`, forget_original_parent): then the first
  /// child's neighbour is on the other list already, or the other list runs through this one's
  /// head.
  boolean isSpliced(Task task, String name, Ring.State.Wrong wrong) {
    Optional<Member> children =
        kernel.struct("task_struct", CHILDREN).flatMap(type -> type.member(CHILDREN));
    if (children.isEmpty() || !name.equals("task_struct." + CHILDREN) || wrong.isFlip()) {
      return false;
    }
    long head = task.address() + children.get().offset();
    long first = kernel.word(head).orElse(0);
    long beside = first == 0 ? 0 : kernel.word(first + 8).orElse(0);
    boolean isElsewhere = beside != 0 && beside != head && kernel.word(beside).orElse(0) == first;
    return isElsewhere
        || (wrong.expected() == 0
            && wrong.address() != head
            && tasks.at(wrong.address() - children.get().offset()).isPresent());
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
