package org.vmcheck.finding;

import java.util.List;

/// The tasks of a kernel.
///
/// @param tasks in the order of the kernel's list, threads behind their leader, idle tasks last
/// @param current addresses of the tasks that a CPU was in
/// @param stackBytes `THREAD_SIZE`
/// @param pageBytes of the kernel's page
/// @param problems why there may be more, a sentence each
public record TaskList(
    List<Task> tasks, List<Long> current, long stackBytes, int pageBytes, List<String> problems) {
  public TaskList {
    tasks = List.copyOf(tasks);
    current = List.copyOf(current);
    problems = List.copyOf(problems);
  }
}
