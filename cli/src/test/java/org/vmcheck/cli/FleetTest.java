package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.testing.TestData;

/// The files that start scans on a fleet say what systemd, cron and this program understand.
class FleetTest {
  private static final Path SYSTEMD = Path.of("/usr/bin/systemd-analyze");

  @TempDir private Path dir;
  private Path fleet;

  @BeforeEach
  void findFiles() throws Exception {
    fleet = TestData.named("healthy").dump().resolve("../../../scripts/fleet").normalize();
  }

  @Test
  void systemdAcceptsTheUnits() throws Exception {
    assumeTrue(Files.isExecutable(SYSTEMD));
    for (String unit : List.of("vmcheck-scan.path", "vmcheck-scan.service")) {
      // Where it is not installed, the program is not there to be found.
      Files.writeString(
          dir.resolve(unit),
          Files.readString(fleet.resolve(unit)).replace("/usr/bin/vmcheck", "/bin/true"));
    }

    Process process =
        new ProcessBuilder(
                SYSTEMD.toString(),
                "verify",
                dir.resolve("vmcheck-scan.path").toString(),
                dir.resolve("vmcheck-scan.service").toString())
            .redirectErrorStream(true)
            .start();
    String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

    assertThat(out).isEmpty();
    assertThat(process.waitFor()).isEqualTo(0);
  }

  @Test
  void theirCommandLinesScan() throws Exception {
    Path tree = Files.createDirectories(dir.resolve("crash"));
    for (String file : List.of("vmcheck-scan.service", "vmcheck-scan.cron")) {
      String line =
          Files.readAllLines(fleet.resolve(file)).stream()
              .filter(text -> text.contains("/usr/bin/vmcheck scan"))
              .findFirst()
              .orElseThrow();
      String[] words =
          line.replaceFirst(".*/usr/bin/vmcheck ", "")
              .replaceFirst(" >>.*", "")
              .replace("/var/lib/vmcheck", dir.toString())
              .replace("/var/crash", tree.toString())
              .split(" ");
      StringWriter err = new StringWriter();

      int code = Main.run(new PrintWriter(new StringWriter()), new PrintWriter(err), words);

      assertThat(err.toString()).isEmpty();
      assertThat(code).isEqualTo(0);
    }
  }
}
