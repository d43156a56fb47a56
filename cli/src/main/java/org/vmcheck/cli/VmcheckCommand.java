package org.vmcheck.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/// The top of the command line.
@Command(
    name = "vmcheck",
    description = {
      "Says whether a Linux kernel crash dump shows a corrupt kernel, or is itself at fault.",
      "",
      "`vmcheck DUMP...` is the same as `vmcheck check DUMP...`."
    },
    synopsisSubcommandLabel = "(DUMP... | COMMAND)",
    versionProvider = Version.class,
    mixinStandardHelpOptions = true,
    exitCodeListHeading = "%nExit codes:%n",
    exitCodeList = {
      "  0:intact",
      "  1:kernel-damaged - real corruption on sound pages",
      "  2:usage - the command line is wrong",
      "  3:not readable as a dump, not supported, or a damaged header",
      "  4:undetermined - something is missing, or stopped early",
      "  5:dump-damaged - only artefacts of the dump",
      "  6:I/O, permission, resources: try again",
      " 70:a bug of vmcheck",
      "130:interrupted (SIGINT)",
      "143:terminated (SIGTERM)"
    })
final class VmcheckCommand implements Runnable {
  @Spec private CommandSpec spec;

  @Option(names = "--no-colour", hidden = true, description = "for the launcher's sake")
  private boolean ignored;

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "which dump?");
  }
}
