package org.vmcheck.arch;

/// How a kernel keeps the stacks of tasks that gave up their CPU, and those of CPUs.
///
/// @param savedSp member of `task_struct` that holds the stack pointer
/// @param savedPc member that holds where the task goes on; empty where that lies on its stack
/// @param savedFp member that holds the frame pointer; empty where that lies on its stack
/// @param irqPointerIsLow whether `irq_stack_ptr` is the first address of a CPU's stack for
///   interrupts, and not its end
public record TaskStacks(String savedSp, String savedPc, String savedFp, boolean irqPointerIsLow) {}
