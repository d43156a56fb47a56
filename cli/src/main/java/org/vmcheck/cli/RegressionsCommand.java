package org.vmcheck.cli;

import java.util.concurrent.Callable;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.Regressions;
import org.vmcheck.archive.SelectionException;
import org.vmcheck.report.CatalogueJson;
import org.vmcheck.report.CatalogueText;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.Spec;

/// What an upgrade of the fleet brought.
@Command(
    name = "regressions",
    description = {
      "Say which panics, damage and causes are new, more frequent or gone between two kernels.",
      "",
      "More frequent is what has a larger part of the second kernel's incidents than chance"
          + " explains (Fisher's exact test, 1 in 100). Exit code 1 if anything is new or more"
          + " frequent, else 0. How many hosts run a kernel, and for how long, the catalogue does"
          + " not know."
    },
    mixinStandardHelpOptions = true)
final class RegressionsCommand implements Callable<Integer> {
  private static final int WORSE = 1;

  @Spec private CommandSpec spec;
  @ParentCommand private CatalogueCommand parent;
  @Mixin private CatalogueFilter filter;

  @Option(
      names = "--from",
      required = true,
      paramLabel = "RELEASE",
      description = "The kernel before, or the start of its release.")
  private String from;

  @Option(
      names = "--to",
      required = true,
      paramLabel = "RELEASE",
      description = "The kernel now, or the start of its release.")
  private String to;

  @Option(
      names = "--format",
      paramLabel = "text|json",
      description = "json: one object a change, one a line (default: text).")
  private CatalogueCommand.Format format = CatalogueCommand.Format.TEXT;

  @Override
  public Integer call() throws Exception {
    if (from.isEmpty() || to.isEmpty()) {
      throw new Failures.UsageException("--from and --to: a release, or the start of one");
    }
    if (!filter.kernel().isEmpty()) {
      throw new Failures.UsageException("--kernel: --from and --to say which kernels");
    }
    try (Catalogue catalogue = parent.open()) {
      Regressions regressions = Regressions.of(catalogue, filter.selection(), from, to);
      StringBuilder out = new StringBuilder();
      switch (format) {
        case TEXT -> out.append(CatalogueText.regressions(regressions));
        case JSON ->
            regressions.changes().forEach(change -> out.append(CatalogueJson.regression(change)));
      }
      Streams.write(spec, null, out.toString());
      return regressions.isWorse() ? WORSE : ExitCode.INTACT;
    } catch (SelectionException nothing) {
      throw new Failures.UsageException(nothing.getMessage());
    }
  }
}
