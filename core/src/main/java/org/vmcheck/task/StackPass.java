package org.vmcheck.task;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.finding.Task;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Ring;
import org.vmcheck.memory.MemoryRead;

/// The pass of a [StackSurvey].
///
/// Source: Linux `kernel/fork.c` (dup_task_struct, copy_process), `arch/x86/entry/entry_64.S`
/// (__switch_to_asm), `arch/x86/include/asm/switch_to.h` and `stackprotector.h`.
final class StackPass {
  private static final int WORD = 8;

  /// The canary's low byte is 0, so that no string runs over it; what a byte is written to where a
  /// canary was may look like a flipped bit of it.
  private static final long CANARY_BITS = -256L;

  /// Bits that a random canary has at least; one that was not set yet has none.
  private static final int LEAST_BITS = 8;

  private static final int MOST_ASTRAY = 4;

  /// Bytes below this, and 0xff, are what variables of one byte mostly hold.
  private static final int LEAST_RARE_BYTE = 0x10;

  private final Kernel kernel;
  private final boolean isStill;
  private final Stacks stacks;
  private final Tasks tasks;
  private final Optional<StructLayout> layout;
  private final SortedMap<String, Long> lookedAt = new TreeMap<>();
  private final SortedMap<String, Long> notRead = new TreeMap<>();
  private final List<StackFault> faults = new ArrayList<>();
  private final List<String> transients = new ArrayList<>();

  /// Canaries of all tasks, by the address of the task.
  private final Map<Long, Long> canaries = new HashMap<>();

  /// Tasks that a CPU has, whose stacks change while they are looked at.
  private final Set<Long> onCpu = new HashSet<>();

  /// Addresses of all stacks.
  private final Set<Long> owned = new HashSet<>();

  /// Tasks whose saved stack pointer is not on their stack.
  private final List<Task> astray = new ArrayList<>();

  private final String savedSp;
  private long bytes;

  StackPass(Kernel kernel, boolean isStill) {
    this.kernel = kernel;
    this.isStill = isStill;
    this.stacks = new Stacks(kernel);
    this.tasks = Tasks.read(kernel, stacks);
    this.savedSp = kernel.architecture().taskStacks().savedSp();
    this.layout = kernel.struct("task_struct", "stack", savedSp);
  }

  StackSurvey run() {
    if (layout.isPresent()) {
      findRunning();
      findCanaries();
      tasks.all().forEach(task -> owned.add(task.stack()));
      List<Task> asleep = new ArrayList<>();
      for (Task task : tasks.all()) {
        Cancellation.current().step();
        if (task.stack() != 0 && task.letter() != 'X' && task.letter() != 'Z') {
          look(task, asleep);
        }
      }
      astray();
      returns(asleep);
      cpus();
      rings();
    }
    return new StackSurvey(lookedAt, notRead, faults, transients, tasks.problems(), bytes);
  }

  private void findRunning() {
    onCpu.addAll(tasks.current());
    for (Task task : tasks.all()) {
      member("on_cpu")
          .ifPresent(
              at -> {
                // A byte since 7.0, and what follows it says other things.
                if (kernel.memory().read(task.address() + at.offset(), (int) at.byteSize())
                        instanceof MemoryRead.Bytes(ByteView view)
                    && (view.size() == 4 ? view.u32(0) : view.u8(0)) != 0) {
                  onCpu.add(task.address());
                }
              });
    }
  }

  private void findCanaries() {
    member("stack_canary")
        .ifPresent(
            at ->
                tasks
                    .all()
                    .forEach(
                        task ->
                            kernel
                                .word(task.address() + at.offset())
                                .ifPresent(value -> canaries.put(task.address(), value))));
  }

  private Optional<Member> member(String name) {
    return layout.flatMap(type -> type.member(name));
  }

  private void look(Task task, List<Task> asleep) {
    long high = task.stack() + stacks.threadBytes();
    boolean isInside =
        (task.savedSp() & 7) == 0
            && Long.compareUnsigned(task.savedSp(), task.stack()) > 0
            && Long.compareUnsigned(task.savedSp(), high) <= 0;
    if (!isInside) {
      astray.add(task);
      return;
    }
    count("saved stack pointers", 2 * WORD);
    end(task);
    if (!onCpu.contains(task.address()) && task.savedSp() < high) {
      asleep.add(task);
    }
    canary(task, high);
  }

  /// Where many are, the size of the stacks is not what it is thought to be.
  private void astray() {
    if (astray.size() > Math.max(MOST_ASTRAY, tasks.all().size() / 8)) {
      notRead.merge("stacks of another size", (long) astray.size(), Long::sum);
    } else {
      astray.forEach(this::astray);
    }
  }

