package org.vmcheck.task;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.finding.Registers;
import org.vmcheck.finding.Task;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.StructRef;

/// What shows that parts of a memory were copied at different moments while its kernel ran: words
/// that no instant has together, whatever state the kernel is in, even one that hangs.
/// - A number of the tick that was written down is not ahead of `jiffies_64`, from which it was
///   copied (Linux `kernel/time/tick-sched.c`, `kernel/time/timer.c`, `kernel/sched/fair.c`).
/// - `se.exec_start` of a task was taken from its run queue's clock (`rq_clock_task`), so it is not
///   ahead of all of them.
/// - The task that a run queue names as current is on a CPU by its own word, and no other is
///   (`prepare_task`, `finish_task`). In the few instructions between the two words, with
///   interrupts off, `exec_start` was just set: only where it is not of the run queue's time does
///   it count.
/// - A CPU in the kernel is on a stack of its current task or of its own; on that of a task that is
///   current nowhere it was at another moment.
///
/// A word that was overwritten may look like one of these; two that have nothing to do with each
/// other do not.
public final class Moments {
  /// Nanoseconds that the clocks of two CPUs, or two words of a switch of tasks, may be apart.
  private static final long SLACK = 100_000_000;

  /// Ticks that a copy of `jiffies_64` may be ahead: one that is being added.
  private static final long TICK_SLACK = 2;

  /// What is further ahead is no moment of the same run, but a broken word: a day.
  private static final long MOST_NANOS = 86_400_000_000_000L;

  private static final long MOST_TICKS = 86_400_000L;

  private final Kernel kernel;
  private final Stacks stacks;
  private final Tasks tasks;
  private final Map<String, Disagreement> found = new LinkedHashMap<>();

  /// Two words that no instant has together.
  ///
  /// @param kind what the one was taken from
  /// @param sentence what they are
  /// @param address of one of them
  public record Disagreement(Kind kind, String sentence, long address) {}

  /// What the words are.
  public enum Kind {
    TICKS,
    CLOCK,
    CURRENT_TASK,
    /// Registers and memory; they are of two moments wherever the registers were saved early.
    REGISTERS
  }

  /// The words of a task that tell of its last run.
  ///
  /// @param execStart the run queue's clock then, in nanoseconds
  private record Run(long execStart, boolean isOnCpu, int cpu) {}

  /// The run queue of a CPU.
  ///
  /// @param clock `clock_task`, in nanoseconds
  /// @param current address of the task that it names
  private record Queue(int cpu, long clock, long current) {}

  private Moments(Kernel kernel) {
    this.kernel = kernel;
    this.stacks = new Stacks(kernel);
    this.tasks = Tasks.read(kernel, stacks);
  }

  /// What disagrees: of ticks and clocks one each, of the rest one a CPU.
  public static List<Disagreement> disagreements(Kernel kernel) {
    Moments moments = new Moments(kernel);
    moments.look();
    return List.copyOf(moments.found.values());
  }

  /// Whether nothing disagrees.
  private boolean look() {
    ticks();
    runs();
    stackPointers();
    return found.isEmpty();
  }

  /// Whether what disagrees proves two moments: in two pages, and not only between registers and
  /// memory.
  public static boolean prove(List<Disagreement> disagreements, int pageSize) {
    return disagreements.stream().anyMatch(one -> one.kind != Kind.REGISTERS)
        && disagreements.stream().map(one -> one.address & -pageSize).distinct().count() >= 2;
  }

  /// Whether all memory is taken to be of one moment: the kernel had stopped, or nothing that it
  /// counts disagrees, as in a dump of a guest that stood still meanwhile.
  public static boolean areOne(Kernel kernel) {
    if (kernel.isStopped()) {
      return true;
    }
    // Without types and clocks nothing could disagree.
    Moments moments = new Moments(kernel);
    return kernel.variable64("jiffies_64").isPresent()
        && !moments.tasks.current().isEmpty()
        && moments.look();
  }

  private void add(Kind kind, String key, long address, String sentence) {
    found.putIfAbsent(key, new Disagreement(kind, sentence, address));
  }

  private void ticks() {
    OptionalLong now = kernel.variable64("jiffies_64");
    if (now.isEmpty()) {
      return;
    }
    for (int i : online()) {
      for (String member : List.of("last_jiffies", "last_tick_jiffies")) {
        tick(i, now.getAsLong(), "tick_cpu_sched", "tick_sched", member);
      }
      tick(i, now.getAsLong(), "timer_bases", "timer_base", "clk");
      tick(i, now.getAsLong(), "runqueues", "rq", "last_blocked_load_update_tick");
    }
  }

  private void tick(int index, long now, String symbol, String type, String member) {
    word(index, symbol, type, member)
        .ifPresent(
            at -> {
              long ahead = kernel.word(at).orElse(now) - now;
              if (ahead > TICK_SLACK && ahead < MOST_TICKS) {
                add(
                    Kind.TICKS,
                    "tick",
                    at,
                    "%s.%s of cpu %d was taken from jiffies_64, and is %d ticks ahead of it"
                        .formatted(type, member, cpu(index), ahead));
              }
            });
  }

