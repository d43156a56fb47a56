package org.vmcheck.cli;

import java.util.List;
import java.util.concurrent.Callable;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.Selection;
import org.vmcheck.archive.Trend;
import org.vmcheck.report.CatalogueJson;
import org.vmcheck.report.CatalogueText;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.Spec;

/// Whether it gets worse.
@Command(
    name = "trend",
    description = {
      "Count crashes by week and kernel: their verdicts and causes.",
      "",
      "The 20 most frequent kernels are told apart, the others stand together."
    },
    mixinStandardHelpOptions = true)
final class TrendCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @ParentCommand private CatalogueCommand parent;
  @Mixin private CatalogueFilter filter;

  @Option(
      names = "--format",
      paramLabel = "text|json",
      description = "json: one object a week and kernel, one a line (default: text).")
  private CatalogueCommand.Format format = CatalogueCommand.Format.TEXT;

  @Override
  public Integer call() throws Exception {
    try (Catalogue catalogue = parent.open()) {
      Selection selection = filter.selection();
      List<Trend> trends = catalogue.trend(selection);
      StringBuilder out = new StringBuilder();
      switch (format) {
        case TEXT -> out.append(CatalogueText.trend(trends, catalogue.tally(selection)));
        case JSON -> trends.forEach(trend -> out.append(CatalogueJson.trend(trend)));
      }
      Streams.write(spec, null, out.toString());
      return ExitCode.INTACT;
    }
  }
}
