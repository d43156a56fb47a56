package org.vmcheck.cli;

import java.util.Arrays;
import java.util.Iterator;
import java.util.concurrent.Callable;
import org.vmcheck.json.Schema;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// The schema of what is printed as JSON.
@Command(
    name = "schema",
    description = {
      "Print the JSON Schema of a report, of catalogue lines, or of a scan's progress.",
      "",
      "report: check --format json. catalogue: a line of catalogue list, groups, trend,"
          + " regressions, hardware and export. progress: a line of scan --progress json. answers:"
          + " info, bt, tasks, object and the other questions, a definition each. comparison:"
          + " compare --format json."
    },
    mixinStandardHelpOptions = true)
final class SchemaCommand implements Callable<Integer> {
  /// What may be typed.
  static final class Names implements Iterable<String> {
    @Override
    public Iterator<String> iterator() {
      return Arrays.stream(Schema.values()).map(Schema::word).iterator();
    }
  }

  @Spec private CommandSpec spec;

  @Parameters(
      paramLabel = "report|catalogue|progress|answers|comparison",
      completionCandidates = Names.class,
      description = "Which.")
  private String name;

  @Override
  public Integer call() throws Exception {
    for (Schema schema : Schema.values()) {
      if (schema.word().equals(name)) {
        Streams.write(spec, null, schema.text());
        return ExitCode.INTACT;
      }
    }
    throw new Failures.UsageException(
        "no schema is called "
            + name
            + "; there are "
            + String.join(", ", new Names())
            + " (see vmcheck schema --help)");
  }
}