  /// `thread.sp` is not on the stack: one of both pointers is wrong. The magic at the end of the
  /// stack tells which.
  private void astray(Task task) {
    long size = stacks.threadBytes();
    long other = task.savedSp() & -size;
    Member stack = member("stack").orElseThrow();
    Member sp = member(savedSp).orElseThrow();
    OptionalLong own = kernel.word(task.stack());
    OptionalLong others = kernel.word(other);
    boolean isOwn = own.isPresent() && own.getAsLong() == StackSurvey.END_MAGIC;
    boolean isOther = others.isPresent() && others.getAsLong() == StackSurvey.END_MAGIC;
    if (isOwn) {
      // A bit within the stack's size, or above it, of which only the latter is known.
      long right = task.stack() | (task.savedSp() & (size - 1));
      boolean isFlip = (task.savedSp() & 7) == 0 && Long.bitCount(right ^ task.savedSp()) == 1;
      add(
          StackFault.Kind.SAVED_POINTER,
          task,
          "task_struct." + savedSp,
          task.address() + sp.offset(),
          task.savedSp(),
          isFlip ? right : 0);
    } else if (isOther && !owned.contains(other)) {
      add(
          StackFault.Kind.STACK,
          task,
          "task_struct.stack",
          task.address() + stack.offset(),
          task.stack(),
          other);
    } else {
      count(notRead, "stacks that are not known");
    }
  }

  private void end(Task task) {
    if (member("thread_info").isEmpty()) {
      return; // Older kernels have the thread_info there.
    }
    if (!(kernel.memory().read(task.stack(), WORD) instanceof MemoryRead.Bytes(ByteView view))) {
      count(notRead, "stacks");
      return;
    }
    count("stack ends", WORD);
    long value = view.u64(0);
    if (value != StackSurvey.END_MAGIC) {
      add(StackFault.Kind.END, task, "STACK_END_MAGIC", task.stack(), value, StackSurvey.END_MAGIC);
    }
  }

  /// Each function that is guarded has set a copy of the canary on the stack, between its variables
  /// and where it returns to.
  private void canary(Task task, long high) {
    Long canary = canaries.get(task.address());
    if (canary == null || Long.bitCount(canary) < LEAST_BITS) {
      return;
    }
    boolean isRunning = onCpu.contains(task.address());
    long from = isRunning ? task.stack() + WORD : task.savedSp();
    if (from >= high
        || !(kernel.memory().read(from, (int) (high - from))
            instanceof MemoryRead.Bytes(ByteView words))) {
      return;
    }
    List<Long> offByOne = new ArrayList<>();
    long copies = 0;
    for (long at = 0; at + WORD <= words.size(); at += WORD) {
      long word = words.u64(at);
      copies += word == canary ? 1 : 0;
      if (Long.bitCount(word ^ canary) == 1 && ((word ^ canary) & CANARY_BITS) != 0) {
        offByOne.add(from + at);
      }
    }
    lookedAt.merge("canaries", copies, Long::sum);
    bytes += copies * WORD + (copies > 0 ? WORD : 0);
    if (offByOne.isEmpty()) {
      return;
    }
    if (copies == 0 && member("stack_canary").isPresent()) {
      // The stack's own copies agree with each other and not with the task.
      long right = kernel.word(offByOne.getFirst()).orElse(0);
      boolean isVariable = offByOne.size() == 1 && mayBeVariable(right, canary);
      if (!isVariable && offByOne.stream().allMatch(at -> kernel.word(at).orElse(0) == right)) {
        add(
            StackFault.Kind.CANARY,
            task,
            "task_struct.stack_canary",
            task.address() + member("stack_canary").orElseThrow().offset(),
            canary,
            right);
      }
      return;
    }
    for (long at : offByOne) {
      if (mayBeVariable(kernel.word(at).orElse(0), canary)) {
        continue;
      }
      add(
          StackFault.Kind.FRAME,
          task,
          "the canary of a function on the stack",
          at,
          kernel.word(at).orElse(0),
          canary);
    }
  }

  /// Whether the byte that differs may be a variable of a function that did not clear its frame,
  /// where one that had returned left its canary.
  private static boolean mayBeVariable(long word, long canary) {
    int shift = Long.numberOfTrailingZeros(word ^ canary) & -8;
    int value = (int) (word >>> shift) & 0xff;
    return value < LEAST_RARE_BYTE || value == 0xff;
  }

