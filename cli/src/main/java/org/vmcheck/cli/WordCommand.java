package org.vmcheck.cli;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.analysis.UnansweredException;
import org.vmcheck.finding.WordAnswer;
import org.vmcheck.json.DeskWriter;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/// What a word is.
@Command(
    name = "word",
    description = {
      "Say what a 64-bit value can be: the likeliest first, with the reasons.",
      "",
      "With - the values come from standard input, one a line, each with the address that it lies"
          + " at behind it if that is known."
    },
    mixinStandardHelpOptions = true)
final class WordCommand implements Callable<Integer> {
  /// Characters of a line of standard input: far more than two symbols have.
  private static final int MAX_LINE = 4096;

  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;
  @Mixin private AnswerForm form;

  @Parameters(
      index = "1..*",
      arity = "1..*",
      paramLabel = "VALUE",
      description =
          AddressArgument.FORMS
              + " A negative number is decimal: -22. Or - for many, from standard input.")
  private List<String> values;

  @Option(
      names = "--at",
      paramLabel = "ADDRESS",
      converter = AddressArgument.Converter.class,
      description = "Where the value lies: only with it an encoded free pointer can be told.")
  private AddressArgument at;

  @Override
  public Integer call() throws Exception {
    boolean isMany = values.contains("-");
    if (isMany && values.size() > 1) {
      throw new Failures.UsageException("- stands alone: the values come from standard input");
    }
    if (at != null && (isMany || values.size() > 1)) {
      throw new Failures.UsageException(
          isMany
              ? "--at: with - the place stands behind each value"
              : "--at is the place of one value, and there are " + values.size());
    }
    List<AddressArgument> words = new ArrayList<>();
    for (String value : isMany ? List.<String>of() : values) {
      words.add(argument(value, "VALUE"));
    }
    try (Analyzer analyzer = dump.open()) {
      if (isMany) {
        answerEach(analyzer);
      }
      for (AddressArgument word : words) {
        answer(analyzer, word, at);
      }
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }

  private void answerEach(Analyzer analyzer) throws Exception {
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    int number = 0;
    for (String line = line(lines); line != null; line = line(lines)) {
      number++;
      String where = "line " + number + " of standard input";
      if (line.length() > MAX_LINE) {
        throw new Failures.UsageException(where + ": longer than " + MAX_LINE + " characters");
      }
      if (line.isBlank()) {
        continue;
      }
      String[] words = line.strip().split("\\s+");
      if (words.length > 2) {
        throw new Failures.UsageException(where + ": expected a value and the address it lies at");
      }
      answer(
          analyzer, argument(words[0], where), words.length < 2 ? null : argument(words[1], where));
    }
  }

  /// A line, or as much of a longer one as tells that it is; null at the end.
  private static String line(BufferedReader lines) throws IOException {
    StringBuilder line = new StringBuilder();
    int next = lines.read();
    if (next < 0) {
      return null;
    }
    for (; next >= 0 && next != '\n' && line.length() <= MAX_LINE; next = lines.read()) {
      line.append((char) next);
    }
    return line.toString();
  }

  private void answer(Analyzer analyzer, AddressArgument word, AddressArgument place)
      throws UnansweredException, IOException {
    OptionalLong slot = place == null ? OptionalLong.empty() : OptionalLong.of(place.in(analyzer));
    WordAnswer answer = analyzer.desk().word(word.in(analyzer), slot);
    form.write(spec, () -> DeskWriter.word(answer), () -> WordText.render(answer));
  }

  private static AddressArgument argument(String text, String where)
      throws Failures.UsageException {
    try {
      if (text.matches("-\\d{1,18}")) {
        return new AddressArgument("0x" + Long.toHexString(Long.parseLong(text)));
      }
      return new AddressArgument.Converter().convert(text);
    } catch (TypeConversionException wrong) {
      throw new Failures.UsageException(where + ": " + wrong.getMessage());
    }
  }
}
