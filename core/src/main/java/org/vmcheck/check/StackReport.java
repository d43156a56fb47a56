package org.vmcheck.check;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Subject;
import org.vmcheck.finding.Task;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.KernelReports;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.task.CallStacks;
import org.vmcheck.task.StackCanary;

/// The stack over which the kernel stopped itself: whose it is, and the word that gave it away.
///
/// @param claim whose stack it is
/// @param subject with the word, if it is known
record StackReport(String claim, Subject subject, List<Evidence> evidence) {
  /// `CPU: 1 PID: 93 Comm: sh`, and with `UID: 0` between since 6.11.
  private static final Pattern TASK =
      Pattern.compile("\\bCPU: ?\\d+\\b.*\\bPID: (?<pid>\\d{1,9})\\b");

  /// The function behind `Kernel stack is corrupted in: `, as `%pB` prints it.
  private static final Pattern GUARDED =
      Pattern.compile("Kernel stack is corrupted in: ?(?<function>[\\w.$]+)\\+0x");

  /// The stacks of interrupts and exceptions have guard pages too.
  private static final Pattern OF_NO_TASK =
      Pattern.compile("^BUG: (?!TASK )\\S++ stack guard page was hit at ");

  /// Of arm64, behind the words that there is no space: the address at fault, and two stacks.
  private static final Pattern FAULT = Pattern.compile("^FAR: 0x(?<at>[0-9a-f]{1,16})\\b");

  private static final Pattern BOUNDS =
      Pattern.compile(
          "^(?<whose>Task|IRQ) stack:"
              + " +\\[0x(?<low>[0-9a-f]{1,16})\\.\\.0x(?<high>[0-9a-f]{1,16})\\]");

  private static final long STACK_END_MAGIC = 0x57ac_6e9dL;

  StackReport {
    evidence = List.copyOf(evidence);
  }

  /// Empty for reports of anything else, and where the task is not known.
  static Optional<StackReport> of(KernelReports.Report report, Kernel kernel) {
    if (OF_NO_TASK.matcher(KernelReports.cut(report.first().text())).find()) {
      return Optional.empty();
    }
    return switch (report.message()) {
      case STACK_PROTECTOR, STACK_END, STACK_OVERRAN, STACK_GUARD -> {
        CallStacks stacks = CallStacks.of(kernel);
        yield task(report, kernel, stacks)
            .map(
                task ->
                    switch (report.message()) {
                      case STACK_PROTECTOR -> guarded(report, kernel, stacks, task);
                      case STACK_END -> end(kernel, stacks, task);
                      default -> new StackReport(words(task), Subject.NONE, where(stacks, task));
                    })
            .filter(found -> !found.claim().isEmpty());
      }
      case NO_STACK_SPACE -> overflow(report, CallStacks.of(kernel));
      default -> Optional.empty();
    };
  }

  /// Who was running: the report's own lines say it, else the CPU that panicked.
  private static Optional<Task> task(
      KernelReports.Report report, Kernel kernel, CallStacks stacks) {
    for (LogBuffer.Line line : report.lines()) {
      Matcher told = TASK.matcher(KernelReports.cut(line.text()));
      if (told.find()) {
        int pid = Integer.parseInt(told.group("pid"));
        if (pid > 0) {
          return stacks.tasks().byPid(pid);
        }
        break; // The idle tasks of all CPUs have the number 0.
      }
    }
    int cpu = kernel.perCpu().cpus().indexOf(kernel.identity().panicCpu());
    return cpu < 0 ? Optional.empty() : stacks.onCpu(cpu);
  }

  private static String words(Task task) {
    return "the stack of PID %d \"%s\"".formatted(task.pid(), Printable.of(task.comm(), 32));
  }

  private static List<Evidence> where(CallStacks stacks, Task task) {
    return task.stack() == 0
        ? List.of()
        : List.of(
            new Evidence.WhatIf(
                "stack",
                "%s, task_struct 0x%x, reaches from 0x%x to 0x%x"
                    .formatted(
                        words(task),
                        task.address(),
                        task.stack(),
                        task.stack() + stacks.stackBytes())));
  }

