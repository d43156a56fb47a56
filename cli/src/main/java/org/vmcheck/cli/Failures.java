package org.vmcheck.cli;

import static java.util.Locale.ROOT;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.analysis.UnansweredException;
import org.vmcheck.archive.CatalogueException;
import org.vmcheck.io.CancelledException;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.MappedFile;
import org.vmcheck.io.Printable;
import org.vmcheck.io.UnsupportedFormatException;
import picocli.CommandLine;

/// Turns exceptions into one clear line and the right exit code: no user ever sees a stack trace of
/// bad input.
final class Failures {
  private static final Pattern VALUES =
      Pattern.compile("(expected one of \\[[^]]*]) \\(case-insensitive\\)");

  private static final Pattern INVALID =
      Pattern.compile(
          "^Invalid value for (?:positional parameter at index \\S+ \\(([^)]+)\\)|option"
              + " '([^']+)'): ");

  private Failures() {}

  static int handle(Exception failure, CommandLine line, CommandLine.ParseResult result) {
    line.getErr().println("vmcheck: " + message(failure));
    if (exitCode(failure) == ExitCode.BUG) {
      failure.printStackTrace(line.getErr());
    }
    return exitCode(failure);
  }

  /// What no command can go on after.
  static int handle(Error error, PrintWriter err) {
    return switch (error) {
      case OutOfMemoryError _ -> {
        err.println("vmcheck: " + OutOfMemory.WORDS);
        yield ExitCode.IO;
      }
      case InternalError lost when MappedFile.isLostMap(lost) -> {
        err.println("vmcheck: the dump's file shrank or its device failed while it was read");
        yield ExitCode.IO;
      }
      default -> {
        err.println("vmcheck: a bug of vmcheck, please report it: " + Printable.of("" + error));
        error.printStackTrace(err);
        yield ExitCode.BUG;
      }
    };
  }

  static int handleUsage(CommandLine.ParameterException failure, String[] args) {
    CommandLine line = failure.getCommandLine();
    // Picocli lists the values of an enum by their names in Java.
    String message =
        VALUES
            .matcher(String.valueOf(failure.getMessage()))
            .replaceFirst(match -> Matcher.quoteReplacement(match.group(1).toLowerCase(ROOT)));
    line.getErr().println("vmcheck: " + Printable.path(inOurWords(failure, message)));
    meant(failure)
        .ifPresent(word -> line.getErr().println("Did you mean " + Printable.of(word) + "?"));
    line.getErr()
        .println(
            "Try '" + line.getCommandSpec().qualifiedName() + " --help' for more information.");
    return ExitCode.USAGE;
  }

  /// Picocli counts places on the command line, which nobody else does.
  private static String inOurWords(CommandLine.ParameterException failure, String message) {
    if (failure instanceof CommandLine.UnmatchedArgumentException unmatched
        && !unmatched.getUnmatched().isEmpty()) {
      String first = unmatched.getUnmatched().getFirst();
      String kind =
          first.startsWith("-")
              ? "no such option"
              : failure.getCommandLine().getSubcommands().isEmpty()
                  ? "one argument too many"
                  : "no such command";
      return kind + ": " + first;
    }
    return INVALID.matcher(message).replaceFirst("$1$2: ");
  }

  /// The command or option that a wrong one was probably meant to be.
  private static Optional<String> meant(CommandLine.ParameterException failure) {
    if (!(failure instanceof CommandLine.UnmatchedArgumentException unmatched)
        || unmatched.getUnmatched().isEmpty()) {
      return Optional.empty();
    }
    CommandLine line = failure.getCommandLine();
    String typed = unmatched.getUnmatched().getFirst().replaceFirst("=.*$", "");
    return Nearest.of(
        typed,
        typed.startsWith("-")
            ? line.getCommandSpec().optionsMap().keySet()
            : line.getSubcommands().keySet());
  }

  static int exitCode(Exception failure) {
    return switch (failure) {
      case UsageException _ -> ExitCode.USAGE;
      case MalformedFileException _, UnsupportedFormatException _ -> ExitCode.UNREADABLE;
      case CatalogueException own when own.isForeign() -> ExitCode.UNREADABLE;
      case UnansweredException _, CancelledException _ -> ExitCode.UNDETERMINED;
      case IOException _, UncheckedIOException _ -> ExitCode.IO;
      default -> ExitCode.BUG;
    };
  }

  static String message(Exception failure) {
    String text =
        switch (failure) {
          case AccessDeniedException denied -> denied.getFile() + ": permission denied";
          case UncheckedIOException wrapped -> message(wrapped.getCause());
          case NoSuchFileException gone when gone.getReason() == null ->
              gone.getFile() + ": no such file or directory";
          case FileSystemException file ->
              file.getFile()
                  + ": "
                  + (file.getReason() == null ? file.getClass().getSimpleName() : file.getReason());
          case CancelledException over ->
              "stopped by " + over.getMessage() + " before there was an answer";
          case FileNotFoundException notFound -> notFound.getMessage();
          default ->
              exitCode(failure) == ExitCode.BUG
                  ? "a bug of vmcheck, please report it: " + failure
                  : String.valueOf(failure.getMessage());
        };
    return Printable.path(text);
  }

  /// One dump asked for more memory than there is; others may not.
  static final class OutOfMemory extends IOException {
    private static final long serialVersionUID = 1L;

    static final String WORDS =
        "not enough memory: the %d MiB that Java may use are full; no verdict was reached"
            .formatted(Runtime.getRuntime().maxMemory() >> 20);

    OutOfMemory(Path dump) {
      super(dump + ": " + WORDS);
    }
  }

  /// A command line that parses and makes no sense: exit code 2.
  static final class UsageException extends Exception {
    private static final long serialVersionUID = 1L;

    UsageException(String message) {
      super(message);
    }
  }
}
