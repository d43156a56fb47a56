package org.vmcheck.task;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.finding.Task;
import org.vmcheck.kernel.Kernel;

/// Where sleeping tasks go on: each gave up its CPU in one of a few places of the scheduler, or was
/// never run and goes on at `ret_from_fork`.
///
/// @param looked how many return addresses were read
/// @param odd those that no call leaves there
record SleepingReturns(int looked, List<Odd> odd) {
  /// Tasks that must go on at a place before another that is one bit off is called wrong.
  private static final int LEAST_VOTES = 3;

  /// Words that `__switch_to_asm` saves at most below the return address.
  private static final int MAX_SAVED = 12;

  /// A return address that is none.
  ///
  /// @param address of the word
  /// @param expected what it must be; 0 if that cannot be told
  record Odd(Task task, long address, long value, long expected) {}

  SleepingReturns {
    odd = List.copyOf(odd);
  }

  static SleepingReturns of(Kernel kernel, List<Task> asleep) {
    OptionalLong text = kernel.symbol("_stext");
    OptionalLong end = kernel.symbol("_etext");
    if (text.isEmpty() || end.isEmpty()) {
      return new SleepingReturns(0, List.of());
    }
    Text range = new Text(text.getAsLong(), end.getAsLong());
    int at =
        kernel
            .struct("inactive_task_frame", "ret_addr")
            .flatMap(type -> type.member("ret_addr"))
            .map(Member::offset)
            .orElseGet(() -> fromData(kernel, asleep, range));
    if (at < 0) {
      return new SleepingReturns(0, List.of());
    }
    Map<Task, Long> values = values(kernel, asleep, at);
    Map<Long, Integer> votes = votes(values);
    List<Odd> odd = new ArrayList<>();
    values.forEach(
        (task, value) -> {
          if (votes.get(value) >= LEAST_VOTES) {
            return;
          }
          long right =
              votes.entrySet().stream()
                  .filter(vote -> vote.getValue() >= LEAST_VOTES)
                  .map(Map.Entry::getKey)
                  .filter(to -> Long.bitCount(to ^ value) == 1)
                  .findFirst()
                  .orElse(0L);
          if (right != 0 || !range.contains(value)) {
            odd.add(new Odd(task, task.savedSp() + at, value, right));
          }
        });
    return new SleepingReturns(values.size(), odd);
  }

  private record Text(long start, long end) {
    boolean contains(long address) {
      return Long.compareUnsigned(address, start) >= 0 && Long.compareUnsigned(address, end) < 0;
    }
  }

  /// The first word above the saved stack pointers that leads into text in nearly all tasks, most
  /// of them to one place: where the types do not tell how many registers lie below it. -1 if there
  /// is none.
  private static int fromData(Kernel kernel, List<Task> asleep, Text text) {
    for (int word = 0; word <= MAX_SAVED; word++) {
      Map<Task, Long> values = values(kernel, asleep, word * 8);
      long inText = values.values().stream().filter(text::contains).count();
      int most = votes(values).values().stream().mapToInt(Integer::intValue).max().orElse(0);
      if (values.size() >= LEAST_VOTES && inText * 10 >= values.size() * 9L && most * 2L > inText) {
        return word * 8;
      }
    }
    return -1;
  }

  private static Map<Task, Long> values(Kernel kernel, List<Task> asleep, int at) {
    Map<Task, Long> values = new HashMap<>();
    for (Task task : asleep) {
      kernel.word(task.savedSp() + at).ifPresent(value -> values.put(task, value));
    }
    return values;
  }

  private static Map<Long, Integer> votes(Map<Task, Long> values) {
    Map<Long, Integer> votes = new HashMap<>();
    values.values().forEach(value -> votes.merge(value, 1, Integer::sum));
    return votes;
  }
}
