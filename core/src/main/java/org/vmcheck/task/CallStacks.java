package org.vmcheck.task;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.arch.TaskStacks;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.finding.Backtrace;
import org.vmcheck.finding.Registers;
import org.vmcheck.finding.Task;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;

/// The tasks of a kernel and what each was doing. Not safe for use by several threads at once.
public final class CallStacks {
  private final Kernel kernel;
  private final Stacks stacks;
  private final Tasks tasks;
  private final List<Optional<Registers>> registers;
  private Code code;

  private CallStacks(Kernel kernel) {
    this.kernel = kernel;
    this.stacks = new Stacks(kernel);
    this.tasks = Tasks.read(kernel, stacks);
    this.registers = CpuRegisters.of(kernel);
  }

  /// Reads the tasks.
  public static CallStacks of(Kernel kernel) {
    return new CallStacks(kernel);
  }

  public Tasks tasks() {
    return tasks;
  }

  /// The registers that a CPU was stopped with.
  ///
  /// @param index of the CPU among the possible ones
  public Optional<Registers> registers(int index) {
    return index < registers.size() ? registers.get(index) : Optional.empty();
  }

  /// The task that a CPU was in.
  ///
  /// @param index of the CPU among the possible ones
  public Optional<Task> onCpu(int index) {
    return index < tasks.current().size() ? tasks.at(tasks.current().get(index)) : Optional.empty();
  }

  /// The index of the CPU that a task was on, among the possible ones; -1 if it was on none.
  public int cpuIndex(Task task) {
    return tasks.current().indexOf(task.address());
  }

  /// Unwinds a task's stack: of one that was on a CPU from the CPU's registers, across its
  /// exception and interrupt stacks; of one that was not from where it gave up the CPU.
  public Backtrace unwind(Task task) {
    return unwind(task, Detail.FRAMES);
  }

  /// How much of a stack a trace shows.
  public enum Detail {
    /// The frames that were unwound.
    FRAMES,
    /// Every other word too that is an address of code, as the kernel's own Call Trace does.
    SEEN
  }

  /// The same, with as much as is asked for.
  public Backtrace unwind(Task task, Detail detail) {
    Backtrace plain = frames(task);
    return detail == Detail.FRAMES ? plain : unwinder(ownOf(task)).withSeen(plain);
  }

  private List<Stack> ownOf(Task task) {
    List<Stack> own = new ArrayList<>();
    int cpu = cpuIndex(task);
    if (cpu >= 0) {
      own.addAll(stacks.ofCpu(cpu));
    }
    stacks.of(task).ifPresent(own::add);
    return own;
  }

  private Backtrace frames(Task task) {
    List<Stack> own = new ArrayList<>();
    stacks.of(task).ifPresent(own::add);
    if (own.isEmpty()) {
      return new Backtrace(
          List.of(), Backtrace.End.INCOMPLETE, "the task's stack was freed when it exited");
    }
    int cpu = cpuIndex(task);
    if (cpu < 0) {
      return fromSleep(task, own);
    }
    own.addAll(0, stacks.ofCpu(cpu));
    Optional<Registers> at = registers(cpu);
    if (at.isPresent()) {
      return from(at.get(), own);
    }
    return new Backtrace(
        List.of(),
        Backtrace.End.INCOMPLETE,
        "the task was running on cpu %d, which left no registers"
            .formatted(kernel.perCpu().cpus().get(cpu)));
  }

  /// Unwinds from registers that were saved earlier, as those of the first oops.
  public Backtrace unwind(Task task, Registers from) {
    return from(from, ownOf(task));
  }

  /// The canary of a function that a task's stack has a frame of, innermost first; empty where the
  /// frame, the code or the task's own canary cannot be read, or the code is none that is known.
  ///
  /// @param function its name, unescaped
  public Optional<StackCanary> canary(Task task, String function) {
    Optional<Member> member =
        kernel.struct("task_struct", "stack_canary").flatMap(type -> type.member("stack_canary"));
    OptionalLong right =
        member.map(m -> kernel.word(task.address() + m.offset())).orElse(OptionalLong.empty());
    if (right.isEmpty()) {
      return Optional.empty();
    }
    for (Backtrace.Frame frame : unwind(task).frames()) {
      if (frame.registers().isEmpty() && code().functionName(frame.ip() - 1).equals(function)) {
        OptionalLong place =
            hasFrameRecords()
                ? aboveRecord(frame, member.get().offset())
                : aboveReturnAddress(frame);
        if (place.isPresent()) {
          long slot = place.getAsLong();
          OptionalLong found = kernel.word(slot);
          return found.isEmpty()
              ? Optional.empty()
              : Optional.of(
                  new StackCanary(slot, found.getAsLong(), right.getAsLong(), frame.text()));
        }
      }
    }
    return Optional.empty();
  }

