package org.vmcheck.finding;

/// One task: a `struct task_struct` (Linux `include/linux/sched.h`).
///
/// @param address of the structure
/// @param pid of the thread, in the first name space
/// @param tgid of its process
/// @param comm safe to print
/// @param state `__state` or `state`, with the bits of `exit_state`
/// @param flags `PF_...`
/// @param cpu where it runs or ran last
/// @param onCpu whether a CPU is in it, as the scheduler says
/// @param mm 0 for a kernel thread
/// @param residentPages of its memory; -1 if they are not known
/// @param stack lowest address of its stack; 0 if that was freed
/// @param savedSp `thread.sp`: where it was left when it last gave up the CPU; 0 if not known
public record Task(
    long address,
    int pid,
    int tgid,
    String comm,
    long state,
    long flags,
    int cpu,
    boolean onCpu,
    long mm,
    long residentPages,
    long stack,
    long savedSp) {
  private static final long PF_KTHREAD = 0x0020_0000;

  /// TASK_UNINTERRUPTIBLE with TASK_NOLOAD.
  private static final long IDLE = 0x402;

  private static final String LETTERS = "RSDTtXZP";

  /// TASK_REPORT: the bits that the letter is chosen by.
  private static final long REPORTED = 0x7f;

  /// TASK_RTLOCK_WAIT counts as uninterruptible (PREEMPT_RT).
  private static final long RTLOCK = 0x1000;

  public boolean isKernelThread() {
    return (flags & PF_KTHREAD) != 0;
  }

  /// The letter of `ps` (`task_state_to_char`).
  public char letter() {
    if ((state & IDLE) == IDLE) {
      return 'I';
    }
    long reported = state & REPORTED | ((state & RTLOCK) != 0 ? 2 : 0);
    return LETTERS.charAt(64 - Long.numberOfLeadingZeros(reported));
  }
}
