package org.vmcheck.cli;

import java.io.IOException;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.Selection;
import org.vmcheck.report.CatalogueJson;
import org.vmcheck.report.CatalogueText;
import picocli.CommandLine.Command;

/// Whether it gets worse.
@Command(
    name = "trend",
    description = {
      "Count crashes by week and kernel: their verdicts and causes.",
      "",
      "The 20 most frequent kernels are told apart, the others stand together."
    },
    mixinStandardHelpOptions = true)
final class TrendCommand extends CatalogueQuestion {
  @Override
  String text(Catalogue catalogue, Selection selection) throws IOException {
    return CatalogueText.trend(catalogue.trend(selection), catalogue.tally(selection));
  }

  @Override
  String json(Catalogue catalogue, Selection selection) throws IOException {
    StringBuilder out = new StringBuilder();
    catalogue.trend(selection).forEach(trend -> out.append(CatalogueJson.trend(trend)));
    return out.toString();
  }
}
