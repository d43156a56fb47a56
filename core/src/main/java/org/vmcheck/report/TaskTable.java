package org.vmcheck.report;

import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.Task;
import org.vmcheck.finding.TaskList;

/// The tasks as a table, with a line of totals.
public final class TaskTable {
  private TaskTable() {}

  /// `>` marks a task that a CPU was in.
  public static String render(TaskList list) {
    StringBuilder out = new StringBuilder();
    out.append(
        "%7s %7s %3s  %-16s %2s %10s %-16s  %s%n"
            .formatted("PID", "TGID", "CPU", "TASK", "ST", "RSS KiB", "STACK", "COMMAND"));
    Map<Character, Integer> states = new TreeMap<>();
    for (Task task : list.tasks()) {
      states.merge(task.letter(), 1, Integer::sum);
      out.append(
          "%s%6d %7d %3d  %016x  %c %10s %016x  %s%n"
              .formatted(
                  list.current().contains(task.address()) ? ">" : " ",
                  task.pid(),
                  task.tgid(),
                  task.cpu(),
                  task.address(),
                  task.letter(),
                  task.residentPages() < 0
                      ? "-"
                      : "%,d".formatted(task.residentPages() * list.pageBytes() / 1024),
                  task.stack(),
                  task.isKernelThread() ? "[" + task.comm() + "]" : task.comm()));
    }
    out.append(Counted.of(list.tasks().size(), "tasks") + ":");
    states.forEach((letter, count) -> out.append(" %d %c".formatted(count, letter)));
    return out.append("; > is on a CPU\n").toString();
  }
}
