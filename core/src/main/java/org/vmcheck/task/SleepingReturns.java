package org.vmcheck.task;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.finding.Task;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;

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

  /// `call rel32`.
  private static final int CALL = 0xe8;

  private static final int CALL_BYTES = 5;

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
    String savedPc = kernel.architecture().taskStacks().savedPc();
    if (!savedPc.isEmpty()) {
      return inTasks(kernel, asleep, savedPc, range);
    }
    OptionalInt known =
        kernel
            .struct("inactive_task_frame", "ret_addr")
            .flatMap(type -> type.member("ret_addr"))
            .map(member -> OptionalInt.of(member.offset()))
            .orElseGet(OptionalInt::empty);
    int at = known.orElseGet(() -> fromData(kernel, asleep, range));
    if (at < 0) {
      return new SleepingReturns(0, List.of());
    }
    List<Saved> values = values(kernel, asleep, at);
    Map<Long, Integer> votes = votes(values);
    List<Odd> odd = new ArrayList<>();
    for (Saved saved : values) {
      long value = saved.value;
      if (votes.get(value) >= LEAST_VOTES) {
        continue;
      }
      long right = isBehindCall(kernel, value) ? 0 : oneBitAway(votes, value);
      // A place that was found by its values may be another word in a few tasks.
      if (right != 0 || (known.isPresent() && !range.contains(value))) {
        odd.add(new Odd(saved.task, saved.task.savedSp() + at, value, right));
      }
    }
    return new SleepingReturns(values.size(), odd);
  }

  /// Where a task goes on is a member of it: the address behind the one call that switches tasks,
  /// or the first of `ret_from_fork`.
  private static SleepingReturns inTasks(
      Kernel kernel, List<Task> asleep, String member, Text text) {
    Optional<Member> at = kernel.struct("task_struct", member).flatMap(type -> type.member(member));
    if (at.isEmpty()) {
      return new SleepingReturns(0, List.of());
    }
    List<Saved> values = new ArrayList<>();
    for (Task task : asleep) {
      kernel
          .word(task.address() + at.get().offset())
          .ifPresent(word -> values.add(new Saved(task, word)));
    }
    Map<Long, Integer> votes = votes(values);
    List<Odd> odd = new ArrayList<>();
    for (Saved saved : values) {
      if (votes.get(saved.value) >= LEAST_VOTES) {
        continue;
      }
      long right = oneBitAway(votes, saved.value);
      boolean isCode =
          text.contains(kernel.architecture().returnAddress(kernel.vmcoreinfo(), saved.value));
      if (right != 0 || !isCode) {
        odd.add(new Odd(saved.task, saved.task.address() + at.get().offset(), saved.value, right));
      }
    }
    return new SleepingReturns(values.size(), odd);
  }

  /// The value one bit away that most tasks have; 0 if there is none.
  private static long oneBitAway(Map<Long, Integer> votes, long value) {
    long right = 0;
    int most = LEAST_VOTES - 1;
    for (int bit = 0; bit < Long.SIZE; bit++) {
      int count = votes.getOrDefault(value ^ (1L << bit), 0);
      if (count > most) {
        most = count;
        right = value ^ (1L << bit);
      }
    }
    return right;
  }

  /// Whether an instruction that calls ends there: the compiler may have made two of the one call
  /// that switches tasks.
  private static boolean isBehindCall(Kernel kernel, long at) {
    return kernel.memory().read(at - CALL_BYTES, 1) instanceof MemoryRead.Bytes(ByteView view)
        && view.u8(0) == CALL;
  }

  /// What lies at one distance from the saved stack pointer of a task.
  private record Saved(Task task, long value) {}

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
      List<Saved> values = values(kernel, asleep, word * 8);
      long inText = values.stream().filter(saved -> text.contains(saved.value)).count();
      int most = votes(values).values().stream().mapToInt(Integer::intValue).max().orElse(0);
      if (values.size() >= LEAST_VOTES && inText * 10 >= values.size() * 9L && most * 2L > inText) {
        return word * 8;
      }
    }
    return -1;
  }

  private static List<Saved> values(Kernel kernel, List<Task> asleep, int at) {
    List<Saved> values = new ArrayList<>();
    for (Task task : asleep) {
      kernel.word(task.savedSp() + at).ifPresent(value -> values.add(new Saved(task, value)));
    }
    return values;
  }

  private static Map<Long, Integer> votes(List<Saved> values) {
    Map<Long, Integer> votes = new HashMap<>();
    values.forEach(saved -> votes.merge(saved.value, 1, Integer::sum));
    return votes;
  }
}
