package org.vmcheck.task;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.finding.Task;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.kernel.StructRef;
import org.vmcheck.memory.MemoryRead;

/// The tasks of a kernel: the processes behind `init_task.tasks`, the threads of each, and the idle
/// tasks, which are on no list and known to their CPU's run queue only.
///
/// @param all in the order of the list, threads behind their leader
/// @param current the task of each possible CPU, by the index of the CPU; 0 if it cannot be read
/// @param problems why there may be more, a sentence each
public record Tasks(List<Task> all, List<Long> current, List<String> problems) {
  private static final int MAX_TASKS = 1 << 22;

  private static final long PF_KTHREAD = 0x0020_0000;

  /// TASK_UNINTERRUPTIBLE with TASK_NOLOAD.
  private static final long IDLE = 0x402;

  private static final String LETTERS = "RSDTtXZP";

  /// TASK_REPORT: the bits that the letter is chosen by.
  private static final long REPORTED = 0x7f;

  /// TASK_RTLOCK_WAIT counts as uninterruptible (PREEMPT_RT).
  private static final long RTLOCK = 0x1000;

  /// Threads of one process.
  private static final int MAX_THREADS = 1 << 20;

  public Tasks {
    all = List.copyOf(all);
    current = List.copyOf(current);
    problems = List.copyOf(problems);
  }

  static Tasks read(Kernel kernel, Stacks stacks) {
    return new Reader(kernel, stacks).read();
  }

  /// The task at an address.
  public Optional<Task> at(long address) {
    return all.stream().filter(task -> task.address() == address).findFirst();
  }

  /// The thread with a number; the idle tasks, which share 0, are not looked at.
  public Optional<Task> byPid(int pid) {
    return all.stream().filter(task -> task.pid() == pid).findFirst();
  }

  private static final class Reader {
    private static final List<String> READ =
        List.of(
            "pid",
            "tgid",
            "comm",
            "__state",
            "state",
            "exit_state",
            "flags",
            "thread_info.cpu",
            "cpu",
            "mm",
            "stack");

    private final Kernel kernel;
    private final Stacks stacks;
    private final String savedSp;
    private final Map<Long, Task> found = new LinkedHashMap<>();
    private final List<String> problems = new ArrayList<>();
    private StructLayout layout;

    /// What is read of a task: the registers of its floating point unit, at the end, are allocated
    /// as far as the processor has them.
    private int bytes;

    Reader(Kernel kernel, Stacks stacks) {
      this.kernel = kernel;
      this.stacks = stacks;
      this.savedSp = kernel.architecture().taskStacks().savedSp();
    }

    Tasks read() {
      Optional<StructLayout> type = kernel.struct("task_struct", "pid", "comm", "tasks", "stack");
      OptionalLong init = kernel.symbol("init_task");
      if (type.isEmpty() || init.isEmpty()) {
        return new Tasks(
            List.of(),
            List.of(),
            List.of(
                type.isEmpty()
                    ? "struct task_struct is not known: no types"
                    : "the symbol init_task is not known"));
      }
      layout = type.get();
      bytes = Math.max(end(savedSp), READ.stream().mapToInt(this::end).max().orElseThrow());
      add(init.getAsLong());
      int tasksAt = offset("tasks");
      ListWalk walk = ListWalk.walk(kernel.memory(), init.getAsLong() + tasksAt, MAX_TASKS);
      if (!walk.isClosed()) {
        problems.add(
            "the list of tasks is broken; %,d processes could be reached"
                .formatted(walk.nodes().size()));
      }
      for (long node : walk.nodes()) {
        if (Cancellation.current().isOver()) {
          problems.add("the deadline came while tasks were read");
          break;
        }
        add(node - tasksAt);
        threads(node - tasksAt);
      }
      List<Long> current = current();
      return new Tasks(new ArrayList<>(found.values()), current, problems);
    }

    /// The current task of each CPU; idle tasks are added.
    private List<Long> current() {
      List<Long> current = new ArrayList<>();
      OptionalLong queues = kernel.symbol("runqueues");
      Optional<Member> idle = kernel.struct("rq", "idle").flatMap(rq -> rq.member("idle"));
      for (int i = 0; i < kernel.perCpu().cpus().size(); i++) {
        if (queues.isPresent() && idle.isPresent()) {
          kernel
              .word(kernel.perCpu().address(queues.getAsLong(), i) + idle.get().offset())
              .ifPresent(this::add);
        }
        current.add(running(i));
      }
      current.stream().filter(address -> address != 0).forEach(this::add);
      return current;
    }

    /// By the CPU's own word, else by its run queue.
    private long running(int index) {
      long own = stacks.perCpuWord(index, "current_task");
      OptionalLong queues = kernel.symbol("runqueues");
      Optional<Member> curr = kernel.struct("rq", "curr").flatMap(rq -> rq.member("curr"));
      return own != 0 || queues.isEmpty() || curr.isEmpty()
          ? own
          : kernel
              .word(kernel.perCpu().address(queues.getAsLong(), index) + curr.get().offset())
              .orElse(0);
    }

