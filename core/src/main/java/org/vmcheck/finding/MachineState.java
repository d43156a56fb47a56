package org.vmcheck.finding;

import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;

/// The machine at the moment of the dump, at a glance: what an engineer asks next after the
/// verdict.
///
/// @param panicking the task that panicked and its stack; of a dump of a running system the task of
///   the first CPU
/// @param others how many CPUs there are beside the panicking one, by the innermost function that
///   they were in
/// @param uptimeSeconds since boot, time asleep included; negative if not known
/// @param load averages of 1, 5 and 15 minutes; empty if not known
/// @param memoryBytes of the machine, which the dump need not hold; 0 if not known
/// @param taskStates how many tasks there are by the letter of `ps`
/// @param lastLines the end of the kernel log
public record MachineState(
    Optional<TaskTrace> panicking,
    SortedMap<String, Integer> others,
    double uptimeSeconds,
    List<Double> load,
    long memoryBytes,
    SortedMap<String, Integer> taskStates,
    List<LogLine> lastLines) {
  public MachineState {
    others = new TreeMap<>(others);
    load = List.copyOf(load);
    taskStates = new TreeMap<>(taskStates);
    lastLines = List.copyOf(lastLines);
  }

  /// How many tasks there are.
  public int taskCount() {
    return taskStates.values().stream().mapToInt(Integer::intValue).sum();
  }
}
