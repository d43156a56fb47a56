package org.vmcheck.cli;

import static picocli.CommandLine.Model.UsageMessageSpec.SECTION_KEY_COMMAND_LIST;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine;

/// The command `vmcheck`.
public final class Main {
  /// 25.0.0 to 25.0.2 could move arrays while native code used them (JDK-8377811): no tool that
  /// judges integrity may run on these.
  static final Runtime.Version OLDEST = Runtime.Version.parse("25.0.3");

  private static final List<Commands> ALL = List.of(Commands.values());

  private Main() {}

  public static void main(String[] args) {
    if (Runtime.version().compareToIgnoreOptional(OLDEST) < 0) {
      System.err.println("vmcheck: needs Java 25.0.3 or later, this is " + Runtime.version());
      System.exit(Launcher.code(ExitCode.IO));
    }
    Launcher.watch();
    PrintWriter out = new PrintWriter(System.out, false, StandardCharsets.UTF_8);
    PrintWriter err = new PrintWriter(System.err, true, StandardCharsets.UTF_8);
    int code = run(out, err, args);
    out.flush();
    err.flush();
    if (out.checkError()) {
      code = ExitCode.IO;
      // A reader that has seen enough (`| head`) is no news.
      String reason = reasonOfLostOutput();
      if (!reason.equals("Broken pipe")) {
        System.err.println("vmcheck: not all of the output could be written: " + reason);
      }
    }
    System.exit(Launcher.code(code));
  }

  /// A writer keeps no reason for its failure: one more byte has it told.
  private static String reasonOfLostOutput() {
    try (FileOutputStream out = new FileOutputStream(FileDescriptor.out)) {
      out.write('\n');
      return "unknown reason";
    } catch (IOException failure) {
      return String.valueOf(failure.getMessage());
    }
  }

  /// Runs a command line in this process.
  ///
  /// @return the exit code
  public static int run(PrintWriter out, PrintWriter err, String... args) {
    try {
      // Asked for by scripts at every start, and answered before picocli is loaded.
      if (args.length == 1 && (args[0].equals("--version") || args[0].equals("-V"))) {
        out.println(Version.text());
        return ExitCode.INTACT;
      }
      String[] words = withDefaultCommand(args);
      Optional<Commands> command = words.length > 0 ? Commands.byWord(words[0]) : Optional.empty();
      CommandLine line = commandLine(out, err, command.map(List::of).orElse(ALL));
      return line.execute(command.isPresent() ? SplitArguments.gather(line, words) : words);
    } catch (Error error) {
      // Left to the JVM it would end with code 1, which says that a kernel is damaged.
      return Failures.handle(error, err);
    } finally {
      out.flush();
      err.flush();
    }
  }

  /// The whole command line, with every command.
  static CommandLine commandLine(PrintWriter out, PrintWriter err) {
    return commandLine(out, err, ALL);
  }

  /// Picocli reads the annotations of each command that it is given: one start needs one.
  private static CommandLine commandLine(
      PrintWriter out, PrintWriter err, List<Commands> commands) {
    CommandLine line = new CommandLine(new VmcheckCommand());
    for (Commands command : commands) {
      line.addSubcommand(command.word(), command.make());
    }
    line.setOut(out);
    line.setErr(err);
    line.setCaseInsensitiveEnumValuesAllowed(true);
    line.setUsageHelpWidth(100);
    if (commands.size() == ALL.size()) {
      line.getHelpSectionMap().put(SECTION_KEY_COMMAND_LIST, CommandGroups::render);
    }
    line.setExecutionExceptionHandler(Failures::handle);
    line.setParameterExceptionHandler(Failures::handleUsage);
    return line;
  }

  /// `vmcheck DUMP...` is `vmcheck check DUMP...`.
  private static String[] withDefaultCommand(String[] args) {
    if (args.length == 0 || Commands.byWord(args[0]).isPresent()) {
      return args;
    }
    if (args[0].equals("help") && !Files.exists(Path.of("help"))) {
      return args.length == 1 ? new String[] {"--help"} : new String[] {args[1], "--help"};
    }
    if (List.of("-h", "--help", "-V", "--version").contains(args[0])) {
      return args;
    }
    List<String> all = new ArrayList<>(List.of(args));
    if (args[0].matches("[a-z]+") && !Files.exists(Path.of(args[0]))) {
      return args; // Rather a command with a typing error than a file: picocli says so.
    }
    all.addFirst("check");
    return all.toArray(String[]::new);
  }
}
