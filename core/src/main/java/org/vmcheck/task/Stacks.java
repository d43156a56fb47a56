package org.vmcheck.task;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.finding.Task;
import org.vmcheck.kernel.Kernel;

/// Where the stacks of tasks and CPUs lie (Linux `arch/x86/include/asm/cpu_entry_area.h`,
/// `asm/irq_stack.h`, `include/linux/sched.h`).
final class Stacks {
  /// `THREAD_SIZE` of most builds, where neither types nor symbols tell.
  private static final long USUAL_BYTES = 16 << 10;

  private static final long MAX_BYTES = 1 << 20;

  /// `OVERFLOW_STACK_SIZE` of arm64.
  private static final long OVERFLOW_BYTES = 4 << 10;

  private static final List<String> EXCEPTIONS =
      List.of("DF_stack", "NMI_stack", "DB_stack", "MCE_stack", "VC_stack", "VC2_stack");

  private final Kernel kernel;
  private final long threadBytes;

  Stacks(Kernel kernel) {
    this.kernel = kernel;
    this.threadBytes =
        kernel
            .struct("thread_union")
            .map(StructLayout::size)
            .filter(Stacks::isThreadSize)
            .orElseGet(this::bytesOfInitStack);
  }

  private static boolean isThreadSize(long bytes) {
    return bytes >= 4096 && bytes <= MAX_BYTES && Long.bitCount(bytes) == 1;
  }

  /// The linker script's marks around the first task's stack (Linux
  /// `include/asm-generic/vmlinux.lds.h`, INIT_TASK_DATA).
  private long bytesOfInitStack() {
    for (String what : List.of("init_stack", "init_task")) {
      OptionalLong start = kernel.symbol("__start_" + what);
      OptionalLong end = kernel.symbol("__end_" + what);
      if (start.isPresent()
          && end.isPresent()
          && isThreadSize(end.getAsLong() - start.getAsLong())) {
        return end.getAsLong() - start.getAsLong();
      }
    }
    return USUAL_BYTES;
  }

  /// `THREAD_SIZE`.
  long threadBytes() {
    return threadBytes;
  }

  Optional<Stack> of(Task task) {
    return task.stack() == 0
        ? Optional.empty()
        : Optional.of(new Stack(Stack.Kind.TASK, "TASK", task.stack(), task.stack() + threadBytes));
  }

  /// The stacks of a CPU that are no task's.
  ///
  /// @param index of the CPU among the possible ones
  List<Stack> ofCpu(int index) {
    List<Stack> stacks = new ArrayList<>();
    long top = perCpuWord(index, "hardirq_stack_ptr", "irq_stack_ptr");
    if (top != 0) {
      // The stack's end, or its last word (6.1); on arm64 its start.
      long end =
          kernel.architecture().taskStacks().irqPointerIsLow()
              ? top + threadBytes
              : (top + 15) & -16L;
      stacks.add(new Stack(Stack.Kind.IRQ, "IRQ", end - threadBytes, end));
    }
    overflow(index).ifPresent(stacks::add);
    long area = perCpuWord(index, "cea_exception_stacks");
    Optional<StructLayout> layout = kernel.struct("cea_exception_stacks");
    if (area != 0 && layout.isPresent()) {
      for (String name : EXCEPTIONS) {
        layout
            .get()
            .member(name)
            .ifPresent(
                member ->
                    stacks.add(
                        new Stack(
                            Stack.Kind.EXCEPTION,
                            tag(name),
                            area + member.offset(),
                            area + member.offset() + member.byteSize())));
      }
      entry(area).ifPresent(stacks::add);
    }
    return stacks;
  }

  /// The stack that arm64 has for the moment when another is full.
  private Optional<Stack> overflow(int index) {
    OptionalLong array = kernel.symbol("overflow_stack");
    if (array.isEmpty() || !kernel.architecture().taskStacks().irqPointerIsLow()) {
      return Optional.empty();
    }
    long low = kernel.perCpu().address(array.getAsLong(), index);
    return Optional.of(new Stack(Stack.Kind.EXCEPTION, "OVERFLOW", low, low + OVERFLOW_BYTES));
  }

  private Optional<Stack> entry(long exceptionStacks) {
    Optional<StructLayout> layout = kernel.struct("cpu_entry_area", "estacks", "entry_stack_page");
    if (layout.isEmpty()) {
      return Optional.empty();
    }
    Member page = layout.get().member("entry_stack_page").orElseThrow();
    long base = exceptionStacks - layout.get().member("estacks").orElseThrow().offset();
    return Optional.of(
        new Stack(
            Stack.Kind.ENTRY,
            "ENTRY_TRAMPOLINE",
            base + page.offset(),
            base + page.offset() + page.byteSize()));
  }

  /// The kernel's own tag of an exception's stack (`stack_type_name`).
  private static String tag(String member) {
    return switch (member) {
      case "DF_stack" -> "#DF";
      case "DB_stack" -> "#DB";
      case "MCE_stack" -> "#MC";
      case "VC_stack" -> "#VC";
      case "VC2_stack" -> "#VC2";
      default -> "NMI";
    };
  }

  /// A CPU's copy of a pointer that is a variable of its own or, in 6.2 to 6.14, a member of
  /// `pcpu_hot`; 0 if there is none.
  long perCpuWord(int index, String... names) {
    for (String name : names) {
      OptionalLong own = kernel.symbol(name);
      if (own.isPresent()) {
        return kernel.word(kernel.perCpu().address(own.getAsLong(), index)).orElse(0);
      }
      OptionalLong hot = kernel.symbol("pcpu_hot");
      Optional<Member> member = kernel.struct("pcpu_hot", name).flatMap(l -> l.member(name));
      if (hot.isPresent() && member.isPresent()) {
        return kernel
            .word(kernel.perCpu().address(hot.getAsLong(), index) + member.get().offset())
            .orElse(0);
      }
    }
    return 0;
  }
}
