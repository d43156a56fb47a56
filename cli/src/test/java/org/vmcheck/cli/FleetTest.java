package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;
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
    for (String unit :
        List.of("vmcheck-scan.path", "vmcheck-scan.service", "vmcheck-scan-failed.service")) {
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

  @Test
  void theUnitTakesVerdictsForSuccessAndNothingElse() throws Exception {
    assertThat(Files.readAllLines(fleet.resolve("vmcheck-scan.service")))
        .contains(
            "SuccessExitStatus=%d %d %d %d"
                .formatted(
                    ExitCode.KERNEL_DAMAGED,
                    ExitCode.UNREADABLE,
                    ExitCode.UNDETERMINED,
                    ExitCode.DUMP_DAMAGED));
  }

  /// Slurm in a few lines: each job runs at once, and what became of its tasks is written down.
  private static final String SBATCH =
      """
      #!/bin/sh
      array=0
      for word; do
        case $word in
          --array=*) array=$(seq -s ' ' 0 "${word#--array=0-}"); export SLURM_ARRAY_JOB_ID=7 ;;
          --wrap=*) wrap=${word#--wrap=} ;;
        esac
      done
      for task in $array; do
        SLURM_ARRAY_TASK_ID=$task sh -c "$wrap" >/dev/null 2>&1
        echo "$task $?" >>"$CODES"
      done
      echo 7
      """;

  @ParameterizedTest
  @CsvSource({
    "0, 0, 0 0",
    "1, 0, 0 0",
    "3, 0, 0 0",
    "4, 0, 0 0",
    "5, 0, 0 0",
    "2, 0, 0 2",
    "70, 0, 0 70",
    "143, 0, 0 143",
    "6, 0, requeue 7_0 0 6",
    "6, 2, requeue 7_0 0 6",
    "6, 3, 0 6"
  })
  void slurmFailsATaskWithoutAVerdictAndTriesSetUpAgain(int code, int restarts, String expected)
      throws Exception {
    Path bin = Files.createDirectories(dir.resolve("bin"));
    Path codes = dir.resolve("codes");
    script(bin.resolve("sbatch"), SBATCH);
    script(bin.resolve("scontrol"), "#!/bin/sh\necho \"$*\" >>\"$CODES\"\n");
    Path vmcheck =
        script(
            dir.resolve("vmcheck"), "#!/bin/sh\n[ $1 = catalogue ] || exit %d\n".formatted(code));
    ProcessBuilder builder =
        new ProcessBuilder(
            fleet.resolve("slurm-scan").toString(), "1", dir.toString(), dir + "/out");
    builder.environment().put("PATH", bin + ":" + System.getenv("PATH"));
    builder.environment().put("VMCHECK", vmcheck.toString());
    builder.environment().put("CODES", codes.toString());
    builder.environment().put("SLURM_RESTART_COUNT", "" + restarts);
    Process process = builder.redirectErrorStream(true).start();
    String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

    assertThat(process.waitFor()).as(out).isEqualTo(0);
    // No shard is there to merge, which the merging job says by its code.
    assertThat(String.join(" ", Files.readAllLines(codes))).isEqualTo(expected + " 0 6");
  }

  /// This program, from the tests' class path.
  private Path vmcheck() throws Exception {
    return script(
        dir.resolve("vmcheck"),
        "#!/bin/sh\nexec '%s' -Xlog:disable --enable-native-access=ALL-UNNAMED -cp '%s' %s \"$@\"\n"
            .formatted(
                Path.of(System.getProperty("java.home"), "bin", "java"),
                System.getProperty("java.class.path"),
                Main.class.getName()));
  }

  @Test
  void slurmShardsBecomeOneCatalogue() throws Exception {
    Path tree = dir.resolve("crash");
    for (String name : List.of("healthy", "use-after-free")) {
      Files.createDirectories(tree.resolve(name));
      Files.copy(TestData.named(name).dump(), tree.resolve(name).resolve("vmcore"));
    }
    Path bin = Files.createDirectories(dir.resolve("bin"));
    Path codes = dir.resolve("codes");
    script(bin.resolve("sbatch"), SBATCH);
    ProcessBuilder builder =
        new ProcessBuilder(
            fleet.resolve("slurm-scan").toString(), "2", tree.toString(), dir + "/out");
    builder.environment().put("PATH", bin + ":" + System.getenv("PATH"));
    builder.environment().put("VMCHECK", vmcheck().toString());
    builder.environment().put("VMCHECK_ORIGIN", "nas");
    builder.environment().put("CODES", codes.toString());
    builder.environment().put("TMPDIR", Files.createDirectories(dir.resolve("scratch")).toString());
    Process process = builder.redirectErrorStream(true).start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

    assertThat(process.waitFor()).as(said).isEqualTo(0);
    assertThat(Files.readAllLines(codes)).containsExactly("0 0", "1 0", "0 0");
    StringWriter out = new StringWriter();
    Main.run(
        new PrintWriter(out),
        new PrintWriter(out),
        "catalogue",
        "--catalogue",
        dir.resolve("out/catalogue.sqlite").toString(),
        "list");
    assertThat(out.toString()).hasLineCount(3).contains("  nas:" + tree, "kernel-damaged");
    try (var left = Files.list(dir.resolve("scratch"))) {
      assertThat(left).isEmpty();
    }
  }

  /// The manifest, and what its container makes of each exit code.
  @ParameterizedTest
  @CsvSource({"0, 0", "1, 0", "3, 0", "4, 0", "5, 0", "2, 2", "6, 6", "70, 70", "137, 137"})
  void kubernetesTriesAgainWhatAnotherTryMayMend(int code, int expected) throws Exception {
    Map<?, ?> job =
        (Map<?, ?>)
            new Load(LoadSettings.builder().build())
                .loadFromString(Files.readString(fleet.resolve("vmcheck-job.yaml")));
    Map<?, ?> spec = (Map<?, ?>) job.get("spec");
    Map<?, ?> pod = (Map<?, ?>) ((Map<?, ?>) spec.get("template")).get("spec");
    Map<?, ?> container = (Map<?, ?>) ((List<?>) pod.get("containers")).getFirst();
    List<?> rules = (List<?>) ((Map<?, ?>) spec.get("podFailurePolicy")).get("rules");
    Map<?, ?> failIndex = (Map<?, ?>) ((Map<?, ?>) rules.get(1)).get("onExitCodes");
    List<String> command =
        ((List<?>) container.get("command")).stream().map(Object::toString).toList();

    // The API server demands these together; FailIndex needs a limit per index.
    assertThat(spec.get("completionMode")).isEqualTo("Indexed");
    assertThat(pod.get("restartPolicy")).isEqualTo("Never");
    assertThat(spec.get("backoffLimitPerIndex")).isEqualTo(3);
    assertThat(failIndex.get("containerName")).isEqualTo(container.get("name"));
    assertThat(failIndex.get("values")).isEqualTo(List.of(ExitCode.USAGE, ExitCode.BUG));
    assertThat(command.getLast()).contains("/" + spec.get("completions") + "\"");

    Path said = dir.resolve("said");
    script(
        dir.resolve("vmcheck"),
        "#!/bin/sh\nfor word; do echo \"$word\"; done >'%s'\nexit %d\n".formatted(said, code));
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.environment().put("PATH", dir + ":" + System.getenv("PATH"));
    builder.environment().put("JOB_COMPLETION_INDEX", "7");
    builder.environment().put("CATALOGUE", dir.resolve("c").toString());
    assertThat(builder.start().waitFor()).isEqualTo(expected);
    // Its words are a command line of this program.
    List<String> words = new ArrayList<>(Files.readAllLines(said));
    words.set(words.indexOf("/crash"), Files.createDirectories(dir.resolve("crash")).toString());
    StringWriter err = new StringWriter();
    assertThat(
            Main.run(
                new PrintWriter(new StringWriter()),
                new PrintWriter(err),
                words.toArray(String[]::new)))
        .as(err.toString())
        .isEqualTo(0);
  }

  private static Path script(Path file, String text) throws Exception {
    Files.writeString(file, text);
    assertThat(file.toFile().setExecutable(true)).isTrue();
    return file;
  }

  @Test
  void cronMailsEachNewVerdictOnce() throws Exception {
    Path tree = Files.createDirectories(dir.resolve("crash"));
    Files.copy(TestData.named("use-after-free").dump(), tree.resolve("vmcore"));
    String line =
        Files.readAllLines(fleet.resolve("vmcheck-scan.cron")).stream()
            .filter(text -> text.startsWith("17 3 * * * root "))
            .findFirst()
            .orElseThrow()
            .substring("17 3 * * * root ".length());
    // Cron reads a percent sign as the end of the line.
    assertThat(line).doesNotContain("%");
    Path vmcheck = vmcheck();
    String command =
        line.replace("/usr/bin/vmcheck", vmcheck.toString())
            // The tests' own class path and collector take more than the program's.
            .replace("ulimit -d 2000000; ", "")
            // Where others keep the machine busy, it would wait for them.
            .replace("nice -n 19 ", "")
            .replace("/var/lib/vmcheck", dir.resolve("lib").toString())
            .replace("/var/log/", dir + "/")
            .replace("/var/crash", tree.toString());

    String first = mail(command);
    String second = mail(command);
    Files.delete(tree.resolve("vmcore"));
    Files.delete(tree);
    String third = mail(command);

    assertThat(first.lines().filter(text -> text.startsWith("{")))
        .singleElement()
        .asString()
        .contains("\"verdict\":\"kernel-damaged\"");
    assertThat(second).doesNotContain("{");
    assertThat(third).contains("no such file", "ended with code 6");
    assertThat(dir.resolve("vmcheck-scan.log")).content().contains("kernel-damaged 1");
  }

  private static String mail(String command) throws Exception {
    Process process = new ProcessBuilder("/bin/sh", "-c", command).start();
    assertThat(process.getInputStream().readAllBytes()).isEmpty();
    return new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
  }

  /// Rules that ask for a gauge nobody writes would never fire.
  @Test
  void alertsAreOfGaugesThatAreWritten() throws Exception {
    Path rules = fleet.resolve("vmcheck-alerts.yaml");
    StringWriter out = new StringWriter();
    Path tree = Files.createDirectories(dir.resolve("crash"));
    Path metrics = dir.resolve("m.prom");
    Main.run(
        new PrintWriter(out),
        new PrintWriter(out),
        "scan",
        tree.toString(),
        "--catalogue",
        dir.resolve("c").toString(),
        "--metrics",
        metrics.toString());
    String written = Files.readString(metrics);
    Map<?, ?> file =
        (Map<?, ?>)
            new Load(LoadSettings.builder().build()).loadFromString(Files.readString(rules));
    List<String> asked = new ArrayList<>();
    for (Object group : (List<?>) file.get("groups")) {
      for (Object rule : (List<?>) ((Map<?, ?>) group).get("rules")) {
        Map<?, ?> alert = (Map<?, ?>) rule;
        assertThat(alert.containsKey("alert")).isTrue();
        assertThat((Map<?, ?>) alert.get("annotations")).hasSize(2);
        Matcher gauge =
            Pattern.compile("vmcheck_\\w+(\\{[^}]*})?").matcher((String) alert.get("expr"));
        assertThat(gauge.find()).isTrue();
        asked.add(gauge.group());
      }
    }
    assertThat(asked).hasSize(3).allSatisfy(gauge -> assertThat(written).contains(gauge + " "));
  }
}