  /// Behind a call the stack pointer is the word above the return address.
  private OptionalLong aboveReturnAddress(Backtrace.Frame frame) {
    OptionalLong offset = code().canaryOffset(frame.ip() - 1);
    return offset.isEmpty()
        ? offset
        : OptionalLong.of(frame.slot() + Long.BYTES + offset.getAsLong());
  }

  /// The record that has the return address into a function has the place of that function's own
  /// before it.
  private OptionalLong aboveRecord(Backtrace.Frame frame, long member) {
    OptionalLong record = kernel.word(frame.slot() - Long.BYTES);
    OptionalLong offset = code().canaryOffsetOfRecord(frame.ip() - 1, member);
    boolean isRecord =
        record.isPresent() && Long.compareUnsigned(record.getAsLong(), frame.slot()) > 0;
    return isRecord && offset.isPresent()
        ? OptionalLong.of(record.getAsLong() + offset.getAsLong())
        : OptionalLong.empty();
  }

  private boolean hasFrameRecords() {
    return !kernel.architecture().taskStacks().savedFp().isEmpty();
  }

  private Backtrace from(Registers registers, List<Stack> own) {
    return hasFrameRecords()
        ? new FrameRecords(kernel, code(), own).from(registers)
        : unwinder(own).from(registers);
  }

  private Backtrace fromSleep(Task task, List<Stack> own) {
    if (!hasFrameRecords()) {
      return unwinder(own).fromSleep(task.savedSp());
    }
    TaskStacks members = kernel.architecture().taskStacks();
    return new FrameRecords(kernel, code(), own)
        .fromSleep(
            task.savedSp(), member(task, members.savedPc()), member(task, members.savedFp()));
  }

  private long member(Task task, String name) {
    return kernel
        .struct("task_struct", name)
        .flatMap(type -> type.member(name))
        .map(at -> kernel.word(task.address() + at.offset()).orElse(0))
        .orElse(0L);
  }

  private Unwinder unwinder(List<Stack> own) {
    return new Unwinder(kernel, code(), own);
  }

  private Code code() {
    if (code == null) {
      code = new Code(kernel);
    }
    return code;
  }

  /// The name of the function that has an address, safe to print.
  public String functionName(long address) {
    String name = code().functionName(address);
    return name.isEmpty() ? "0x" + Long.toHexString(address) : Printable.of(name);
  }

  /// `STACK_END_MAGIC` in the lowest word of a task's stack: whether it is whole. Empty if it
  /// cannot be read.
  public Optional<Boolean> isStackEndWhole(Task task) {
    return task.stack() == 0
        ? Optional.empty()
        : kernel.word(task.stack()).stream().mapToObj(word -> word == 0x57ac6e9dL).findFirst();
  }

  /// Where every stack lies: those of the tasks, and those of the CPUs that are no task's.
  public List<StackSpan> spans() {
    List<StackSpan> spans = new ArrayList<>();
    for (Task task : tasks.all()) {
      stacks
          .of(task)
          .ifPresent(
              stack ->
                  spans.add(
                      new StackSpan(
                          stack.low(), stack.high(), stack.tag(), -1, Optional.of(task))));
    }
    for (int i = 0; i < kernel.perCpu().cpus().size(); i++) {
      for (Stack stack : stacks.ofCpu(i)) {
        spans.add(
            new StackSpan(
                stack.low(),
                stack.high(),
                stack.tag(),
                kernel.perCpu().cpus().get(i),
                Optional.empty()));
      }
    }
    return spans;
  }

  /// The end of the stack that an address lies in: a task's, or one that a CPU has for interrupts
  /// and exceptions. Where it lies in none that is known, the end of a task's stack at such an
  /// address, for these are aligned to their size.
  public long stackEnd(long address) {
    return spans().stream()
        .filter(span -> span.contains(address))
        .findFirst()
        .map(StackSpan::high)
        .orElse((address | (stacks.threadBytes() - 1)) + 1);
  }

  /// `THREAD_SIZE`.
  public long stackBytes() {
    return stacks.threadBytes();
  }
}
