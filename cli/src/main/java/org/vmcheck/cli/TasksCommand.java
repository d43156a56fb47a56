package org.vmcheck.cli;

import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.TaskList;
import org.vmcheck.json.TaskWriter;
import org.vmcheck.report.TaskTable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/// The tasks.
@Command(
    name = "tasks",
    description = "List the tasks: state, CPU, memory, stack.",
    mixinStandardHelpOptions = true)
final class TasksCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;
  @Mixin private AnswerForm form;

  @Override
  public Integer call() throws Exception {
    try (Analyzer analyzer = dump.open()) {
      TaskList list = analyzer.tasks().list();
      form.write(spec, () -> TaskWriter.tasks(list.tasks()), () -> TaskTable.render(list));
      for (String problem : list.problems()) {
        spec.commandLine().getErr().println("vmcheck: " + problem);
      }
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }
}
