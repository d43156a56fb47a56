package org.vmcheck.cli;

import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.TaskList;
import org.vmcheck.json.TaskWriter;
import org.vmcheck.report.TaskTable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// The tasks.
@Command(
    name = "tasks",
    description = "List the tasks: state, CPU, memory, stack.",
    mixinStandardHelpOptions = true)
final class TasksCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private DumpOptions dumpOptions;

  @Parameters(paramLabel = "DUMP", description = "A crash dump.")
  private Path dump;

  @Option(
      names = "--format",
      paramLabel = "text|json",
      description = "Form of the answer (default: text).")
  private AnswerFormat format = AnswerFormat.TEXT;

  @Override
  public Integer call() throws Exception {
    try (Analyzer analyzer = dumpOptions.open(dump)) {
      TaskList list = analyzer.tasks().list();
      Streams.write(
          spec,
          null,
          format == AnswerFormat.JSON ? TaskWriter.tasks(list.tasks()) : TaskTable.render(list));
      for (String problem : list.problems()) {
        spec.commandLine().getErr().println("vmcheck: " + problem);
      }
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }
}
