package org.vmcheck.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.analysis.DeskQuestions;
import org.vmcheck.finding.LogLine;
import org.vmcheck.json.TaskWriter;
import org.vmcheck.report.LogText;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// The kernel log.
@Command(
    name = "dmesg",
    description = "Print the kernel log, as makedumpfile --dump-dmesg does.",
    mixinStandardHelpOptions = true)
final class DmesgCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private DumpOptions dumpOptions;

  @Parameters(paramLabel = "DUMP", description = "A crash dump.")
  private Path dump;

  @Option(
      names = "--unhash",
      description =
          "Turn pointers that %%p hashed back into addresses, with the kernel's own key: each"
              + " stands behind its hash in braces.")
  private boolean unhash;

  @Option(
      names = "--format",
      paramLabel = "text|json",
      description = "Form of the answer (default: text).")
  private AnswerFormat format = AnswerFormat.TEXT;

  @Override
  public Integer call() throws Exception {
    try (Analyzer analyzer = dumpOptions.open(dump)) {
      List<LogLine> lines = analyzer.log();
      if (unhash) {
        DeskQuestions.UnhashedLog log = analyzer.desk().unhash(lines);
        lines = log.lines();
        spec.commandLine()
            .getErr()
            .println(
                "vmcheck: %,d of %,d hashed pointers turned back (%,d addresses tried)"
                    .formatted(log.found(), log.hashes(), log.tried()));
      }
      Streams.write(
          spec, null, format == AnswerFormat.JSON ? TaskWriter.log(lines) : LogText.render(lines));
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }
}