  /// The stack that the address at fault is right below, in its guard: the report has the bounds of
  /// the task's and of the CPU's for interrupts.
  private static Optional<StackReport> overflow(KernelReports.Report report, CallStacks stacks) {
    long fault = 0;
    for (LogBuffer.Line line : report.lines()) {
      String text = KernelReports.cut(line.text());
      Matcher at = FAULT.matcher(text);
      if (at.find()) {
        fault = Long.parseUnsignedLong(at.group("at"), 16);
      }
      Matcher bounds = BOUNDS.matcher(text);
      if (fault == 0 || !bounds.find()) {
        continue;
      }
      long low = Long.parseUnsignedLong(bounds.group("low"), 16);
      long size = Long.parseUnsignedLong(bounds.group("high"), 16) - low;
      long below = low - fault;
      if (size <= 0 || below <= 0 || below > size) {
        continue;
      }
      Evidence where =
          new Evidence.WhatIf(
              "stack",
              "the address at fault, 0x%x, is %,d bytes below it, in its guard page"
                  .formatted(fault, below));
      if (bounds.group("whose").equals("IRQ")) {
        return Optional.of(
            new StackReport(
                "the stack of interrupts at 0x%x".formatted(low), Subject.NONE, List.of(where)));
      }
      return stacks.tasks().all().stream()
          .filter(task -> task.stack() == low)
          .findFirst()
          .map(
              task -> {
                List<Evidence> evidence = new ArrayList<>(where(stacks, task));
                evidence.add(where);
                return new StackReport(words(task), Subject.NONE, evidence);
              });
    }
    return Optional.empty();
  }

  private static StackReport guarded(
      KernelReports.Report report, Kernel kernel, CallStacks stacks, Task task) {
    List<Evidence> evidence = new ArrayList<>(where(stacks, task));
    Matcher told = GUARDED.matcher(KernelReports.cut(report.first().text()));
    Optional<StackCanary> canary =
        told.find() ? stacks.canary(task, told.group("function")) : Optional.empty();
    if (canary.isEmpty()) {
      return new StackReport(words(task), Subject.NONE, evidence);
    }
    long slot = canary.get().slot();
    if (slot < task.stack() || slot >= task.stack() + stacks.stackBytes()) {
      // A function that ran on a stack of interrupts.
      return new StackReport("", Subject.NONE, List.of());
    }
    long physical = kernel.memory().physicalAddress(slot);
    long found = canary.get().found();
    long right = canary.get().right();
    evidence.add(
        new Evidence.WordAt(
            slot,
            physical,
            found,
            right,
            canary.get().isWhole()
                ? "the canary of %s, at 0x%x on that stack, is the task's own again, 0x%016x"
                    .formatted(canary.get().function(), slot, right)
                : "the canary of %s, at 0x%x on that stack, is 0x%016x where the task's own is 0x%016x"
                    .formatted(canary.get().function(), slot, found, right)));
    Subject subject =
        canary.get().isWhole()
            ? Subject.NONE
            : Subject.NONE.withAddress(slot, physical).withWord(found, right);
    return new StackReport(words(task), subject, evidence);
  }

  /// The lowest word of the stack, which the scheduler looks at.
  private static StackReport end(Kernel kernel, CallStacks stacks, Task task) {
    List<Evidence> evidence = new ArrayList<>(where(stacks, task));
    long word =
        task.stack() == 0 ? STACK_END_MAGIC : kernel.word(task.stack()).orElse(STACK_END_MAGIC);
    if (word == STACK_END_MAGIC) {
      return new StackReport(words(task), Subject.NONE, evidence);
    }
    long physical = kernel.memory().physicalAddress(task.stack());
    evidence.add(
        new Evidence.WordAt(
            task.stack(),
            physical,
            word,
            STACK_END_MAGIC,
            "its lowest word, at 0x%x, is 0x%016x and not STACK_END_MAGIC (0x%x)"
                .formatted(task.stack(), word, STACK_END_MAGIC)));
    return new StackReport(
        words(task),
        Subject.NONE.withAddress(task.stack(), physical).withWord(word, STACK_END_MAGIC),
        evidence);
  }
}
