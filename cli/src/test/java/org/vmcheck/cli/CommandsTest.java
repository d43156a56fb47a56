package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/// What every command keeps.
class CommandsTest {
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private int run(String... args) {
    return Main.run(new PrintWriter(out), new PrintWriter(err), args);
  }

  @ParameterizedTest
  @EnumSource(Commands.class)
  void isFoundByItsWordAndHasHelpAndAPage(Commands command) {
    assertThat(Commands.byWord(command.word())).contains(command);
    assertThat(command.make().getClass().getAnnotation(Command.class).name())
        .isEqualTo(command.word());
    assertThat(run(command.word(), "--help")).isEqualTo(ExitCode.INTACT);
    assertThat(out.toString()).startsWith("Usage: vmcheck " + command.word());
    assertThat(err.toString()).isEmpty();

    CommandLine all = Main.commandLine(new PrintWriter(out), new PrintWriter(err));
    CommandLine line = all.getSubcommands().get(command.word());
    assertThat(line.getCommandSpec().usageMessage().description()).isNotEmpty();
    assertThat(ManPages.page(line)).contains("EXAMPLES");
  }

  /// What nothing can be read of is an error of its own, and never a bug or a verdict.
  @ParameterizedTest
  @EnumSource(Commands.class)
  void anUnknownOptionIsUsage(Commands command) {
    assertThat(run(command.word(), "--no-such-option")).isEqualTo(ExitCode.USAGE);
    assertThat(out.toString()).isEmpty();
  }
}
