package org.vmcheck.cli;

import java.util.OptionalLong;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.WordAnswer;
import org.vmcheck.json.DeskWriter;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// What a word is.
@Command(
    name = "word",
    description = "Say what a 64-bit value can be: the likeliest first, with the reasons.",
    mixinStandardHelpOptions = true)
final class WordCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;
  @Mixin private AnswerForm form;

  @Parameters(
      index = "1",
      paramLabel = "VALUE",
      converter = AddressArgument.Converter.class,
      description = AddressArgument.FORMS)
  private AddressArgument value;

  @Option(
      names = "--at",
      paramLabel = "ADDRESS",
      converter = AddressArgument.Converter.class,
      description = "Where the value lies: only with it an encoded free pointer can be told.")
  private AddressArgument at;

  @Override
  public Integer call() throws Exception {
    try (Analyzer analyzer = dump.open()) {
      OptionalLong place = at == null ? OptionalLong.empty() : OptionalLong.of(at.in(analyzer));
      WordAnswer answer = analyzer.desk().word(value.in(analyzer), place);
      form.write(spec, () -> DeskWriter.word(answer), () -> WordText.render(answer));
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }
}
