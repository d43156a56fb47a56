package org.vmcheck.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.io.Printable;
import org.vmcheck.testing.SampleReports;

/// The lines to be pasted, and that a name from a dump stays one argument.
class NextStepsTest {
  /// Of the sample.
  private static final String PATH = "/var/crash/127.0.0.1-2026-11-22-10:00:00/vmcore";

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "kmalloc-64|kmalloc-64",
        "vmcheck_lab:1024|vmcheck_lab:1024",
        "dentry(12:x.service)|'dentry(12:x.service)'",
        "two words|'two words'",
        "$(reboot)|'$(reboot)'",
        "-rf|-- -rf",
        "-- x|-- '-- x'"
      })
  void namesAreQuotedWhereTheyMust(String name, String expected) {
    assertThat(NextSteps.argument(name)).isEqualTo(expected);
  }

  /// The shell itself says what it makes of a word.
  @ParameterizedTest
  @ValueSource(
      strings = {
        "kmalloc-64",
        "dentry(12:x.service)",
        "it's $HOME `id` \"q\" \\ ; & | > < * ? ! # ~",
        "'",
        "a''b",
        "-rf",
        SampleReports.HOSTILE
      })
  void aShellReadsOneWord(String name) throws Exception {
    Process shell =
        new ProcessBuilder("/bin/sh", "-c", "printf '%s\\n' " + NextSteps.argument(name))
            .redirectErrorStream(true)
            .start();
    String said =
        new String(shell.getInputStream().readAllBytes(), StandardCharsets.US_ASCII)
            .stripTrailing();
    assertThat(shell.waitFor(10, TimeUnit.SECONDS)).isTrue();

    // The shell's printf takes no `--` behind its format and repeats the format for it.
    assertThat(said).isEqualTo((name.startsWith("-") ? "--\n" : "") + Printable.of(name));
  }

  /// A path is the one that was given, to the byte.
  @ParameterizedTest
  @ValueSource(
      strings = {
        "vmcore",
        "/a b/vmcore",
        "/caf\u00e9/\u4e2d/it's",
        "/caf\u00e9\u202e/it's",
        "/new\nline\\",
        "/q\"$HOME`x`"
      })
  void aShellReadsThePathThatWasGiven(String path) throws Exception {
    Path bash = Path.of("/bin/bash");
    assumeTrue(Files.isExecutable(bash));
    Process shell =
        new ProcessBuilder(bash.toString(), "-c", "printf '%s' " + NextSteps.word(path)).start();
    String said = new String(shell.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(shell.waitFor(10, TimeUnit.SECONDS)).isTrue();

    assertThat(said).isEqualTo(path);
    assertThat(Printable.isShown(NextSteps.word(path))).isTrue();
  }

  /// What is shown as it is needs no more than a plain shell.
  @ParameterizedTest
  @ValueSource(strings = {"vmcore", "/caf\u00e9/\u4e2d/it's", "/\u0434\u0430\u043c\u043f/x y"})
  void anyShellReadsLettersOfAnyScript(String path) throws Exception {
    Process shell =
        new ProcessBuilder("/bin/sh", "-c", "printf '%s' " + NextSteps.word(path)).start();
    String said = new String(shell.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(shell.waitFor(10, TimeUnit.SECONDS)).isTrue();

    assertThat(said).isEqualTo(path);
    assertThat(NextSteps.word(path)).contains(path.replace("'", "'\\''"));
  }

  @Test
  void whatATerminalDoesNotShowIsWrittenOut() {
    assertThat(Printable.path("/caf\u00e9/\u4e2d\u6587/\ud83d\udca5"))
        .isEqualTo("/caf\u00e9/\u4e2d\u6587/\ud83d\udca5");
    assertThat(Printable.path("/a\u202eb\u00a0c\u001b[2Jd\u2028e\ufffd\ud800"))
        .isEqualTo("/a\\u202eb\\xa0c\\x1b[2Jd\\u2028e\\ufffd\\ud800");
  }

  @Test
  void theLinesCarryWhatTheUserGave() {
    DumpReport report = SampleReports.damaged();
    List<String> options =
        List.of("/var/crash/my host/vmcore", "--vmlinux=/usr/lib/debug/my vmlinux", "--force");

    assertThat(NextSteps.of(report.findings().getFirst(), NextSteps.descriptor(report), options))
        .extracting(NextSteps::command)
        .first()
        .isEqualTo(
            "vmcheck read '/var/crash/my host/vmcore' '--vmlinux=/usr/lib/debug/my vmlinux' --force"
                + " 0xffff888000001040 64");
    assertThat(TextReport.render(report, false, false, options))
        .contains(
            "$ vmcheck object '/var/crash/my host/vmcore' '--vmlinux=/usr/lib/debug/my vmlinux'"
                + " --force 0x");
    assertThat(HtmlReport.render(report, java.util.Optional.empty(), options))
        .contains("--force 0xffff888000001040");
  }

  @Test
  void bothReportsHaveTheSameLines() {
    DumpReport report = SampleReports.damaged();
    String text = TextReport.render(report, false, false);
    String html = HtmlReport.render(report);
    List<NextSteps> steps =
        NextSteps.of(report.findings().getFirst(), NextSteps.descriptor(report), List.of(PATH));

    assertThat(steps)
        .extracting(NextSteps::command)
        .containsExactly(
            "vmcheck read " + PATH + " 0xffff888000001040 64",
            "vmcheck object " + PATH + " 0xffff888000001000",
            "vmcheck refs " + PATH + " 0xffff888000001000",
            "vmcheck slabs " + PATH + " kmalloc-64");
    for (NextSteps step : steps) {
      assertThat(text).contains("$ " + step.command(), step.crash(), step.drgn());
      assertThat(html)
          .contains(
              Markup.escape(step.command()),
              Markup.escape(step.crash()),
              Markup.escape(step.drgn()));
    }
    assertThat(text)
        .contains("drgn>>> Object(prog, \"struct slab *\", 0xffffea0000000040)[0]")
        .contains(
            "drgn>>> [(hex(at), hex(word)) for at, word in"
                + " prog.search_memory_word(0xffff888000001000)]\n");
  }

  @Test
  void aReportWithoutFindingsHasNone() {
    assertThat(TextReport.render(SampleReports.intact("x"), false, false)).doesNotContain("  $ ");
    assertThat(HtmlReport.render(SampleReports.intact("x"))).doesNotContain("crash&gt;");
  }
}
