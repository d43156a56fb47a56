package org.vmcheck.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.io.Printable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/// Options that every command on a dump has.
class DumpOptions {
  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads to use (default: all cores).")
  int threads = Runtime.getRuntime().availableProcessors();

  @Option(
      names = "--vmlinux",
      paramLabel = "FILE",
      description = "Take symbols and types from this vmlinux or vmlinuz where the dump has none.")
  Path vmlinux;

  @Option(
      names = "--debug-dir",
      paramLabel = "DIR",
      description = "Look for debug files here first; may be given several times.")
  List<Path> debugDirectories = List.of();

  @Option(
      names = "--force",
      description = "Use the vmlinux even if it is of another kernel; the verdict says so.")
  boolean force;

  @Option(
      names = "--spool-dir",
      paramLabel = "DIR",
      description = "Where packed dumps are unpacked (default: the system's temporary directory).")
  Path spoolDirectory;

  @Option(
      names = "--spool-limit",
      paramLabel = "GIB",
      description = "The most that one dump may unpack to (default: 64).")
  int spoolLimit = 64;

  @Option(
      names = "--raw",
      description =
          "The file is flat memory from physical address 0, without a header: a hypervisor's"
              + " snapshot.")
  boolean raw;

  @Option(
      names = "--kernel",
      paramLabel = "N",
      description =
          "Which kernel to look at where several lie in the memory; info lists them (default: the"
              + " crashed one).")
  int kernel;

  /// Parts of a split dump besides the one that the command took as its dump, by that one.
  private Map<Path, List<Path>> parts = Map.of();

  private final UnpackingProgress unpacking = new UnpackingProgress();

  /// What `--unmask` says.
  static final String UNMASK =
      "Read pages of the low 640 KiB that lie under an encryption mask through it, where it was"
          + " recovered; bytes that are only guessed stand behind a question mark.";

  /// What is said beside bytes of which some are guessed.
  static final String GUESSED =
      "bytes behind a question mark are a guess: no free pointer lies over that half of the mask";

  /// Reads through recovered masks, or says that there are none.
  static void unmask(CommandSpec spec, Analyzer analyzer) {
    if (analyzer.unmask() == 0) {
      spec.commandLine().getErr().println("vmcheck: no page lies under a mask that is recovered");
    }
  }

  /// The options without which another command would read the dump otherwise.
  List<String> repeated() {
    List<String> words = new ArrayList<>();
    if (vmlinux != null) {
      words.add("--vmlinux=" + vmlinux);
    }
    debugDirectories.forEach(directory -> words.add("--debug-dir=" + directory));
    if (force) {
      words.add("--force");
    }
    if (raw) {
      words.add("--raw");
    }
    if (kernel > 0) {
      words.add("--kernel=" + kernel);
    }
    return words;
  }

  /// Told what [SplitArguments] took off the command line.
  void setParts(Map<Path, List<Path>> given) {
    parts = Map.copyOf(given);
  }

  /// The files of a dump that a command knows by one of them.
  List<Path> files(Path dump) {
    return parts.getOrDefault(dump, List.of(dump));
  }

  Analyzer open(Path dump) throws IOException, Failures.UsageException {
    List<Path> files = files(dump);
    requireFiles(files);
    try {
      return withKernel(Analyzer.open(files, analysis(List.of(), false, Optional.empty())));
    } finally {
      unpacking.clear();
    }
  }

  Analyzer openForCheck(
      List<Path> parts,
      List<String> only,
      boolean full,
      AnalysisOptions.Deep deep,
      Optional<Duration> deadline)
      throws IOException, Failures.UsageException {
    requireFiles(parts);
    try {
      return withKernel(
          Analyzer.openForCheck(parts, analysis(only, full, deadline).withDeep(deep)));
    } finally {
      unpacking.clear();
    }
  }

  /// Refuses a number that no kernel has.
  private Analyzer withKernel(Analyzer analyzer) throws Failures.UsageException {
    int count = analyzer.kernels().size();
    if (kernel < 0 || (count > 0 && kernel > count)) {
      analyzer.close();
      throw new Failures.UsageException(
          "--kernel %d: the dump holds %d, see vmcheck info".formatted(kernel, count));
    }
    return analyzer;
  }

  private static void requireFiles(List<Path> parts) throws Failures.UsageException {
    for (Path part : parts) {
      if (Files.isDirectory(part)) {
        throw new Failures.UsageException(
            part + ": is a directory; give the dump in it, or use 'vmcheck scan'");
      }
    }
  }

  /// The exit code of a command that has read the dump: its own, unless the system could not
  /// deliver all that was asked for, which is said. So is which pages were met that do not decode.
  static int exitCode(CommandSpec spec, Analyzer analyzer, int code) {
    List<String> failures = analyzer.readFailures();
    for (String failure : failures) {
      spec.commandLine().getErr().println("vmcheck: " + Printable.of(failure));
    }
    for (String damage : analyzer.damagedPages()) {
      spec.commandLine().getErr().println("vmcheck: " + Printable.of(damage));
    }
    return failures.isEmpty() ? code : ExitCode.worse(code, ExitCode.IO);
  }

  /// Takes the line of progress off the terminal, before an answer is printed.
  void clearProgress() {
    unpacking.clear();
  }

  AnalysisOptions analysis(List<String> only, boolean full, Optional<Duration> deadline)
      throws Failures.UsageException {
    if (threads < 1 || threads > 1024) {
      throw new Failures.UsageException("--threads: expected 1 to 1024, got " + threads);
    }
    if (spoolLimit < 1) {
      throw new Failures.UsageException("--spool-limit: expected 1 or more, got " + spoolLimit);
    }
    return new AnalysisOptions(
        only,
        full,
        deadline,
        threads,
        new AnalysisOptions.Debug(Optional.ofNullable(vmlinux), debugDirectories, force),
        new AnalysisOptions.Spool(
            Optional.ofNullable(spoolDirectory), (long) spoolLimit << 30, unpacking),
        new AnalysisOptions.Reading(raw, kernel),
        AnalysisOptions.Deep.AUTO);
  }

  /// Reads `30s`, `5m`, `500ms` or a bare number of seconds.
  static Duration duration(String text) {
    String lower = text.toLowerCase(Locale.ROOT);
    if (!lower.matches("[0-9]*[1-9][0-9]*(ms|s|m|h)?")) {
      throw new TypeConversionException("expected a duration such as 30s or 5m, got " + text);
    }
    try {
      if (lower.endsWith("ms")) {
        return Duration.ofMillis(Long.parseLong(lower.substring(0, lower.length() - 2)));
      }
      long factor = lower.endsWith("h") ? 3600 : lower.endsWith("m") ? 60 : 1;
      String digits = lower.replaceFirst("[smh]$", "");
      return Duration.ofSeconds(Math.multiplyExact(Long.parseLong(digits), factor));
    } catch (NumberFormatException | ArithmeticException _) {
      throw new TypeConversionException("expected a duration such as 30s or 5m, got " + text);
    }
  }
}
