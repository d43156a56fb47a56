package org.vmcheck.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.archive.CrashGroup;
import org.vmcheck.archive.IncidentKey;
import org.vmcheck.archive.Selection;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.report.CatalogueJson;
import org.vmcheck.report.CatalogueText;
import org.vmcheck.report.HtmlCatalogue;
import org.vmcheck.report.HtmlSite;
import org.vmcheck.report.PrometheusReport;
import org.vmcheck.report.TextReport;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.Spec;

/// Questions to a catalogue.
@Command(
    name = "catalogue",
    description = "Ask and keep the catalogue that 'vmcheck scan' fills.",
    subcommands = {
      CatalogueCommand.ListCommand.class,
      CatalogueCommand.ShowCommand.class,
      CatalogueCommand.GroupsCommand.class,
      TrendCommand.class,
      RegressionsCommand.class,
      HardwareCommand.class,
      CatalogueCommand.ExportCommand.class,
      CatalogueCommand.MergeCommand.class,
      CatalogueCommand.PruneCommand.class
    },
    mixinStandardHelpOptions = true)
final class CatalogueCommand implements Runnable {
  @Spec private CommandSpec spec;
  @Mixin private CatalogueOption option;

  /// The catalogue, for reading.
  Catalogue open() throws IOException {
    return option.read();
  }

  @Override
  public void run() {
    throw new ParameterException(
        spec.commandLine(),
        "list, show, groups, trend, regressions, hardware, export, merge or prune?");
  }

  /// Forms of an answer.
  enum Format {
    TEXT,
    JSON
  }

  /// One line an incident.
  @Command(name = "list", description = "List incidents.", mixinStandardHelpOptions = true)
  static final class ListCommand implements Callable<Integer> {
    @Spec private CommandSpec spec;
    @ParentCommand private CatalogueCommand parent;
    @Mixin private CatalogueFilter filter;

    @Option(
        names = "--format",
        paramLabel = "text|json",
        description = "json: one object an incident, one a line (default: text).")
    private Format format = Format.TEXT;

    @Override
    public Integer call() throws Exception {
      try (Catalogue catalogue = parent.open()) {
        Selection selection = filter.selection();
        Streams.stream(
            spec,
            null,
            out -> {
              switch (format) {
                case TEXT -> {
                  out.print(CatalogueText.listHead());
                  catalogue.forEachLine(selection, line -> out.print(CatalogueText.line(line)));
                }
                case JSON -> json(catalogue, selection, out);
              }
            });
        return ExitCode.INTACT;
      }
    }
  }

  private static void json(Catalogue catalogue, Selection selection, PrintWriter out)
      throws IOException {
    catalogue.forEach(selection, entry -> out.print(CatalogueJson.incident(entry)));
  }

  /// One incident.
  @Command(
      name = "show",
      description = "Show one incident with its report.",
      mixinStandardHelpOptions = true)
  static final class ShowCommand implements Callable<Integer> {
    @Spec private CommandSpec spec;
    @ParentCommand private CatalogueCommand parent;

    @Parameters(
        paramLabel = "ID",
        description = "Its id or the start of it, or the path of its dump or the end of one.")
    private String words;

    @Option(
        names = "--format",
        paramLabel = "text|json",
        description = "json: the incident and its report, one a line (default: text).")
    private Format format = Format.TEXT;

    @Override
    public Integer call() throws Exception {
      try (Catalogue catalogue = parent.open()) {
        List<CatalogueEntry> found = catalogue.find(words);
        if (found.isEmpty()) {
          throw new Failures.UsageException("no incident is called " + words);
        }
        if (found.size() > 1) {
          throw new Failures.UsageException(
              words + " is ambiguous: " + found.get(0).id() + ", " + found.get(1).id() + " ...");
        }
        CatalogueEntry entry = found.getFirst();
        Optional<DumpReport> report = catalogue.report(entry);
        StringBuilder out = new StringBuilder();
        switch (format) {
          case TEXT -> {
            out.append(CatalogueText.show(entry));
            report.ifPresent(r -> out.append('\n').append(TextReport.render(r, false, true)));
          }
          case JSON -> {
            out.append(CatalogueJson.incident(entry));
            report.ifPresent(r -> out.append(org.vmcheck.json.ReportWriter.line(r)).append('\n'));
          }
        }
        Streams.write(spec, null, out.toString());
        return ExitCode.INTACT;
      }
    }
  }

  /// What is the same.
  @Command(
      name = "groups",
      description = "Group incidents: which are the same crash, which kernels suffer it.",
      mixinStandardHelpOptions = true)
  static final class GroupsCommand extends CatalogueQuestion {
    @Option(
        names = "--by",
        paramLabel = "panic|damage|kernel|host|verdict|cause",
        description = "What they share (default: panic).")
    private CrashGroup.By by = CrashGroup.By.PANIC;

    @Option(
        names = "--top",
        paramLabel = "N",
        description = "Only the N largest groups (default: 100).")
    private int top = 100;

    @Override
    String text(Catalogue catalogue, Selection selection) throws IOException {
      return CatalogueText.groups(catalogue.groups(selection, by, top), catalogue.tally(selection));
    }

    @Override
    String json(Catalogue catalogue, Selection selection) throws IOException {
      StringBuilder out = new StringBuilder();
      catalogue
          .groups(selection, by, top)
          .groups()
          .forEach(group -> out.append(CatalogueJson.group(group)));
      return out.toString();
    }
  }