  /// The copies of the CPUs.
  private void cpus() {
    Optional<Long> symbol = cpuCanary();
    if (symbol.isEmpty() || canaries.isEmpty()) {
      return;
    }
    for (int i = 0; i < tasks.current().size(); i++) {
      long address = kernel.perCpu().address(symbol.get(), i);
      OptionalLong copy = kernel.word(address);
      Long canary = canaries.get(tasks.current().get(i));
      if (copy.isEmpty()
          || canary == null
          || !kernel.perCpu().onlineCpus().contains(kernel.perCpu().cpus().get(i))) {
        continue;
      }
      count("canaries of CPUs", WORD);
      if (copy.getAsLong() == canary) {
        continue;
      }
      Optional<Task> task = tasks.at(tasks.current().get(i));
      // One that is no task's may be of a task that has left the lists and is about to end.
      boolean isCanary = (copy.getAsLong() & ~CANARY_BITS) == 0;
      boolean isFlip = Long.bitCount(copy.getAsLong() ^ canary) == 1;
      if (canaries.containsValue(copy.getAsLong()) || (isCanary && !isFlip)) {
        transients.add("CPU %d was switching tasks".formatted(kernel.perCpu().cpus().get(i)));
      } else if (task.isPresent() && faults.stream().noneMatch(f -> isCanaryOf(f, task.get()))) {
        add(
            StackFault.Kind.CPU,
            task.get(),
            "the canary of CPU %d".formatted(kernel.perCpu().cpus().get(i)),
            address,
            copy.getAsLong(),
            canary);
      }
    }
  }

  private static boolean isCanaryOf(StackFault fault, Task task) {
    return fault.kind() == StackFault.Kind.CANARY && fault.task().equals(task);
  }

  /// A variable of its own from 6.15 on, before that at the place that the compiler wants.
  private Optional<Long> cpuCanary() {
    OptionalLong own = kernel.symbol("__stack_chk_guard");
    if (own.isPresent()) {
      return isPerCpu(own.getAsLong()) ? Optional.of(own.getAsLong()) : Optional.empty();
    }
    for (String name : List.of("fixed_percpu_data", "irq_stack_union")) {
      OptionalLong at = kernel.symbol(name);
      Optional<Member> member =
          kernel.struct(name, "stack_canary").flatMap(type -> type.member("stack_canary"));
      if (at.isPresent() && member.isPresent()) {
        return Optional.of(at.getAsLong() + member.get().offset());
      }
    }
    return Optional.empty();
  }

  /// Where each task has a canary that the compiler takes from the task itself, the variable is one
  /// for all.
  private boolean isPerCpu(long symbol) {
    OptionalLong start = kernel.symbol("__per_cpu_start");
    OptionalLong end = kernel.symbol("__per_cpu_end");
    return start.isEmpty()
        || end.isEmpty()
        || (symbol - start.getAsLong() >= 0 && symbol - end.getAsLong() < 0);
  }

  private void returns(List<Task> asleep) {
    SleepingReturns returns = SleepingReturns.of(kernel, asleep);
    lookedAt.merge("return addresses", (long) returns.looked(), Long::sum);
    bytes += (long) returns.looked() * WORD;
    for (SleepingReturns.Odd odd : returns.odd()) {
      add(
          StackFault.Kind.RETURN,
          odd.task(),
          "the return address of the sleeping task",
          odd.address(),
          odd.value(),
          odd.expected());
    }
  }

  private void rings() {
    TaskRings rings = new TaskRings(kernel, isStill, tasks);
    rings.walk(
        (task, name, ring) -> {
          switch (ring.state()) {
            case Ring.State.Whole _ -> count("lists", 2L * WORD * (ring.nodes().size() + 1));
            case Ring.State.Unread _ -> count(notRead, "lists");
            case Ring.State.TooLong _ -> count(notRead, "lists of more nodes");
            case Ring.State.HalfLinked(long address) ->
                transients.add("%s was being changed at 0x%x".formatted(name, address));
            case Ring.State.Wrong wrong when rings.isSpliced(task, name, wrong) ->
                transients.add("%s was being changed at 0x%x".formatted(name, wrong.address()));
            case Ring.State.Wrong wrong ->
                add(
                    StackFault.Kind.LINK,
                    task,
                    "%s.%s".formatted(name, wrong.member()),
                    wrong.address(),
                    wrong.value(),
                    wrong.expected());
          }
        });
  }

  private void add(
      StackFault.Kind kind, Task task, String what, long address, long value, long expected) {
    StackFault fault = new StackFault(kind, task, what, address, value, expected);
    if (isStill || fault.isFlip()) {
      faults.add(fault);
    } else {
      transients.add("%s at 0x%x may be of another moment".formatted(what, address));
    }
  }

  private void count(String what, long byteCount) {
    lookedAt.merge(what, 1L, Long::sum);
    bytes += byteCount;
  }

  private static void count(Map<String, Long> counts, String what) {
    counts.merge(what, 1L, Long::sum);
  }
}
