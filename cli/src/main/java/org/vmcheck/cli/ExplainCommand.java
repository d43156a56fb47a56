package org.vmcheck.cli;

import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Explanations;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// What a check or a cause means.
@Command(
    name = "explain",
    description =
        "Explain a check or a cause, or list the known bad dumpers; without ID, name them all.",
    mixinStandardHelpOptions = true)
final class ExplainCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "ID", arity = "0..1", description = "Id of a check or a cause.")
  private String id;

  @Option(
      names = {"-v", "--verbose"},
      description = "With the details: what is weighed, and which states are legal for an instant.")
  private boolean verbose;

  @Override
  public Integer call() throws Exception {
    if (id == null) {
      Streams.write(spec, null, Explanations.list());
      return ExitCode.INTACT;
    }
    Optional<String> text = Explanations.of(id, verbose);
    if (text.isEmpty()) {
      throw new Failures.UsageException(
          "no check or cause is called " + id + "; 'vmcheck explain' lists them");
    }
    Streams.write(spec, null, text.get());
    return ExitCode.INTACT;
  }

  static void requireKnownChecks(List<String> ids) throws Failures.UsageException {
    for (String check : ids) {
      if (!Explanations.isCheck(check)) {
        throw new Failures.UsageException(
            "no check is called " + check + "; 'vmcheck explain' lists them");
      }
    }
  }
}
