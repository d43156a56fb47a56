package org.vmcheck.cli;

import java.util.List;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.analysis.DeskQuestions;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.LogLine;
import org.vmcheck.json.TaskWriter;
import org.vmcheck.report.LogText;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// The kernel log.
@Command(
    name = "dmesg",
    description = "Print the kernel log, as makedumpfile --dump-dmesg does.",
    mixinStandardHelpOptions = true)
final class DmesgCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;
  @Mixin private AnswerForm form;

  @Option(
      names = "--unhash",
      description =
          "Turn pointers that %%p hashed back into addresses, with the kernel's own key: each"
              + " stands behind its hash in braces.")
  private boolean unhash;

  @Override
  public Integer call() throws Exception {
    try (Analyzer analyzer = dump.open()) {
      List<LogLine> lines = analyzer.log();
      if (unhash) {
        DeskQuestions.UnhashedLog log = analyzer.desk().unhash(lines);
        lines = log.lines();
        spec.commandLine()
            .getErr()
            .println(
                log.hashes() == 0
                    ? "vmcheck: the log has no hashed pointer"
                    : "vmcheck: %,d of %s turned back, after %s tried"
                        .formatted(
                            log.found(),
                            Counted.of(log.hashes(), "hashed pointers"),
                            Counted.of(log.tried(), "addresses")));
      }
      List<LogLine> all = lines;
      form.write(spec, () -> TaskWriter.log(all), () -> LogText.render(all));
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }
}
