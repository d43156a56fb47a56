package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.Writer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

/// The manual pages: what they say beside the commands' own words is true of the commands.
class ManPagesTest {
  private static CommandLine line() {
    PrintWriter nowhere = new PrintWriter(Writer.nullWriter());
    return Main.commandLine(nowhere, nowhere);
  }

  private static List<CommandLine> all(CommandLine line) {
    List<CommandLine> commands = new ArrayList<>(List.of(line));
    line.getSubcommands().values().forEach(command -> commands.addAll(all(command)));
    return commands;
  }

  /// An example that the command line refuses is worse than none.
  @Test
  void everyExampleCanBeTyped() {
    for (String page : ManText.pages()) {
      for (ManText.Example example : ManText.examples(page)) {
        String[] words =
            Arrays.stream(example.words().replace("'GET /index'", "GET_/index").split(" "))
                .toArray(String[]::new);
        if (page.equals("vmcheck") && words.length == 1) {
          continue; // A dump alone is checked.
        }
        assertThat(line().parseArgs(words).hasSubcommand()).as(example.words()).isTrue();
      }
    }
  }

  @Test
  void everyPageOfExamplesIsOneAndDumpsHaveSome() {
    List<String> names =
        all(line()).stream().map(c -> c.getCommandSpec().qualifiedName("-")).toList();

    assertThat(names).containsAll(ManText.pages());
    for (CommandLine command : all(line())) {
      boolean isOfADump =
          command.getCommandSpec().mixins().values().stream()
              .anyMatch(mixin -> mixin.userObject() instanceof DumpOptions);
      if (isOfADump) {
        assertThat(ManText.pages()).contains(command.getCommandSpec().qualifiedName("-"));
      }
    }
  }

  @Test
  void thePageOfAllHasFilesEnvironmentAndMarks() {
    String page = ManPages.page(line());

    assertThat(page)
        .contains(".SH EXAMPLES\n", ".SH FILES\n", ".SH ENVIRONMENT\n", ".SH MARKS OF THE REPORT\n")
        .contains("NO_COLOR", "/usr/lib/debug");
    // Each line is text or a request that roff knows.
    assertThat(page.lines()).allMatch(text -> !text.startsWith("'"));
  }
}
