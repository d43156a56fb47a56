package org.vmcheck.cli;

import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.PageMap;
import org.vmcheck.report.MapSvg;
import org.vmcheck.report.MapText;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// The picture of memory.
@Command(
    name = "map",
    description =
        "Draw the low 1 MiB page by page, or all memory: use, bytes, and where something was"
            + " found.",
    mixinStandardHelpOptions = true)
final class MapCommand implements Callable<Integer> {
  /// Forms of the picture.
  enum Format {
    TEXT,
    SVG
  }

  @Spec private CommandSpec spec;
  @Mixin private OneDump dump;
  @Mixin private ColourOption colours;

  @Option(names = "--all", description = "All memory, several pages a cell.")
  private boolean all;

  @Option(
      names = "--format",
      paramLabel = "text|svg",
      description = "Form of the picture (default: svg for a file of that ending, else text).")
  private Format format;

  @Option(
      names = {"-o", "--output"},
      paramLabel = "FILE",
      description = "Write there instead.")
  private Path output;

  @Override
  public Integer call() throws Exception {
    Format form =
        format != null
            ? format
            : output != null && output.toString().endsWith(".svg") ? Format.SVG : Format.TEXT;
    Streams.requireOutput(output, dump.files());
    try (Analyzer analyzer = dump.open()) {
      PageMap map = analyzer.map(all);
      Path file = dump.path().getFileName();
      String name = file == null ? dump.path().toString() : file.toString();
      Streams.write(
          spec,
          output,
          switch (form) {
            case TEXT -> MapText.render(map, colours.isWanted(spec, output));
            case SVG ->
                MapSvg.render(
                    map, (all || !analyzer.hasLowMemory() ? "memory of " : "low 1 MiB of ") + name);
          });
      return DumpOptions.exitCode(spec, analyzer, ExitCode.INTACT);
    }
  }
}
