package org.vmcheck.cli;

import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.report.LogText;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
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

  @Override
  public Integer call() throws Exception {
    try (Analyzer analyzer = dumpOptions.open(dump)) {
      Streams.write(spec, null, LogText.render(analyzer.log()));
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }
}
