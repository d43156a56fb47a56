package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vmcheck.testing.TestData;

/// `bt` and `tasks` as a user types them.
class TaskCommandsTest {
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private int run(String... words) {
    return Main.run(new PrintWriter(out), new PrintWriter(err), words);
  }

  private static String dump() throws Exception {
    return TestData.named("debian-cloud").dump().toString();
  }

  @Test
  void btShowsThePanickingTask() throws Exception {
    assertThat(run("bt", dump())).isEqualTo(ExitCode.INTACT);

    assertThat(out.toString())
        .startsWith("PID: 16 ")
        .contains("COMMAND: \"migration/0\"")
        .contains("\n!#1  [ffffd2920008bd58] panic+0x13d/0x2f4\n")
        .contains("\n #7  [ffffd2920008bf50] ret_from_fork+0x22/0x30\n")
        .contains("? only seen on the stack");
  }

  @Test
  void btShowsTheQuestionableToo() throws Exception {
    assertThat(run("bt", dump())).isEqualTo(ExitCode.INTACT);
    List<String> proven = out.toString().lines().toList();
    out.getBuffer().setLength(0);
    assertThat(run("bt", dump(), "--unreliable")).isEqualTo(ExitCode.INTACT);

    assertThat(out.toString().lines().filter(line -> line.startsWith("?")).count())
        .isGreaterThan(proven.stream().filter(line -> line.startsWith("?")).count());
    assertThat(out.toString()).contains("] panic+0x13d/0x2f4\n");
  }

  @Test
  void btTakesAPidOrAnAddress() throws Exception {
    assertThat(run("bt", dump(), "2")).isEqualTo(ExitCode.INTACT);
    String byPid = out.toString();
    out.getBuffer().setLength(0);
    String address = byPid.replaceFirst("(?s)^.*?TASK: ([0-9a-f]{16}).*$", "0x$1");
    assertThat(run("bt", dump(), address)).isEqualTo(ExitCode.INTACT);

    assertThat(byPid).contains("COMMAND: \"kthreadd\"").contains("kthreadd+0x");
    assertThat(out.toString()).isEqualTo(byPid);
  }

  @Test
  void btTakesAName() throws Exception {
    assertThat(run("bt", dump(), "2")).isEqualTo(ExitCode.INTACT);
    String byPid = out.toString();
    out.getBuffer().setLength(0);
    // A function of the kernel is called so, too.
    assertThat(run("bt", dump(), "kthreadd")).isEqualTo(ExitCode.INTACT);

    assertThat(out.toString()).isEqualTo(byPid);
  }

  @Test
  void btSaysWhatItCannotFind() throws Exception {
    assertThat(run("bt", dump(), "4711")).isEqualTo(ExitCode.USAGE);
    assertThat(err.toString()).contains("no task 4711");
    assertThat(run("bt", dump(), "+x")).isEqualTo(ExitCode.USAGE);
    assertThat(err.toString())
        .contains("expected a PID, a task's name, an address (0x...) or a symbol, got +x");
    assertThat(run("bt", dump(), "1", "--all")).isEqualTo(ExitCode.USAGE);
  }

  /// What drgn's task_rss and crash's ps say of the same dumps: one array of counts in 5.10 and
  /// 6.1, an array of per-CPU counters since 6.2.
  @ParameterizedTest
  @CsvSource({"debian-5.10, 1800", "debian-6.12, 1796", "debian-7.2, 1800"})
  void residentMemoryIsAsTheKernelCountsIt(String name, int kib) throws Exception {
    assertThat(run("tasks", TestData.named(name).dump().toString())).isEqualTo(ExitCode.INTACT);

    assertThat(out.toString())
        .containsPattern(
            "(?m)^ +1 +1 +\\d +[0-9a-f]{16} +S +%,d [0-9a-f]{16}  init$".formatted(kib));
  }

  @Test
  void tasksAreCountedAndMarked() throws Exception {
    assertThat(run("tasks", dump())).isEqualTo(ExitCode.INTACT);

    assertThat(out.toString())
        .contains("  init\n")
        .contains("  [kthreadd]\n")
        .containsPattern("(?m)^> +16 +16 +0 .*\\[migration/0\\]$")
        .containsPattern("\\d+ tasks: \\d+ I \\d+ R \\d+ S; > is on a CPU\n$");
  }

  @Test
  void bothSpeakJson() throws Exception {
    assertThat(run("bt", dump(), "--cpus", "--format", "json")).isEqualTo(ExitCode.INTACT);
    assertThat(out.toString().lines()).hasSize(3);
    assertThat(out.toString())
        .contains("\"text\":\"panic+0x13d/0x2f4\",\"mark\":\"reconstructed\"");
    out.getBuffer().setLength(0);
    assertThat(run("tasks", dump(), "--format", "json")).isEqualTo(ExitCode.INTACT);
    assertThat(out.toString()).contains("\"comm\":\"kthreadd\",\"state\":\"S\"");
  }
}
