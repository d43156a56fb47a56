package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;
import org.vmcheck.testing.TestData;

/// What people are used to from other programs.
class HabitsTest {
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private int run(String... words) {
    out.getBuffer().setLength(0);
    err.getBuffer().setLength(0);
    return Main.run(new PrintWriter(out), new PrintWriter(err), words);
  }

  @Test
  void helpOfACommandIsItsHelp() {
    assertThat(run("help", "bt")).isEqualTo(ExitCode.INTACT);
    String help = out.toString();
    assertThat(run("bt", "--help")).isEqualTo(ExitCode.INTACT);

    assertThat(help).isEqualTo(out.toString()).contains("Usage: vmcheck bt");
  }

  @Test
  void everyCommandIsInAGroup() {
    assertThat(run("help")).isEqualTo(ExitCode.INTACT);

    assertThat(out.toString())
        .contains("\nMemory:\n  word ")
        .doesNotContain(CommandGroups.REST + ":");
  }

  @Test
  void aTypingErrorIsTold() {
    assertThat(run("chek", "x")).isEqualTo(ExitCode.USAGE);
    assertThat(err.toString()).contains("Did you mean ").contains("check");
    assertThat(run("bt", "x", "--fromat", "json")).isEqualTo(ExitCode.USAGE);
    assertThat(err.toString()).contains("Did you mean --format");
  }

  @Test
  void coloursAreAsAskedFor() throws Exception {
    String dump = TestData.named("healthy").dump().toString();
    assertThat(run("-q", dump)).isEqualTo(ExitCode.INTACT);
    String plain = out.toString();
    assertThat(plain.lines()).hasSize(1);
    assertThat(plain).doesNotContain("\u001b[");
    assertThat(run("-q", "--color=always", dump)).isEqualTo(ExitCode.INTACT);
    assertThat(out.toString()).contains("\u001b[");
    assertThat(run("-q", "--color", "never", dump)).isEqualTo(ExitCode.INTACT);
    assertThat(out.toString()).isEqualTo(plain);
    assertThat(run("--color=blue", dump)).isEqualTo(ExitCode.USAGE);
  }
}