  /// The catalogue for other programs.
  @Command(
      name = "export",
      description = {
        "Write incidents as CSV, JSON Lines, HTML or Prometheus gauges, or as a site to read.",
        "",
        "site: a directory of HTML files that needs no server: an index that filters and sorts, and"
            + " the report of each incident. The first export makes them readable by their owner"
            + " only; a later one over it keeps the permissions of its index.html."
      },
      mixinStandardHelpOptions = true)
  static final class ExportCommand implements Callable<Integer> {
    /// Forms of the export.
    enum Form {
      CSV,
      JSON,
      HTML,
      PROMETHEUS,
      SITE
    }

    @Spec private CommandSpec spec;
    @ParentCommand private CatalogueCommand parent;
    @Mixin private CatalogueFilter filter;

    @Option(
        names = "--format",
        paramLabel = "csv|json|html|prometheus|site",
        description = "Form of the export (default: csv).")
    private Form format = Form.CSV;

    @Option(
        names = {"-o", "--output"},
        paramLabel = "FILE|DIR",
        description =
            "Write it here, readable by its owner only; of a site, the directory: a new or empty"
                + " one, or that of an earlier export, of which nothing stays.")
    private Path output;

    @Override
    public Integer call() throws Exception {
      try (Catalogue catalogue = parent.open()) {
        Selection selection = filter.selection();
        if (format == Form.PROMETHEUS && !selection.equals(Selection.ALL)) {
          throw new Failures.UsageException(
              "--format prometheus: the gauges are of the whole catalogue");
        }
        if (format == Form.SITE) {
          site(catalogue, selection);
        } else {
          Streams.stream(spec, output, out -> write(catalogue, selection, out));
        }
        return ExitCode.INTACT;
      }
    }

    private void site(Catalogue catalogue, Selection selection) throws Exception {
      if (output == null) {
        throw new Failures.UsageException("--format site: say where, with -o DIR");
      }
      SiteDirectory site = SiteDirectory.open(output);
      HtmlSite.write(catalogue, selection, site);
      site.finish();
    }

    private void write(Catalogue catalogue, Selection selection, PrintWriter out)
        throws IOException {
      switch (format) {
        case CSV -> {
          out.print(CatalogueText.csvHead());
          catalogue.forEach(selection, entry -> out.print(CatalogueText.csv(entry)));
        }
        case JSON -> json(catalogue, selection, out);
        case HTML -> out.print(HtmlCatalogue.render(catalogue, selection));
        case PROMETHEUS ->
            out.print(PrometheusReport.render(catalogue, Instant.now().getEpochSecond()));
        case SITE -> throw new IllegalStateException("a site is no stream");
      }
    }
  }

  /// Shards into one.
  @Command(
      name = "merge",
      description = "Take over the incidents of other catalogues; the later judgement stays.",
      mixinStandardHelpOptions = true)
  static final class MergeCommand implements Callable<Integer> {
    @Spec private CommandSpec spec;
    @ParentCommand private CatalogueCommand parent;

    @Parameters(paramLabel = "FILE|URL", arity = "1..*", description = "Other catalogues.")
    private List<String> files;

    @Override
    public Integer call() throws Exception {
      List<Catalogue> others = new ArrayList<>();
      try {
        // All are opened first: one that cannot be read stops the merge before it changes anything.
        for (String file : files) {
          others.add(Catalogue.read(file));
        }
        parent.option.makeDirectory();
        int taken = 0;
        try (Catalogue catalogue = parent.option.write()) {
          for (Catalogue other : others) {
            taken += catalogue.merge(other);
          }
        }
        Streams.write(
            spec,
            null,
            "%s taken from %s%n"
                .formatted(Counted.of(taken, "incidents"), Counted.of(files.size(), "catalogues")));
        return ExitCode.INTACT;
      } finally {
        for (Catalogue other : others) {
          other.close();
        }
      }
    }
  }

  /// What is gone, out of the catalogue.
  @Command(
      name = "prune",
      description = "Forget incidents; the dumps are not touched.",
      mixinStandardHelpOptions = true)
  static final class PruneCommand implements Callable<Integer> {
    @Spec private CommandSpec spec;
    @ParentCommand private CatalogueCommand parent;

    @Option(names = "--vanished", description = "Those that the last scan no longer found.")
    private boolean vanished;

    @Option(
        names = "--before",
        paramLabel = "DATE",
        converter = Moment.Converter.class,
        description = "Those that crashed before this day or time.")
    private Moment before;

    @Option(names = "--dry-run", description = "Only list them.")
    private boolean dryRun;

    @Override
    public Integer call() throws Exception {
      if (!vanished && before == null) {
        throw new Failures.UsageException("say which: --vanished, --before DATE, or both");
      }
      try (Catalogue catalogue = dryRun ? parent.open() : existing()) {
        List<IncidentKey> doomed = new ArrayList<>();
        PrintWriter out = spec.commandLine().getOut();
        if (dryRun) {
          out.print(CatalogueText.listHead());
        }
        catalogue.forEachLine(
            Selection.ALL,
            line -> {
              boolean old =
                  before == null
                      || (line.crashTime() > 0
                          && line.crashTime() < before.first().getEpochSecond());
              if (old && (!vanished || line.vanished())) {
                doomed.add(line.key());
                if (dryRun) {
                  out.print(CatalogueText.line(line));
                }
              }
            });
        if (!dryRun) {
          catalogue.remove(doomed);
        }
        out.printf(
            "%s %s%n",
            Counted.of(doomed.size(), "incidents"), dryRun ? "would be forgotten" : "forgotten");
        return ExitCode.INTACT;
      }
    }

    /// Pruning makes no catalogue.
    private Catalogue existing() throws IOException {
      parent.open().close();
      return parent.option.write();
    }
  }
}
