package org.vmcheck.cli;

import java.io.IOException;
import java.util.function.Supplier;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;

/// In which form a question is answered.
final class AnswerForm {
  /// Forms of an answer.
  enum Format {
    TEXT,
    JSON
  }

  @Option(
      names = "--format",
      paramLabel = "text|json",
      description = "Form of the answer (default: text).")
  private Format format = Format.TEXT;

  boolean isJson() {
    return format == Format.JSON;
  }

  /// Prints the answer; only the form that is wanted is made.
  void write(CommandSpec spec, Supplier<String> json, Supplier<String> text) throws IOException {
    Streams.write(spec, null, (isJson() ? json : text).get());
  }
}