    private void threads(long leader) {
      Optional<StructLayout> signal = kernel.struct("signal_struct", "thread_head");
      if (signal.isEmpty() || !layout.has("thread_node") || !layout.has("signal")) {
        return;
      }
      OptionalLong at = kernel.word(leader + offset("signal"));
      if (at.isEmpty() || at.getAsLong() == 0) {
        return;
      }
      int nodeAt = offset("thread_node");
      long head = at.getAsLong() + signal.get().member("thread_head").orElseThrow().offset();
      OptionalLong next = kernel.word(head);
      if (next.isPresent() && next.getAsLong() == leader + nodeAt) {
        OptionalLong behind = kernel.word(leader + nodeAt);
        if (behind.isPresent() && behind.getAsLong() == head) {
          return; // One thread, as most have.
        }
      }
      ListWalk walk = ListWalk.walk(kernel.memory(), head, MAX_THREADS);
      for (long node : walk.nodes()) {
        add(node - nodeAt);
      }
      if (!walk.isClosed()) {
        problems.add("the threads of the task at 0x%x are not all known".formatted(leader));
      }
    }

    /// The byte behind a member; 0 if there is none.
    private int end(String member) {
      return layout.member(member).map(m -> m.offset() + (int) m.byteSize()).orElse(0);
    }

    private int offset(String member) {
      return layout.member(member).orElseThrow().offset();
    }

    private void add(long address) {
      if (found.size() >= MAX_TASKS || found.containsKey(address)) {
        return;
      }
      if (StructRef.read(kernel.memory(), layout, address, bytes) instanceof StructRef at) {
        found.put(address, task(at));
      } else {
        problems.add("the task at 0x%x cannot be read".formatted(address));
      }
    }

    private Task task(StructRef at) {
      long mm = get(at, "mm");
      Member comm = layout.member("comm").orElseThrow();
      return new Task(
          at.vaddr(),
          (int) get(at, "pid"),
          (int) get(at, "tgid"),
          Printable.of(at.bytes().string(comm.offset(), (int) Math.min(comm.byteSize(), 64))),
          letter(get(at, at.has("__state") ? "__state" : "state") | get(at, "exit_state")),
          (get(at, "flags") & PF_KTHREAD) != 0,
          (int) get(at, at.has("thread_info.cpu") ? "thread_info.cpu" : "cpu"),
          residentPages(mm),
          get(at, "stack"),
          get(at, savedSp));
    }

    /// `task_state_to_char`.
    private static char letter(long state) {
      if ((state & IDLE) == IDLE) {
        return 'I';
      }
      long reported = (state & REPORTED) | ((state & RTLOCK) != 0 ? 2 : 0);
      return LETTERS.charAt(64 - Long.numberOfLeadingZeros(reported));
    }

    private static long get(StructRef at, String member) {
      return at.has(member) ? at.get(member) : 0;
    }

    /// `get_mm_rss`: file, anonymous and shared pages (0, 1 and 3 of `mm.rss_stat`), which count
    /// per CPU since 6.2.
    private long residentPages(long mm) {
      Optional<StructLayout> type = kernel.struct("mm_struct", "rss_stat");
      if (mm == 0
          || type.isEmpty()
          || !(StructRef.read(kernel.memory(), type.get(), mm) instanceof StructRef at)) {
        return -1;
      }
      Member stat = type.get().member("rss_stat").orElseThrow();
      // A structure with an array of counts; an array of counters, each with a count, since 6.2.
      if (stat.elementCount() < 2 && at.has("rss_stat.count")) {
        return Math.max(0, at.word("rss_stat.count", 0))
            + Math.max(0, at.word("rss_stat.count", 1))
            + Math.max(0, at.word("rss_stat.count", 3));
      }
      Optional<StructLayout> counter = stat.struct();
      if (stat.elementCount() < 4
          || counter.isEmpty()
          || !counter.get().has("count")
          || !counter.get().has("counters")) {
        return -1;
      }
      long pages = 0;
      for (int i : new int[] {0, 1, 3}) {
        long from = stat.offset() + i * counter.get().size();
        pages += at.bytes().u64(from + counter.get().member("count").orElseThrow().offset());
        long copies =
            at.bytes().u64(from + counter.get().member("counters").orElseThrow().offset());
        for (int cpu = 0; copies != 0 && cpu < kernel.perCpu().cpus().size(); cpu++) {
          if (kernel.memory().read(kernel.perCpu().address(copies, cpu), 4)
              instanceof MemoryRead.Bytes(ByteView view)) {
            pages += view.i32(0);
          }
        }
      }
      return Math.max(0, pages);
    }
  }
}
