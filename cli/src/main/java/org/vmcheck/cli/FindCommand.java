package org.vmcheck.cli;

import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.FindAnswer;
import org.vmcheck.finding.FoundPattern;
import org.vmcheck.finding.MemoryPattern;
import org.vmcheck.io.Printable;
import org.vmcheck.json.DeskWriter;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/// Where something is in memory.
@Command(
    name = "find",
    description = {
      "Find a text, bytes or a value in every page of the dump.",
      "",
      "A PATTERN that begins with 0x is a value of 8 bytes at a multiple of 8; any other is text."
    },
    mixinStandardHelpOptions = true)
final class FindCommand implements Callable<Integer> {
  private static final int MAX_LISTED = 1 << 20;

  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;
  @Mixin private AnswerForm form;

  @Parameters(
      index = "1",
      paramLabel = "PATTERN",
      description = "A text, a value (0x...), or with --hex bytes as they lie in memory.")
  private String pattern;

  @Option(names = "--hex", description = "The pattern is bytes in hexadecimal: 7f454c46.")
  private boolean hex;

  @Option(names = "--text", description = "The pattern is text, even if it begins with 0x.")
  private boolean text;

  @Option(
      names = "--mask",
      paramLabel = "MASK",
      converter = MaskConverter.class,
      description = "Only these bits of the value count (default: all).")
  private Long mask;

  @Option(
      names = "--most",
      paramLabel = "N",
      description = "How many places are listed (default: 100); all are counted.")
  private int most = 100;

  /// Picocli's hook for masks.
  static final class MaskConverter implements ITypeConverter<Long> {
    @Override
    public Long convert(String value) {
      return word(value);
    }
  }

  @Override
  public Integer call() throws Exception {
    if (most < 1 || most > MAX_LISTED) {
      throw new Failures.UsageException("--most: expected 1 to " + MAX_LISTED + ", got " + most);
    }
    MemoryPattern wanted = wanted();
    try (Analyzer analyzer = dump.open()) {
      FindAnswer answer = analyzer.desk().find(wanted, most);
      dump.clearProgress();
      form.write(spec, () -> DeskWriter.find(answer), () -> text(answer));
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }

  private MemoryPattern wanted() throws Failures.UsageException {
    boolean isValue = !hex && !text && (pattern.startsWith("0x") || pattern.startsWith("0X"));
    if (hex && text) {
      throw new Failures.UsageException("give one of --hex and --text");
    }
    if (mask != null && !isValue) {
      throw new Failures.UsageException("--mask needs a value (0x...)");
    }
    try {
      return isValue
          ? MemoryPattern.ofWord(word(pattern), mask == null ? -1 : mask)
          : hex ? MemoryPattern.ofHex(pattern) : MemoryPattern.ofText(pattern);
    } catch (IllegalArgumentException | TypeConversionException wrong) {
      throw new Failures.UsageException("PATTERN: " + wrong.getMessage());
    }
  }

  private static long word(String value) {
    try {
      String digits = value.startsWith("0x") || value.startsWith("0X") ? value.substring(2) : value;
      if (digits.startsWith("+") || digits.startsWith("-")) {
        throw new NumberFormatException(value);
      }
      return Long.parseUnsignedLong(digits, 16);
    } catch (NumberFormatException _) {
      throw new TypeConversionException("expected a value in hexadecimal, got " + value);
    }
  }

  private static String text(FindAnswer answer) {
    StringBuilder out = new StringBuilder();
    for (FoundPattern found : answer.found()) {
      out.append(
          "%016x  physical 0x%x  %s%n"
              .formatted(
                  found.place().address(), found.physical(), Printable.of(found.place().words())));
    }
    long unlisted = answer.total() - answer.found().size();
    if (unlisted > 0) {
      out.append("and %,d more%n".formatted(unlisted));
    }
    out.append(
        "%s in %s%s%n"
            .formatted(
                Counted.of(answer.total(), "places"),
                Counted.of(answer.pages(), "pages"),
                answer.unread() == 0
                    ? ""
                    : "; not read: " + Counted.of(answer.unread(), "stored pages")));
    return out.toString();
  }
}
