package org.vmcheck.check;

import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Task;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.Words;
import org.vmcheck.task.StackFault;
import org.vmcheck.task.StackSurvey;

/// Are the guard words of the stacks, and the lists of tasks, as the kernel left them?
final class TaskStacksCheck implements Check {
  @Override
  public String id() {
    return "task.stacks";
  }

  @Override
  public String question() {
    return "Are the guard words of the kernel's stacks, and the lists of its tasks, whole?";
  }

  @Override
  public String explanation() {
    return """
    Each kernel stack ends in a word that nobody may change (STACK_END_MAGIC), each task has a canary
    that guarded functions copy onto its stack and that its CPU has a copy of, and a task that sleeps
    has left its stack pointer on its stack, above the address where it goes on. The lists of tasks,
    threads, children and pending signals close. All that holds in every kernel, without debugging
    options, and is looked at here.

    Legal, and so a note: a list whose node a CPU was linking when it was stopped, and a CPU that was
    switching tasks. In memory that was copied while the kernel ran only single flipped bits are
    findings, since a stack may be of another moment than its task.

    It can mislead: a task that was damaged so that it is on no list is not met. Of the words between
    the canaries nothing is known. A canary of which one byte became a small number is passed over: a
    variable may lie where a function that had returned left it.
    Next: `vmcheck bt` shows the stack; what lies below an overrun stack may be damaged too.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.SYMBOLS;
  }

  /// Two pages of each stack, and its task.
  @Override
  public OptionalDouble seconds(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    return context.secondsFor(
        kernel.variable32("nr_threads").orElse(0) * 3L * kernel.memory().pageSize());
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    StackSurvey survey = StackSurvey.of(kernel, kernel.isStopped());
    List<Note> notes = WrongWord.halfWay(survey.transients());
    Coverage coverage = new Coverage(survey.lookedAt(), survey.notRead(), List.of());
    if (coverage.isEmpty()) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          survey.problems().isEmpty()
              ? "struct task_struct is not known"
              : String.join("; ", survey.problems()),
          Map.of(),
          notes,
          coverage);
    }
    List<WrongWord> words = survey.faults().stream().map(fault -> word(kernel, fault)).toList();
    List<Finding> findings = WrongWord.findings(words, id(), context, notes);
    Map<String, String> facts = WrongWord.facts(survey.lookedAt(), survey.bytes());
    return new CheckOutcome.Ran(
        id(), answer(survey, findings.size()), facts, findings, notes, coverage);
  }

  private static String answer(StackSurvey survey, int wrong) {
    long stacks = survey.lookedAt().getOrDefault("stack ends", 0L);
    long lists = survey.lookedAt().getOrDefault("lists", 0L);
    return wrong > 0
        ? Words.plural(survey.faults().size(), "word", "words") + " of tasks or stacks wrong"
        : "%s and %s are whole"
            .formatted(
                Words.plural(stacks, "stack", "stacks"),
                Words.plural(lists, "list of tasks", "lists of tasks"));
  }

  private static WrongWord word(Kernel kernel, StackFault fault) {
    Task task = fault.task();
    String whose = "task %d \"%s\"".formatted(task.pid(), task.comm());
    String claim =
        switch (fault.kind()) {
          case END -> "the word at the end of the stack of %s is overwritten".formatted(whose);
          case STACK -> "task_struct.stack of %s does not lead to its stack".formatted(whose);
          case SAVED_POINTER ->
              "the saved stack pointer of %s is not on its stack".formatted(whose);
          case CANARY -> "the stack canary of %s is not the one on its stack".formatted(whose);
          case FRAME -> "a canary on the stack of %s is overwritten".formatted(whose);
          case CPU -> "%s is not that of its %s".formatted(fault.what(), whose);
          case RETURN ->
              "the sleeping %s would go on at %s, which no call leaves there"
                  .formatted(whose, kernel.describe(fault.value()));
          case LINK -> "%s of %s is a broken link".formatted(fault.what(), whose);
        };
    String why =
        switch (fault.kind()) {
          case END -> "the kernel sets the lowest word of each stack to STACK_END_MAGIC";
          case STACK -> "thread.sp lies on a stack that ends in STACK_END_MAGIC, this does not";
          case SAVED_POINTER -> "task_struct.stack leads to a stack that ends in STACK_END_MAGIC";
          case CANARY -> "the guarded functions on its stack agree on another canary";
          case FRAME -> "task_struct.stack_canary is the value that each guarded function copies";
          case CPU -> "a CPU has the canary of its current task";
          case RETURN ->
              fault.expected() == 0
                  ? "it is no address of the kernel's text"
                  : "other sleeping tasks go on at %s".formatted(kernel.describe(fault.expected()));
          case LINK ->
              fault.expected() == 0
                  ? "the node that it leads to does not lead back"
                  : "the link at 0x%x leads back to it".formatted(fault.expected());
        };
    return new WrongWord(
        fault.address(),
        fault.value(),
        WrongWord.known(fault.expected()),
        claim,
        why,
        cause(fault),
        fault.what().replaceAll("\\d+", "#"));
  }

  private static Cause cause(StackFault fault) {
    return switch (fault.kind()) {
      case END, FRAME, RETURN -> Cause.STACK_OVERRUN;
      case LINK -> Cause.LIST_BROKEN;
      case STACK, SAVED_POINTER, CANARY, CPU -> Cause.UNKNOWN;
    };
  }
}
