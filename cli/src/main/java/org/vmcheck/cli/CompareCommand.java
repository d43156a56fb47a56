package org.vmcheck.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.Comparison;
import org.vmcheck.archive.ComparisonRule;
import org.vmcheck.archive.Policy;
import org.vmcheck.archive.PolicyReader;
import org.vmcheck.archive.SelectionException;
import org.vmcheck.archive.Side;
import org.vmcheck.report.ComparisonForm;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// What became worse from one dump, report or set of dumps to the next.
@Command(
    name = "compare",
    description = {
      "Say what is new, what vanished and what became worse from BASE to NEW.",
      "",
      "Each side is a dump, a file of reports ('check --format json'), or a selection of the"
          + " catalogue: kernel=6.1.190, with more terms after commas (verdict=, cause=, host=,"
          + " since=, until=, signature=). A file whose name looks like a selection is given as"
          + " ./NAME."
    },
    mixinStandardHelpOptions = true,
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "  0:no regression",
      "  1:regression",
      "  2:usage - the command line is wrong, or a selection is empty",
      "  3:a side or the policy is not readable",
      "  6:I/O, permission, resources: try again",
      " 70:a bug of vmcheck"
    })
final class CompareCommand implements Callable<Integer> {
  private static final int REGRESSION = 1;

  @Spec private CommandSpec spec;
  @Mixin private DumpOptions dumpOptions;
  @Mixin private CatalogueOption catalogue;

  @Parameters(index = "0", paramLabel = "BASE", description = "Dump, report or selection.")
  private String base;

  @Parameters(index = "1", paramLabel = "NEW", description = "The same, of afterwards.")
  private String next;

  @Option(
      names = "--policy",
      paramLabel = "NAME|FILE",
      description =
          "What counts as a regression: the ready policy kernel-upgrade, or a YAML file. By default"
              + " a new finding, a worse verdict, a lost check, low memory that is no longer"
              + " reserved, and an incomplete dump.")
  private String policy;

  @Option(
      names = "--format",
      paramLabel = "text|json|junit|sarif|markdown",
      description = "Form of the answer (default: text).")
  private ComparisonForm format = ComparisonForm.TEXT;

  @Option(
      names = {"-o", "--output"},
      paramLabel = "FILE",
      description = "Write the answer here, readable by its owner only.")
  private Path output;

  @Option(
      names = {"-v", "--verbose"},
      description = "All checks and all caches.")
  private boolean verbose;

  @Override
  public Integer call() throws Exception {
    if (output != null) {
      List<Path> inputs = new ArrayList<>();
      for (String side : List.of(base, next)) {
        if (!side.contains("=")) {
          inputs.addAll(dumpOptions.files(Path.of(side)));
        }
      }
      Streams.requireOutput(output, inputs);
    }
    Policy rules = policy == null ? Policy.DEFAULT : PolicyReader.read(policy);
    Comparison comparison =
        ComparisonRule.compare(side(base), side(next), rules, LocalDate.now(ZoneOffset.UTC));
    Streams.write(spec, output, format.render(comparison, verbose));
    return comparison.isRegression() ? REGRESSION : ExitCode.INTACT;
  }

  private Side side(String word) throws Exception {
    if (Side.isSelection(word)) {
      try (Catalogue opened = catalogue.read()) {
        return Side.ofCatalogue(opened, word);
      } catch (SelectionException wrong) {
        throw new Failures.UsageException(wrong.getMessage());
      }
    }
    Path file = Path.of(word);
    if (Files.isRegularFile(file) && Side.isReport(file)) {
      return Side.ofReports(file);
    }
    try (Analyzer analyzer =
        dumpOptions.openForCheck(
            dumpOptions.files(file),
            List.of(),
            false,
            AnalysisOptions.Deep.AUTO,
            Optional.empty())) {
      return Side.of(word, analyzer.check(Version.text()));
    }
  }
}
