package org.vmcheck.cli;

import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.vmcheck.io.MappedFile;
import picocli.CommandLine;

/// The command `vmcheck`.
public final class Main {
  /// 25.0.0 to 25.0.2 could move arrays while native code used them (JDK-8377811): no tool that
  /// judges integrity may run on these.
  private static final Runtime.Version OLDEST = Runtime.Version.parse("25.0.3");

  private Main() {}

  public static void main(String[] args) {
    if (Runtime.version().compareToIgnoreOptional(OLDEST) < 0) {
      System.err.println("vmcheck: needs Java 25.0.3 or later, this is " + Runtime.version());
      System.exit(ExitCode.UNREADABLE);
    }
    PrintWriter out = new PrintWriter(System.out, false, StandardCharsets.UTF_8);
    PrintWriter err = new PrintWriter(System.err, true, StandardCharsets.UTF_8);
    int code = run(out, err, args);
    out.flush();
    err.flush();
    if (out.checkError() && code == 0) {
      code = ExitCode.IO;
    }
    System.exit(code);
  }

  /// Runs a command line in this process.
  ///
  /// @return the exit code
  public static int run(PrintWriter out, PrintWriter err, String... args) {
    CommandLine line = commandLine(out, err);
    try {
      return line.execute(withDefaultCommand(line.getSubcommands().keySet(), args));
    } catch (InternalError lost) {
      if (!MappedFile.isLostMap(lost)) {
        throw lost;
      }
      err.println("vmcheck: the dump's file shrank or its device failed while it was read");
      return ExitCode.IO;
    } finally {
      out.flush();
      err.flush();
    }
  }

  static CommandLine commandLine(PrintWriter out, PrintWriter err) {
    CommandLine line = new CommandLine(new VmcheckCommand());
    line.setOut(out);
    line.setErr(err);
    line.setCaseInsensitiveEnumValuesAllowed(true);
    line.setUsageHelpWidth(100);
    line.setExecutionExceptionHandler(Failures::handle);
    line.setParameterExceptionHandler(Failures::handleUsage);
    return line;
  }

  /// `vmcheck DUMP...` is `vmcheck check DUMP...`.
  private static String[] withDefaultCommand(Set<String> commands, String[] args) {
    if (args.length == 0 || commands.contains(args[0])) {
      return args;
    }
    if (List.of("-h", "--help", "-V", "--version").contains(args[0])) {
      return args;
    }
    List<String> all = new ArrayList<>(List.of(args));
    all.addFirst("check");
    return all.toArray(String[]::new);
  }
}
