package org.vmcheck.cli;

import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.analysis.TaskQuestions;
import org.vmcheck.analysis.UnansweredException;
import org.vmcheck.finding.Task;
import org.vmcheck.finding.TaskTrace;
import org.vmcheck.json.TaskWriter;
import org.vmcheck.report.TraceText;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// What tasks and CPUs were doing.
@Command(
    name = "bt",
    description = "Print the stack of the task that panicked, or of others, unwound.",
    mixinStandardHelpOptions = true)
final class BtCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;
  @Mixin private AnswerForm form;

  @Parameters(
      index = "1",
      paramLabel = "PID",
      arity = "0..1",
      description =
          "The task: its PID, its name as tasks lists it (all tasks of that name), or its"
              + " task_struct (0x..., or a symbol as init_task).")
  private String task;

  @Option(names = "--cpus", description = "The task that each CPU was in.")
  private boolean cpus;

  @Option(names = "--all", description = "Every task.")
  private boolean all;

  @Option(
      names = "--unreliable",
      description =
          "Also whatever else on the stack looks like a return address, behind a question mark, as"
              + " the kernel's own Call Trace has it.")
  private boolean unreliable;

  @Override
  public Integer call() throws Exception {
    if ((task == null ? 0 : 1) + (cpus ? 1 : 0) + (all ? 1 : 0) > 1) {
      throw new Failures.UsageException("give one of PID, --cpus and --all");
    }
    try (Analyzer analyzer = dump.open()) {
      TaskQuestions questions = analyzer.tasks();
      if (form.isJson()) {
        Streams.write(
            spec,
            null,
            TaskWriter.traces(
                wanted(analyzer, questions).stream().map(one -> trace(questions, one)).toList()));
      } else {
        print(analyzer, questions);
      }
      for (String problem : questions.list().problems()) {
        spec.commandLine().getErr().println("vmcheck: " + problem);
      }
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }

  private void print(Analyzer analyzer, TaskQuestions questions) throws Exception {
    boolean isMarked = false;
    boolean isFirst = true;
    for (Task one : wanted(analyzer, questions)) {
      TaskTrace trace = trace(questions, one);
      isMarked |= TraceText.isMarked(trace.backtrace());
      Streams.write(spec, null, (isFirst ? "" : "\n") + TraceText.render(trace));
      isFirst = false;
    }
    if (isMarked) {
      Streams.write(spec, null, TraceText.MARKS + "\n");
    }
  }

  private TaskTrace trace(TaskQuestions questions, Task one) {
    return unreliable ? questions.traceWithSeen(one) : questions.trace(one);
  }

  private List<Task> wanted(Analyzer analyzer, TaskQuestions questions) throws Exception {
    if (all) {
      return questions.list().tasks();
    }
    if (cpus) {
      return questions.onCpus();
    }
    List<Task> ofName =
        task == null || task.matches("\\d+")
            ? List.of()
            : questions.list().tasks().stream().filter(t -> t.comm().equals(task)).toList();
    if (!ofName.isEmpty()) {
      return ofName;
    }
    Optional<Task> one = task == null ? questions.panicking() : questions.find(number(analyzer));
    return List.of(
        one.orElseThrow(
            () ->
                new Failures.UsageException(
                    task == null
                        ? "which task a CPU was in cannot be read; give a PID, or --all"
                        : "no task " + task)));
  }

  private long number(Analyzer analyzer) throws UnansweredException, Failures.UsageException {
    try {
      if (task.matches("\\d+")) {
        return Integer.parseInt(task);
      }
    } catch (NumberFormatException _) {
      throw new Failures.UsageException("no PID is as large as " + task);
    }
    if ((!task.startsWith("0x") && task.matches("[0-9a-fA-F]+")) || !Analyzer.isAddress(task)) {
      throw new Failures.UsageException(
          "expected a PID, a task's name, an address (0x...) or a symbol, got " + task);
    }
    return analyzer.address(task);
  }
}
