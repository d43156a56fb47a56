package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.testing.ForeignTool;
import org.vmcheck.testing.TestData;

/// Which files a run makes, by what the system was asked for: those that `.github/SECURITY.md`
/// names.
class FilesTest {
  private static final Pattern CALL =
      Pattern.compile("\\d+ +(\\w+)\\((?:AT_FDCWD, )?\"([^\"]*)\"(.*)\\) += (-?\\d+).*");

  @TempDir private Path dir;
  private Path temporary;
  private Path packed;

  @BeforeEach
  void pack() throws Exception {
    assumeTrue(ForeignTool.isInstalled("strace"), "strace is not installed");
    temporary = Files.createDirectory(dir.resolve("tmp"));
    packed = dir.resolve("crash/vmcore.gz");
    Files.createDirectories(packed.getParent());
    try (GZIPOutputStream out = new GZIPOutputStream(Files.newOutputStream(packed))) {
      Files.copy(TestData.named("healthy").dump(), out);
    }
  }

  /// What was made, and what lost its name again, in the order of the calls.
  private List<String> calls(String... arguments) throws Exception {
    Path trace = dir.resolve("trace");
    List<String> command =
        new ArrayList<>(
            List.of(
                "strace",
                "-f",
                "-qq",
                "-o",
                trace.toString(),
                "-e",
                "trace=open,openat,openat2,creat,mkdir,mkdirat,unlink,unlinkat,rename,renameat,"
                    + "renameat2,link,linkat,symlink,symlinkat,mknod,mknodat",
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:-UsePerfData",
                "-XX:TieredStopAtLevel=1",
                "-Xmx256m",
                "--enable-native-access=ALL-UNNAMED",
                "-Djava.io.tmpdir=" + temporary,
                "-cp",
                System.getProperty("java.class.path"),
                "org.vmcheck.cli.Main"));
    command.addAll(List.of(arguments));
    Process process =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(dir.resolve("output").toFile())
            .start();
    assertThat(process.waitFor()).as(Files.readString(dir.resolve("output"))).isZero();
    List<String> calls = new ArrayList<>();
    for (String line : Files.readAllLines(trace)) {
      Matcher call = CALL.matcher(line);
      if (!call.matches() || call.group(4).startsWith("-")) {
        continue;
      }
      boolean isOpening = call.group(1).startsWith("open");
      if (!isOpening || call.group(3).contains("O_CREAT")) {
        String name = call.group(2).replaceFirst("^" + Pattern.quote(dir + "/"), "");
        calls.add((isOpening ? "make " : call.group(1) + " ") + name.replaceAll("\\d{6,}", "N"));
      }
    }
    return calls;
  }

  @Test
  void aCheckMakesASpoolFileThatLosesItsNameAtOnce() throws Exception {
    assertThat(calls("check", packed.toString()))
        .containsExactly("make tmp/vmcheck-N.spool", "unlink tmp/vmcheck-N.spool");
    assertThat(temporary).isEmptyDirectory();
  }

  @Test
  void aScanMakesItsCatalogueToo() throws Exception {
    assertThat(
            calls(
                "scan",
                packed.getParent().toString(),
                "--catalogue",
                dir.resolve("c.sqlite").toString()))
        .containsOnly(
            "make c.sqlite",
            "make tmp/vmcheck-N.so",
            "unlink tmp/vmcheck-N.so",
            "make c.sqlite-journal",
            "unlink c.sqlite-journal",
            "make c.sqlite-wal",
            "make c.sqlite-shm",
            "make tmp/vmcheck-N.spool",
            "unlink tmp/vmcheck-N.spool",
            "unlink c.sqlite-wal",
            "unlink c.sqlite-shm");
    assertThat(temporary).isEmptyDirectory();
  }
}
