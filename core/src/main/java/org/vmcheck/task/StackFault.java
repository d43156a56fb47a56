package org.vmcheck.task;

import org.vmcheck.finding.Task;

/// A word of a task or of its stack that is not what the kernel put there.
///
/// @param task whose it is
/// @param what the word, by the kernel's names
/// @param address of the word
/// @param value what it holds
/// @param expected what it must hold; 0 if that cannot be told
public record StackFault(
    Kind kind, Task task, String what, long address, long value, long expected) {
  /// Which word it is.
  public enum Kind {
    /// The magic at a stack's lowest word.
    END,
    /// `task_struct.stack`.
    STACK,
    /// `thread.sp`.
    SAVED_POINTER,
    /// `task_struct.stack_canary`.
    CANARY,
    /// A canary that a function set on a stack.
    FRAME,
    /// A CPU's copy of the canary of its current task.
    CPU,
    /// Where a sleeping task goes on.
    RETURN,
    /// A link of a list of tasks or of signals.
    LINK
  }

  /// Whether the word differs by one bit from the value that it must hold.
  public boolean isFlip() {
    return expected != 0 && Long.bitCount(value ^ expected) == 1;
  }
}
