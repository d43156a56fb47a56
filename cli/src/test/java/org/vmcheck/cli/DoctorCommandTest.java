package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.analysis.Doctor;
import org.vmcheck.finding.DoctorReport;

/// What `doctor` says of a machine that is not fit, or not for every dump.
class DoctorCommandTest {
  @TempDir private Path dir;

  @Test
  void javaThatIsTooOldIsAFailure() {
    DoctorReport report =
        Doctor.examine(Runtime.Version.parse("99.1"), List.of(), dir, Optional.empty());

    assertThat(report.isFit()).isFalse();
    assertThat(report.items())
        .filteredOn(item -> item.state() == DoctorReport.State.FAILED)
        .singleElement()
        .satisfies(item -> assertThat(item.topic()).isEqualTo("java"))
        .satisfies(item -> assertThat(item.text()).contains("needs 99.1 or later"));
  }

  /// No file can be mapped where the runtime's own cannot: no dump either.
  @Test
  void whatEveryCommandNeedsGivesExitCode6() {
    String home = System.getProperty("java.home");
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code;
    System.setProperty("java.home", dir.toString());
    try {
      code = Main.run(new PrintWriter(out), new PrintWriter(err), "doctor");
    } finally {
      System.setProperty("java.home", home);
    }

    assertThat(code).isEqualTo(ExitCode.IO);
    assertThat(out.toString())
        .containsPattern("FAILED +mapping +a file cannot be mapped: .*modules")
        .endsWith("vmcheck CANNOT be trusted here\n");
    assertThat(err.toString()).isEmpty();
  }

  /// A native library is unpacked at its first use in a process, so this needs one of its own.
  @Test
  void libraryThatCannotBeUnpackedIsLackingAndSaysWhere() throws Exception {
    Path file = Files.writeString(dir.resolve("file"), "no directory");

    Process process =
        new ProcessBuilder(
                List.of(
                    Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                    "-Djava.io.tmpdir=" + file,
                    "-cp",
                    System.getProperty("java.class.path"),
                    "--enable-native-access=ALL-UNNAMED",
                    "org.vmcheck.cli.Main",
                    "doctor"))
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

    assertThat(out)
        .containsPattern("lacking +codec zstd +its native library does not load, .*" + file)
        .containsPattern("lacking +spool +" + file + " is no directory")
        .containsPattern("ok +codec lzo +decodes")
        .endsWith("vmcheck can run here\n");
    assertThat(process.waitFor()).isZero();
  }
}
