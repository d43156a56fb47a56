package org.vmcheck.cli;

import java.io.IOException;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.HostHardware;
import org.vmcheck.archive.Selection;
import org.vmcheck.report.HardwareText;
import picocli.CommandLine.Command;

/// Whether a host's memory is bad.
@Command(
    name = "hardware",
    description = {
      "Say of each host, over all its dumps, whether hardware or software is to blame.",
      "",
      "The bits that are flipped, their lanes of 64 and 32 bits, direction and place in physical"
          + " memory, what the logs have of EDAC, APEI and machine checks, and pages that were"
          + " given up. Each claim has its count and how likely chance is; from one finding alone"
          + " nothing is claimed. Hosts with neither damage nor such lines are only counted."
    },
    mixinStandardHelpOptions = true)
final class HardwareCommand extends CatalogueQuestion {
  @Override
  String text(Catalogue catalogue, Selection selection) throws IOException {
    return HardwareText.render(HostHardware.of(catalogue, selection));
  }

  @Override
  String json(Catalogue catalogue, Selection selection) throws IOException {
    return HardwareText.json(HostHardware.of(catalogue, selection));
  }
}
