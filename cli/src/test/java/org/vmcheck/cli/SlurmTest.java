package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.testing.TestData;

/// `scripts/fleet/slurm-scan` on a real Slurm, whose workers are killed and started again.
@Tag("slow")
class SlurmTest {
  private static final int DUMPS = 60;
  private static final Pattern JUDGED =
      Pattern.compile("\\{\"event\":\"incident\",\"id\":\"([0-9a-f]+)\"");

  @TempDir private Path dir;
  private SlurmCluster cluster;
  private Path tree;
  private Path out;

  @BeforeEach
  void startSlurm() throws Exception {
    assumeTrue(SlurmCluster.isInstalled(), "Slurm is not installed, or this is not root");
    cluster = SlurmCluster.start(Files.createDirectory(dir.resolve("slurm")));
    tree = Files.createDirectory(dir.resolve("crash"));
    out = dir.resolve("out");
    for (int i = 0; i < DUMPS; i++) {
      Files.createDirectory(tree.resolve("" + i));
      Files.copy(
          TestData.named(i % 2 == 0 ? "use-after-free" : "healthy").dump(),
          tree.resolve("" + i).resolve("vmcore"));
    }
  }

  @AfterEach
  void stopSlurm() throws Exception {
    if (cluster != null) {
      cluster.stop();
    }
  }

  /// Starts the array, and answers its job number.
  private String scan() throws Exception {
    Path vmcheck = dir.resolve("vmcheck");
    Files.writeString(
        vmcheck,
        "#!/bin/sh\nexec '%s' -Xlog:disable -XX:TieredStopAtLevel=1 -XX:+UseSerialGC --enable-native-access=ALL-UNNAMED -cp '%s' %s \"$@\"\n"
            .formatted(
                Path.of(System.getProperty("java.home"), "bin", "java"),
                System.getProperty("java.class.path"),
                Main.class.getName()));
    assertThat(vmcheck.toFile().setExecutable(true)).isTrue();
    Path script = TestData.root().resolve("scripts/fleet/slurm-scan");
    ProcessBuilder builder =
        new ProcessBuilder(script.toString(), "2", tree.toString(), out.toString())
            .redirectErrorStream(true);
    builder.environment().putAll(cluster.environment());
    builder.environment().put("VMCHECK", vmcheck.toString());
    builder.environment().put("VMCHECK_ORIGIN", "nas");
    Process process = builder.start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(said).isEqualTo(0);
    return said.replaceFirst("(?s)^array job (\\d+),.*", "$1");
  }

  /// The ids of what was judged, as often as it was.
  private List<String> judged() throws Exception {
    StringBuilder logs = new StringBuilder();
    for (int shard = 0; shard < 2; shard++) {
      Path log = out.resolve("shard-" + shard + ".log");
      if (Files.exists(log)) {
        logs.append(Files.readString(log));
      }
    }
    try (Stream<MatchResult> found = JUDGED.matcher(logs).results()) {
      return found.map(match -> match.group(1)).toList();
    }
  }

  private void assertWhole() throws Exception {
    StringWriter list = new StringWriter();
    Main.run(
        new PrintWriter(list),
        new PrintWriter(list),
        "catalogue",
        "--catalogue",
        out.resolve("catalogue.sqlite").toString(),
        "list");
    assertThat(list.toString()).hasLineCount(DUMPS + 1).doesNotContain("unreadable");
    assertThat(judged()).as("judged once each").doesNotHaveDuplicates();
    for (int i = 0; i < DUMPS; i++) {
      assertThat(list.toString()).contains(" nas:" + tree.resolve("" + i).resolve("vmcore"));
    }
  }

  @Test
  void aTaskThatIsRequeuedGoesOnWhereItWas() throws Exception {
    String array = scan();
    SlurmCluster.await("nothing is judged", () -> judged().size() > 4);

    String said = cluster.run("scontrol", "requeue", array + "_0", array + "_1");
    assertThat(said).isEmpty();
    // It waits two minutes before it begins again, unless it is told.
    SlurmCluster.await(
        "jobs do not end",
        () -> {
          cluster.run("scontrol", "update", "JobId=" + array, "StartTime=now");
          return cluster.run("squeue", "-h").isBlank();
        });

    assertWhole();
  }

  @Test
  void whatWasKilledIsStartedAgainByTheSameCommand() throws Exception {
    scan();
    SlurmCluster.await("nothing is judged", () -> judged().size() > 4);
    killScans();
    cluster.awaitEnd();
    int before = judged().size();

    scan();
    cluster.awaitEnd();

    assertThat(before).isBetween(1, DUMPS);
    assertWhole();
  }

  /// SIGKILL for what scans this tree.
  private void killScans() {
    ProcessHandle.allProcesses()
        .filter(
            process ->
                process
                    .info()
                    .arguments()
                    .map(List::of)
                    .filter(words -> words.contains("scan") && words.contains(tree.toString()))
                    .isPresent())
        .forEach(ProcessHandle::destroyForcibly);
  }
}
