package org.vmcheck.cli;

import java.util.concurrent.Callable;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.HostHardware;
import org.vmcheck.report.HardwareText;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.Spec;

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
final class HardwareCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @ParentCommand private CatalogueCommand parent;
  @Mixin private CatalogueFilter filter;

  @Option(
      names = "--format",
      paramLabel = "text|json",
      description = "json: one object a host, one a line (default: text).")
  private CatalogueCommand.Format format = CatalogueCommand.Format.TEXT;

  @Override
  public Integer call() throws Exception {
    try (Catalogue catalogue = parent.open()) {
      HostHardware.Hosts hosts = HostHardware.of(catalogue, filter.selection());
      Streams.write(
          spec,
          null,
          switch (format) {
            case TEXT -> HardwareText.render(hosts);
            case JSON -> HardwareText.json(hosts);
          });
      return ExitCode.INTACT;
    }
  }
}
