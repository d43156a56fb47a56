package org.vmcheck.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.archive.BatchScanner;
import org.vmcheck.archive.Catalogue;
import org.vmcheck.archive.CatalogueException;
import org.vmcheck.archive.IncidentKey;
import org.vmcheck.archive.QueueScanner;
import org.vmcheck.archive.Shard;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.report.PrometheusReport;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/// An archive of crashes into a catalogue.
@Command(
    name = "scan",
    description = {
      "Check every dump in directory trees and keep the verdicts in a catalogue.",
      "",
      "What has not changed since the last scan is not checked again. The scan may be killed at any"
          + " moment and goes on where it was. Nothing is written into the trees, and links are not"
          + " followed."
    },
    mixinStandardHelpOptions = true)
final class ScanCommand implements Callable<Integer> {
  /// How progress is shown.
  enum Progress {
    AUTO,
    JSON,
    NONE
  }

  @Spec private CommandSpec spec;
  @Mixin private CatalogueOption catalogueOption;
  @Mixin private DumpOptions dumpOptions;

  @Parameters(paramLabel = "DIR", arity = "0..*", description = "Directories with dumps.")
  private List<Path> roots = List.of();

  @Option(
      names = "--files-from",
      paramLabel = "FILE",
      description =
          "Check the dumps and directories that this file names too, one a line or parted by NUL;"
              + " - is standard input.")
  private String filesFrom;

  @Option(
      names = "--enqueue",
      description =
          "Check nothing, but put what is new or changed into the catalogue's queue, for scans with"
              + " --claim.")
  private boolean enqueue;

  @Option(
      names = "--claim",
      description =
          "Check what is in the catalogue's queue until it is empty, beside any number of others"
              + " that do so, and take over from those that die. The origin is the queue's.")
  private boolean claim;

  @Option(
      names = "--origin",
      paramLabel = "NAME",
      description =
          "Whose file system this is, part of each incident's identity; one name for a tree that"
              + " several hosts share (default: this host's name).")
  private String origin;

  @Option(
      names = "--jobs",
      paramLabel = "N",
      description = "Dumps at a time, as far as memory allows (default: all cores).")
  private int jobs = Runtime.getRuntime().availableProcessors();

  @Option(
      names = "--shard",
      paramLabel = "i/n",
      converter = ShardConverter.class,
      description =
          "Only the i-th of n parts, for many machines; i counts from 0 or from 1 (n/n is 0/n).")
  private Shard shard = Shard.WHOLE;

  @Option(
      names = "--refresh",
      description = "Check again what another version of vmcheck has checked.")
  private boolean refresh;

  @Option(names = "--full", description = CheckCommand.FULL)
  private boolean full;

  @Option(names = "--deep", paramLabel = "auto|always|never", description = CheckCommand.DEEP)
  private AnalysisOptions.Deep deep = AnalysisOptions.Deep.AUTO;

  @Option(
      names = "--deadline",
      paramLabel = "TIME",
      converter = CheckCommand.DurationConverter.class,
      description =
          "Stop looking at a dump after this time, for example 30m (default: 10m); its verdict says"
              + " what was not looked at.")
  private Duration deadline = Duration.ofMinutes(10);

  @Option(
      names = "--progress",
      paramLabel = "auto|json|none",
      description =
          "auto: a bar on a terminal, else a line an incident; json: JSON Lines; none: only the"
              + " summary (default: auto).")
  private Progress progress = Progress.AUTO;

  @Option(
      names = "--metrics",
      paramLabel = "FILE",
      description =
          "Write gauges of the whole catalogue for Prometheus' node exporter; a file that is there"
              + " keeps its permissions.")
  private Path metrics;

  @Option(
      names = "--notify",
      paramLabel = "COMMAND",
      description =
          "Run this for each new verdict that --notify-on names, with the incident as JSON on its"
              + " standard input; it has 30 s. Words are parted by blanks, quotes keep them"
              + " together; no shell reads them unless it is the command: \"sh -c '...'\". What it"
              + " prints goes to standard error.")
  private String notify;

  @Option(
      names = "--notify-on",
      paramLabel = "VERDICT",
      split = ",",
      description = "New verdicts to tell, with commas between (default: kernel-damaged).")
  private List<String> notifyOn = List.of("kernel-damaged");

  /// Picocli's hook for shards.
  static final class ShardConverter implements ITypeConverter<Shard> {
    private static final Pattern FORM = Pattern.compile("(\\d{1,6})/(\\d{1,6})");

