package org.vmcheck.cli;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.analysis.StoppedAnalysis;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.PageMap;
import org.vmcheck.finding.Verdict;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.CancelledException;
import org.vmcheck.io.Printable;
import org.vmcheck.report.InTime;
import org.vmcheck.report.ReportForm;
import org.vmcheck.report.Unopened;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// The main job: a verdict with evidence.
@Command(
    name = "check",
    description = "Check dumps and give a verdict with its evidence.",
    mixinStandardHelpOptions = true)
final class CheckCommand implements Callable<Integer> {
  /// Verdicts that make the exit code other than 0.
  enum FailOn {
    ANY,
    KERNEL_DAMAGED,
    DUMP_DAMAGED,
    UNDETERMINED
  }

  @Spec private CommandSpec spec;
  @Mixin private DumpOptions dumpOptions;
  @Mixin private ColourOption colours;

  @Parameters(paramLabel = "DUMP", arity = "1..*", description = "Crash dumps.")
  private List<Path> dumps;

  @Option(
      names = "--format",
      paramLabel = "text|json|html|sarif|junit",
      description = "Form of the report (default: text).")
  private ReportForm format = ReportForm.TEXT;

  @Option(
      names = {"-o", "--output"},
      paramLabel = "FILE",
      description = "Write the report here, readable by its owner only.")
  private Path output;

  @Option(
      names = "--only",
      paramLabel = "ID",
      split = ",",
      description = "Run these checks only (see 'vmcheck explain').")
  private List<String> only = List.of();

  /// What `--full` says.
  static final String FULL =
      "Decode every stored page, however many there are; without it every page of a dump of up to"
          + " 1,000,000 stored pages, and an even sample of 200,000 of a larger one.";

  @Option(names = "--full", description = FULL)
  private boolean full;

  /// What `--deep` says.
  static final String DEEP =
      "Checks that go through much memory (page tables, stacks, lists, objects, text): those whose"
          + " estimated work is under five seconds, all, or none (default: auto).";

  @Option(names = "--deep", paramLabel = "auto|always|never", description = DEEP)
  private AnalysisOptions.Deep deep = AnalysisOptions.Deep.AUTO;

  @Option(
      names = "--fail-on",
      paramLabel = "any|kernel-damaged|dump-damaged|undetermined",
      split = ",",
      converter = FailOnConverter.class,
      description = "Verdicts that give their exit code; the others give 0 (default: any).")
  private List<FailOn> failOn = List.of(FailOn.ANY);

  @Option(
      names = "--deadline",
      paramLabel = "TIME",
      converter = DurationConverter.class,
      description = "Stop after this time, for example 30s, and say what was not looked at.")
  private Duration deadline;

  @Option(
      names = {"-v", "--verbose"},
      description = "All findings and the facts of each check.")
  private boolean verbose;

  @Option(
      names = {"-q", "--quiet"},
      description = "The verdict's line only.")
  private boolean quiet;

  /// The picture of the one dump of an HTML report.
  private PageMap map;

  /// Picocli's hook for durations.
  static final class DurationConverter implements picocli.CommandLine.ITypeConverter<Duration> {
    @Override
    public Duration convert(String value) {
      return DumpOptions.duration(value);
    }
  }

  /// Picocli's hook for words with hyphens.
  static final class FailOnConverter implements picocli.CommandLine.ITypeConverter<FailOn> {
    @Override
    public FailOn convert(String value) {
      for (FailOn candidate : FailOn.values()) {
        if (candidate.name().replace('_', '-').equalsIgnoreCase(value)) {
          return candidate;
        }
      }
      throw new picocli.CommandLine.TypeConversionException(
          "expected any, kernel-damaged, dump-damaged or undetermined, got " + value);
    }
  }

