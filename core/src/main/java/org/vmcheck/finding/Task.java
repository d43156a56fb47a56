package org.vmcheck.finding;

/// One task: a `struct task_struct` (Linux `include/linux/sched.h`).
///
/// @param address of the structure
/// @param pid of the thread, in the first name space
/// @param tgid of its process
/// @param comm safe to print
/// @param letter its state, as `ps` shows it
/// @param cpu where it runs or ran last
/// @param residentPages of its memory; -1 if it has none or they are not known
/// @param stack lowest address of its stack; 0 if that was freed
/// @param savedSp `thread.sp`: where it was left when it last gave up the CPU; 0 if not known
public record Task(
    long address,
    int pid,
    int tgid,
    String comm,
    char letter,
    boolean isKernelThread,
    int cpu,
    long residentPages,
    long stack,
    long savedSp) {}
