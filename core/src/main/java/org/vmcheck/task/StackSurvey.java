package org.vmcheck.task;

import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.kernel.Kernel;

/// One pass over all tasks: the guard words of their stacks, where they are to go on, and the lists
/// that they are on.
///
/// @param lookedAt words and lists that were held against something, by kind
/// @param notRead stacks and lists that could not be read, by reason
/// @param faults in the order of the tasks
/// @param transients what a CPU was about to change when it was stopped, a sentence each
/// @param problems why there may be more tasks, a sentence each
/// @param bytes how much memory was held against something
public record StackSurvey(
    SortedMap<String, Long> lookedAt,
    SortedMap<String, Long> notRead,
    List<StackFault> faults,
    List<String> transients,
    List<String> problems,
    long bytes) {
  /// What the kernel writes to the lowest word of each stack (Linux `include/uapi/linux/magic.h`).
  public static final long END_MAGIC = 0x57ac_6e9dL;

  public StackSurvey {
    lookedAt = new TreeMap<>(lookedAt);
    notRead = new TreeMap<>(notRead);
    faults = List.copyOf(faults);
    transients = List.copyOf(transients);
    problems = List.copyOf(problems);
  }

  /// @param isStill whether all memory is of one moment, as it is after a panic: what is copied
  ///   while it runs may disagree with itself, and then only single flipped bits are faults
  public static StackSurvey of(Kernel kernel, boolean isStill) {
    return new StackPass(kernel, isStill).run();
  }
}
