package org.vmcheck.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Doctor;
import org.vmcheck.finding.DoctorReport;
import org.vmcheck.io.Printable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// What this machine has for vmcheck.
@Command(
    name = "doctor",
    description = {
      "Look at this machine: Java, memory, codecs, debug directories, spool, catalogue.",
      "",
      "Nothing is written. Exit code 6 if something fails that every command needs."
    },
    mixinStandardHelpOptions = true)
final class DoctorCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private CatalogueOption catalogueOption;

  @Option(
      names = "--debug-dir",
      paramLabel = "DIR",
      description = "Look for debug files here first; may be given several times.")
  private List<Path> debugDirectories = List.of();

  @Option(
      names = "--spool-dir",
      paramLabel = "DIR",
      description = "Where packed dumps are unpacked (default: the system's temporary directory).")
  private Path spoolDirectory = Path.of(System.getProperty("java.io.tmpdir"));

  @Override
  public Integer call() throws Exception {
    DoctorReport report =
        Doctor.examine(Main.OLDEST, debugDirectories, spoolDirectory, catalogueOption.file());
    StringBuilder out = new StringBuilder();
    for (DoctorReport.Item item : report.items()) {
      String state =
          switch (item.state()) {
            case OK -> "ok";
            case LACKING -> "lacking";
            case FAILED -> "FAILED";
          };
      out.append("%-7s  %-12s  %s%n".formatted(state, item.topic(), Printable.of(item.text())));
    }
    if (catalogueOption.file().isEmpty()) {
      out.append(server());
    }
    out.append(report.isFit() ? "vmcheck can run here\n" : "vmcheck CANNOT be trusted here\n");
    Streams.write(spec, null, out.toString());
    return report.isFit() ? ExitCode.INTACT : ExitCode.IO;
  }

  /// Whether the catalogue's server answers, and has one.
  private String server() {
    String state = "ok";
    String text = "there";
    try {
      catalogueOption.read().close();
    } catch (IOException failure) {
      state = "lacking";
      text = Failures.message(failure);
    }
    return "%-7s  %-12s  %s%n".formatted(state, "catalogue", Printable.of(text));
  }
}