  @Override
  public Integer call() throws Exception {
    ExplainCommand.requireKnownChecks(only);
    if (format == ReportForm.HTML && dumps.size() > 1) {
      throw new Failures.UsageException(
          "--format html: one dump a page; for many, use 'vmcheck scan' and 'vmcheck catalogue"
              + " export --format html'");
    }
    Streams.requireOutput(output, dumps);
    StringBuilder text = new StringBuilder();
    boolean inOneDocument = format.isOneDocument();
    List<DumpReport> together = new ArrayList<>();
    List<Unopened> unopened = new ArrayList<>();
    int code = ExitCode.INTACT;
    List<List<Path>> groups = Analyzer.group(dumps);
    for (List<Path> dump : groups) {
      try {
        DumpReport report;
        String written = "";
        long start = System.nanoTime();
        Cancellation token = Cancellation.after(Optional.ofNullable(deadline));
        try (Analyzer analyzer =
            token.run(
                () ->
                    dumpOptions.openForCheck(
                        dump, only, full, deep, Optional.ofNullable(deadline)))) {
          report = analyzer.check(Version.text());
          if (format == ReportForm.HTML) {
            map = analyzer.lowMapInTime().orElse(null);
          }
          if (!inOneDocument) {
            DumpReport whole = report;
            written = token.run(() -> InTime.render(whole, all -> render(all, dump)));
          }
          code =
              ExitCode.worse(
                  code, DumpOptions.exitCode(spec, analyzer, exitCode(report.verdict())));
        } catch (CancelledException over) {
          spec.commandLine()
              .getErr()
              .println("vmcheck: " + Printable.of(dump.getFirst() + ": ") + Failures.message(over));
          double seconds = (System.nanoTime() - start) / 1e9;
          report = StoppedAnalysis.report(dump, only, over.getMessage(), Version.text(), seconds);
          written = inOneDocument ? "" : render(report, dump);
          code = ExitCode.worse(code, exitCode(report.verdict()));
        } catch (OutOfMemoryError _) {
          throw new Failures.OutOfMemory(dump.getFirst());
        }
        text.append(written);
        if (inOneDocument) {
          together.add(report);
        }
      } catch (Exception failure) {
        if ((groups.size() == 1 && !inOneDocument) || failure instanceof Failures.UsageException) {
          throw failure;
        }
        spec.commandLine().getErr().println("vmcheck: " + Failures.message(failure));
        if (Failures.exitCode(failure) == ExitCode.BUG) {
          failure.printStackTrace(spec.commandLine().getErr());
        }
        unopened.add(new Unopened(dump.getFirst().toString(), Failures.message(failure)));
        code = ExitCode.worse(code, Failures.exitCode(failure));
      }
      if (output == null) {
        Streams.write(spec, null, text.toString());
        text.setLength(0);
      }
    }
    if (inOneDocument) {
      // Written at the end, with as much time as each dump had.
      text.append(
          Cancellation.after(Optional.ofNullable(deadline))
              .run(() -> InTime.render(together, all -> format.document(all, unopened))));
      if (output == null) {
        Streams.write(spec, null, text.toString());
      }
    }
    if (output != null && !text.isEmpty()) {
      Streams.write(spec, output, text.toString());
    }
    return code;
  }

  private String render(DumpReport report, List<Path> dump) {
    List<String> given = new ArrayList<>();
    dump.forEach(file -> given.add(file.toString()));
    given.addAll(dumpOptions.repeated());
    ReportForm.Detail detail =
        quiet
            ? ReportForm.Detail.QUIET
            : verbose ? ReportForm.Detail.VERBOSE : ReportForm.Detail.NORMAL;
    return format.render(
        report,
        new ReportForm.Wishes(
            detail,
            colours.isWanted(spec, output),
            dumps.size() == 1,
            given,
            Optional.ofNullable(map)));
  }

  private int exitCode(Verdict verdict) {
    boolean counts =
        failOn.contains(FailOn.ANY)
            || switch (verdict) {
              case Verdict.Intact _ -> true;
              case Verdict.KernelDamaged _ -> failOn.contains(FailOn.KERNEL_DAMAGED);
              case Verdict.DumpDamaged _ -> failOn.contains(FailOn.DUMP_DAMAGED);
              case Verdict.Undetermined _ -> failOn.contains(FailOn.UNDETERMINED);
            };
    return counts ? ExitCode.of(verdict) : ExitCode.INTACT;
  }
}