    @Override
    public Shard convert(String value) {
      Matcher matcher = FORM.matcher(value);
      if (matcher.matches()) {
        int index = Integer.parseInt(matcher.group(1));
        int count = Integer.parseInt(matcher.group(2));
        if (count > 0 && index <= count) {
          return new Shard(index % count, count);
        }
      }
      throw new TypeConversionException(
          "expected i/n with i up to n, for example 1/4, got " + value);
    }
  }

  @Override
  public Integer call() throws Exception {
    if (jobs < 1 || jobs > 1024) {
      throw new Failures.UsageException("--jobs: expected 1 to 1024, got " + jobs);
    }
    requireOneSource();
    NamedFiles named = filesFrom == null ? NamedFiles.NONE : NamedFiles.read(filesFrom);
    List<Path> directories = new ArrayList<>(roots);
    directories.addAll(named.directories());
    for (Path root : directories) {
      if (!Files.exists(root)) {
        throw new java.nio.file.NoSuchFileException(root.toString());
      }
    }
    if (origin != null && !IncidentKey.isOrigin(origin)) {
      throw new Failures.UsageException(
          "--origin: expected printable characters without blanks, got '" + origin + "'");
    }
    String name = origin == null ? IncidentKey.hostName() : origin;
    catalogueOption.makeDirectory();
    ScanProgress shown =
        new ScanProgress(style(), spec.commandLine().getOut(), spec.commandLine().getErr());
    if (notify != null) {
      for (String verdict : notifyOn) {
        CatalogueFilter.requireVerdict("--notify-on", verdict);
      }
      shown.notify(new Notifier(Notifier.words(notify), Set.copyOf(notifyOn), shown));
    }
    try (Catalogue catalogue = catalogueOption.write()) {
      BatchScanner.Options options =
          new BatchScanner.Options(
              directories,
              named.files(),
              name,
              jobs,
              dumpOptions.analysis(List.of(), full, Optional.of(deadline)).withDeep(deep),
              shard,
              refresh,
              Version.text());
      BatchScanner.Summary summary;
      if (claim) {
        summary = QueueScanner.scan(catalogue, options, shown);
      } else if (enqueue) {
        summary = BatchScanner.enqueue(catalogue, options, shown);
      } else {
        summary = BatchScanner.scan(catalogue, options, shown);
      }
      shown.finished(summary);
      if (metrics != null) {
        Streams.replace(
            metrics, PrometheusReport.render(catalogue, Instant.now().getEpochSecond()));
      }
      int code = exitCode(summary);
      return shown.anyUntold() ? ExitCode.worse(code, ExitCode.IO) : code;
    } catch (MalformedFileException | CatalogueException unusable) {
      // 3 would say that an incident cannot be read; nothing was scanned.
      throw new IOException(unusable.getMessage(), unusable);
    }
  }

  private void requireOneSource() throws Failures.UsageException {
    if (claim && (enqueue || origin != null || filesFrom != null || !roots.isEmpty())) {
      throw new Failures.UsageException(
          "--claim: the queue says what to check, so no DIR, --files-from, --origin or --enqueue");
    }
    if (claim && !shard.equals(Shard.WHOLE)) {
      throw new Failures.UsageException("--claim shares the work by itself, without --shard");
    }
    if (!claim && roots.isEmpty() && filesFrom == null) {
      throw new Failures.UsageException("expected DIR, --files-from FILE or --claim");
    }
  }

  private ScanProgress.Style style() {
    return switch (progress) {
      case JSON -> ScanProgress.Style.JSON;
      case NONE -> ScanProgress.Style.NONE;
      case AUTO -> Streams.isTerminal() ? ScanProgress.Style.BAR : ScanProgress.Style.LINES;
    };
  }

  /// The worst of all incidents found, judged now or before, and of what could not be looked at.
  private static int exitCode(BatchScanner.Summary summary) {
    Map<String, Integer> codes =
        Map.of(
            "kernel-damaged",
            ExitCode.KERNEL_DAMAGED,
            "dump-damaged",
            ExitCode.DUMP_DAMAGED,
            "undetermined",
            ExitCode.UNDETERMINED,
            "intact",
            ExitCode.INTACT,
            "unreadable",
            ExitCode.UNREADABLE);
    int code =
        summary.bugs() > 0
            ? ExitCode.BUG
            : summary.problems() > 0 || summary.ioTroubles() > 0 ? ExitCode.IO : ExitCode.INTACT;
    for (String verdict : summary.verdicts().keySet()) {
      code = ExitCode.worse(code, codes.getOrDefault(verdict, ExitCode.BUG));
    }
    return code;
  }
}