  private void runs() {
    List<Queue> queues = new ArrayList<>();
    long latest = 0;
    List<Integer> online = online();
    for (int i = 0; i < kernel.perCpu().cpus().size(); i++) {
      OptionalLong clock = wordOf(i, "runqueues", "rq", "clock_task");
      OptionalLong current = wordOf(i, "runqueues", "rq", "curr");
      if (clock.isPresent() && current.isPresent()) {
        latest = Math.max(latest, clock.getAsLong());
        if (online.contains(i)) {
          queues.add(new Queue(cpu(i), clock.getAsLong(), current.getAsLong()));
        }
      }
    }
    Optional<StructLayout> type = kernel.struct("task_struct", "se", "on_cpu");
    if (queues.size() != online.size() || type.isEmpty() || !type.get().has("se.exec_start")) {
      return;
    }
    for (Task task : tasks.all()) {
      Optional<Run> run = run(task, type.get());
      if (run.isPresent() && task.pid() != 0) {
        ahead(task, run.get(), latest);
        queues.forEach(queue -> onCpu(task, run.get(), queue));
      }
    }
  }

  private void ahead(Task task, Run run, long latest) {
    long ahead = run.execStart - latest;
    if (ahead > SLACK && ahead < MOST_NANOS) {
      add(
          Kind.CLOCK,
          "run",
          task.address(),
          "%s last ran %s ms after the clock of every run queue, from which that time was taken"
              .formatted(words(task), millis(ahead)));
    }
  }

  private void onCpu(Task task, Run run, Queue queue) {
    boolean isCurrent = queue.current == task.address();
    long apart = queue.clock - run.execStart;
    if (Math.abs(apart) <= SLACK || Math.abs(apart) >= MOST_NANOS) {
      return;
    }
    if (isCurrent && !run.isOnCpu) {
      add(
          Kind.CURRENT_TASK,
          "current" + queue.cpu,
          task.address(),
          "the run queue of cpu %d names %s as current, whose task_struct says that it is on no CPU and last ran %s ms %s"
              .formatted(
                  queue.cpu, words(task), millis(Math.abs(apart)), apart > 0 ? "before" : "after"));
    } else if (run.isOnCpu && run.cpu == queue.cpu && !isCurrent) {
      add(
          Kind.CURRENT_TASK,
          "other" + queue.cpu,
          task.address(),
          "%s is on cpu %d by its task_struct, but the run queue of that CPU names another task, and its clock is %s ms %s"
              .formatted(
                  words(task), queue.cpu, millis(Math.abs(apart)), apart > 0 ? "ahead" : "behind"));
    }
  }

  /// Where a CPU in the kernel had its stack pointer.
  private void stackPointers() {
    List<Optional<Registers>> registers = CpuRegisters.of(kernel);
    for (int i : online()) {
      Optional<Registers> of = i < registers.size() ? registers.get(i) : Optional.empty();
      Optional<Task> current =
          i < tasks.current().size() ? tasks.at(tasks.current().get(i)) : Optional.empty();
      if (of.isEmpty() || current.isEmpty() || of.get().isUser() || of.get().sp() >= 0) {
        continue;
      }
      long sp = of.get().sp();
      int cpu = cpu(i);
      List<Stack> own = new ArrayList<>(stacks.ofCpu(i));
      stacks.of(current.get()).ifPresent(own::add);
      if (own.stream().anyMatch(stack -> stack.contains(sp))) {
        continue;
      }
      // Notes in another order than the CPUs would name the others' current tasks.
      tasks.all().stream()
          .filter(task -> !tasks.current().contains(task.address()))
          .filter(task -> stacks.of(task).filter(stack -> stack.contains(sp)).isPresent())
          .findFirst()
          .ifPresent(
              other ->
                  add(
                      Kind.REGISTERS,
                      "stack" + cpu,
                      other.address(),
                      "cpu %d was on the stack of %s, and its current task is %s"
                          .formatted(cpu, words(other), words(current.get()))));
    }
  }

  private Optional<Run> run(Task task, StructLayout type) {
    Member start = type.member("se.exec_start").orElseThrow();
    Member on = type.member("on_cpu").orElseThrow();
    int bytes = Math.max(start.offset() + 8, on.offset() + 8);
    return StructRef.read(kernel.memory(), type, task.address(), bytes) instanceof StructRef at
        ? Optional.of(new Run(at.get(start), at.get(on) != 0, task.cpu()))
        : Optional.empty();
  }

  private OptionalLong wordOf(int index, String symbol, String type, String member) {
    Optional<Long> at = word(index, symbol, type, member);
    return at.isEmpty() ? OptionalLong.empty() : kernel.word(at.get());
  }

  /// Address of a member of a CPU's copy of a structure.
  private Optional<Long> word(int index, String symbol, String type, String member) {
    OptionalLong base = kernel.symbol(symbol);
    Optional<Member> at = kernel.struct(type, member).flatMap(layout -> layout.member(member));
    return base.isEmpty()
        ? Optional.empty()
        : at.map(m -> kernel.perCpu().address(base.getAsLong(), index) + m.offset());
  }

  /// Indices of the CPUs that are online, among the possible ones.
  private List<Integer> online() {
    List<Integer> indices = new ArrayList<>();
    for (int i = 0; i < kernel.perCpu().cpus().size(); i++) {
      if (kernel.perCpu().onlineCpus().contains(cpu(i))) {
        indices.add(i);
      }
    }
    return indices;
  }

  private int cpu(int index) {
    return kernel.perCpu().cpus().get(index);
  }

  private static String words(Task task) {
    return "task \"%s\" (PID %d)".formatted(task.comm(), task.pid());
  }

  private static String millis(long nanos) {
    return "%,d".formatted(nanos / 1_000_000);
  }
}
