package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.jar.Attributes;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.vmcheck.testing.LongUnpacking;
import org.vmcheck.testing.TestData;

/// The two launchers: what keeps vmcheck from its start is exit code 6 and never a verdict, its own
/// codes arrive as they are, and a signal to the launcher is one to the program.
class LauncherTest {
  private static final Path SCRIPTS =
      Path.of("").toAbsolutePath().resolveSibling("scripts").normalize();
  private static final Path JAVA = Path.of(System.getProperty("java.home"));

  @TempDir private Path dir;

  record Result(int code, String out, String err) {}

  /// Where the launcher lies, and what it starts.
  enum Installation {
    CHECKOUT("scripts/vmcheck", "cli/target/vmcheck-cli.jar", "scripts"),
    PACKAGE("bin/vmcheck", "lib/vmcheck-cli.jar", "lib");

    private final String launcher;
    private final String jar;
    private final String shared;

    Installation(String launcher, String jar, String shared) {
      this.launcher = launcher;
      this.jar = jar;
      this.shared = shared;
    }

    /// One whose program is what these tests run on.
    void make(Path root) throws IOException {
      Path own = this == CHECKOUT ? SCRIPTS : SCRIPTS.resolve("packaging");
      copy(own.resolve("vmcheck"), root.resolve(launcher));
      for (String name : List.of("jvm-options", "run-java")) {
        copy(SCRIPTS.resolve(name), root.resolve(shared).resolve(name));
      }
      jar(root.resolve(jar));
      if (this == CHECKOUT) {
        for (String folder : List.of("core/src/main", "cli/src/main", "cli/target/lib")) {
          Files.createDirectories(root.resolve(folder));
        }
        for (String file :
            List.of(
                "pom.xml",
                "core/pom.xml",
                "cli/pom.xml",
                "cli/target/lib/vmcheck-core-1.0.jar",
                "cli/target/.built",
                "cli/target/vmcheck.aot")) {
          Files.createFile(root.resolve(file));
        }
      } else {
        Files.createSymbolicLink(root.resolve("runtime"), JAVA);
        Files.createFile(root.resolve("vmcheck.aot"));
      }
    }

    private static void copy(Path from, Path to) throws IOException {
      Files.createDirectories(to.getParent());
      Files.copy(from, to);
    }

    private static void jar(Path jar) throws IOException {
      Files.createDirectories(jar.getParent());
      Manifest manifest = new Manifest();
      manifest.getMainAttributes().put(Attributes.Name.MANIFEST_VERSION, "1.0");
      manifest
          .getMainAttributes()
          .put(
              Attributes.Name.CLASS_PATH,
              Stream.of(System.getProperty("java.class.path").split(":"))
                  .filter(entry -> !entry.isEmpty())
                  .map(entry -> Path.of(entry).toUri().toString())
                  .collect(Collectors.joining(" ")));
      new JarOutputStream(Files.newOutputStream(jar), manifest).close();
    }
  }

  private Path make(Installation installation) throws IOException {
    Path root = dir.resolve("root");
    installation.make(root);
    return root.resolve(installation.launcher);
  }

  /// @param environment of the launcher, `NAME=value`, beside a search path
  private ProcessBuilder command(List<String> environment, Object... words) {
    List<String> command = new ArrayList<>(List.of("env", "--default-signal"));
    command.addAll(environment);
    Arrays.stream(words).map(Object::toString).forEach(command::add);
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.environment().keySet().removeIf(name -> name.contains("JAVA"));
    builder.environment().put("JAVA_HOME", JAVA.toString());
    return builder
        .redirectOutput(dir.resolve("out").toFile())
        .redirectError(dir.resolve("err").toFile());
  }

  private Result run(List<String> environment, Object... words) throws Exception {
    Process process = command(environment, words).start();
    assertThat(process.waitFor(2, TimeUnit.MINUTES)).isTrue();
    return new Result(
        process.exitValue(),
        Files.readString(dir.resolve("out"), StandardCharsets.ISO_8859_1),
        Files.readString(dir.resolve("err"), StandardCharsets.ISO_8859_1));
  }

  private static void assertNoVerdict(String what, Result result) {
    assertThat(result.code).as(what + ": " + result.err).isEqualTo(ExitCode.IO);
    assertThat(result.err).as(what).contains("vmcheck: ");
  }

  private static Path script(Path file, String text) throws IOException {
    Files.createDirectories(file.getParent());
    Files.writeString(file, text);
    assertThat(file.toFile().setExecutable(true)).isTrue();
    return file;
  }

  @ParameterizedTest
  @EnumSource
  void aJavaThatCannotStartIsNoVerdict(Installation installation) throws Exception {
    Path vmcheck = make(installation);
    Path dump = TestData.named("healthy").dump();

    for (String environment :
        List.of(
            "JAVA_TOOL_OPTIONS=-XX:NoSuchOption",
            "JAVA_TOOL_OPTIONS=-XX:MaxMetaspaceSize=1m",
            "JAVA_TOOL_OPTIONS=-javaagent:nothing.jar",
            "JAVA_TOOL_OPTIONS=-agentlib:jdwp=nonsense",
            "JDK_JAVA_OPTIONS=--no-such-option",
            "JDK_JAVA_OPTIONS=-XX:+UseG1GC")) {
      assertNoVerdict(environment, run(List.of(environment), vmcheck, dump));
    }
    // Which Java answers with 0.
    Result help = run(List.of("JAVA_TOOL_OPTIONS=-Xlog:help"), vmcheck, dump);
    assertThat(help.code).isEqualTo(ExitCode.IO);
    assertThat(help.err).contains("Java ended with code 0");
    assertNoVerdict(
        "little address space", run(List.of(), "sh", "-c", "ulimit -v 1500000; exec " + vmcheck));
  }

  @ParameterizedTest
  @EnumSource
  void anInstallationInPiecesIsNoVerdict(Installation installation) throws Exception {
    Path vmcheck = make(installation);
    Path root = dir.resolve("root");
    Path dump = TestData.named("healthy").dump();

    for (String file :
        List.of(
            installation.jar,
            installation.shared + "/jvm-options",
            installation.shared + "/run-java")) {
      Path there = root.resolve(file);
      byte[] content = Files.readAllBytes(there);
      if (file.endsWith(".jar")) {
        Files.write(there, "no jar".getBytes(StandardCharsets.US_ASCII));
        // Newer than the cache of classes, it would be rehearsed first.
        Files.setLastModifiedTime(there, java.nio.file.attribute.FileTime.fromMillis(0));
        assertNoVerdict("broken " + file, run(List.of(), vmcheck, dump));
      } else {
        Files.delete(there);
        Result result = run(List.of(), vmcheck, dump);
        assertThat(result.code).as(file + ": " + result.err).isEqualTo(ExitCode.IO);
      }
      Files.write(there, content);
    }
    assertThat(run(List.of(), vmcheck, "--version").code).isEqualTo(ExitCode.INTACT);
  }

  @Test
  void aPackageWithoutItsRuntimeIsNoVerdict() throws Exception {
    Path vmcheck = make(Installation.PACKAGE);
    Path java = dir.resolve("root/runtime");
    Files.delete(java);
    assertNoVerdict("no runtime", run(List.of(), vmcheck, "--version"));
    script(java.resolve("bin/java"), "no program");
    assertNoVerdict("no program", run(List.of(), vmcheck, "--version"));
    script(java.resolve("bin/java"), "#!/bin/sh\nexit 1\n");
    assertNoVerdict("ends with 1", run(List.of(), vmcheck, "--version"));
  }

  @Test
  void aCheckoutWithoutJavaIsNoVerdict() throws Exception {
    Path vmcheck = make(Installation.CHECKOUT);
    Path home = dir.resolve("jdk");
    String java = "JAVA_HOME=" + home;
    Files.createDirectories(home);
    Files.writeString(home.resolve("release"), "JAVA_VERSION=\"25.0.3\"\n");
    for (String program : List.of("no program", "#!/bin/sh\nexit 1\n", "#!/bin/sh\nexit 5\n")) {
      script(home.resolve("bin/java"), program);
      assertNoVerdict(program, run(List.of(java), vmcheck, "--version"));
    }

    Files.writeString(home.resolve("release"), "JAVA_VERSION=\"25.0.2\"\n");
    String hide = "mount -t tmpfs none /usr/lib/jvm && exec \"$@\"";
    Result hidden = run(List.of(java), "unshare", "-rm", "sh", "-c", hide, "sh", "true");
    assumeTrue(hidden.code == 0, "no name space of mounts can be had: " + hidden.err);
    Result old =
        run(
            List.of(java, "PATH=/usr/bin:/bin", "SDKMAN_DIR=/nowhere"),
            List.of("unshare", "-rm", "sh", "-c", hide, "sh", vmcheck, "--version").toArray());
    assertNoVerdict("old", old);
    assertThat(old.err).contains("needs Java 25.0.3 or later", "25.0.2");
    for (String[] system :
        new String[][] {
          {
            "ID=ubuntu\nVERSION_ID=\"24.04\"\nID_LIKE=debian\n",
            "apt-get install openjdk-25-jdk-headless"
          },
          {"ID=debian\nVERSION_ID=\"13\"\n", "apt-get install openjdk-25-jdk-headless"},
          {"ID=debian\nVERSION_ID=\"12\"\n", "Debian 12 has none"},
          {"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf install java-25-openjdk-devel"},
          {
            "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n",
            "zypper install java-25-openjdk-devel"
          },
          {"ID=void\n", "unpack a JDK 25"}
        }) {
      Path release = Files.writeString(dir.resolve("os-release"), system[0]);
      Result result =
          run(
              List.of(
                  java,
                  "PATH=/usr/bin:/bin",
                  "SDKMAN_DIR=/nowhere",
                  "VMCHECK_OS_RELEASE=" + release),
              List.of("unshare", "-rm", "sh", "-c", hide, "sh", vmcheck, "--version").toArray());
      assertNoVerdict(system[0], result);
      assertThat(result.err).contains(system[1]);
    }
  }

  @Test
  void aBuildThatFailsIsNoVerdict() throws Exception {
    Path vmcheck = make(Installation.CHECKOUT);
    Files.delete(dir.resolve("root/cli/target/.built"));
    Path bin = dir.resolve("bin");
    for (String tool :
        List.of("bash", "env", "readlink", "find", "mkdir", "touch", "rm", "grep", "tail")) {
      Files.createDirectories(bin);
      Files.createSymbolicLink(bin.resolve(tool), Path.of("/usr/bin", tool));
    }
    String path = "PATH=" + bin;

    assertNoVerdictOf("no flock", run(List.of(path), vmcheck, "--version"));
    Files.createSymbolicLink(bin.resolve("flock"), Path.of("/usr/bin/flock"));
    Result none = run(List.of(path), vmcheck, "--version");
    assertNoVerdict("no Maven", none);
    assertThat(none.err).contains("needs Maven");
    script(bin.resolve("mvn"), "#!/bin/sh\necho '[ERROR] does not compile'; exit 1\n");
    Result broken = run(List.of("PATH=" + bin + ":/bin"), vmcheck, "--version");
    assertNoVerdict("Maven fails", broken);
    assertThat(broken.err).contains("does not compile", "the build failed");
  }

  private static void assertNoVerdictOf(String what, Result result) {
    assertThat(result.code).as(what + ": " + result.err).isEqualTo(ExitCode.IO);
  }

  @ParameterizedTest
  @EnumSource
  void codesOfTheProgramArriveAsTheyAre(Installation installation) throws Exception {
    Path vmcheck = make(installation);
    Path text = Files.writeString(dir.resolve("text"), "no dump\n");
    Path cut = dir.resolve("cut");
    byte[] whole = Files.readAllBytes(TestData.named("healthy").dump());
    Files.write(cut, Arrays.copyOf(whole, whole.length / 2));

    assertThat(run(List.of(), vmcheck, TestData.named("healthy").dump()).code).isEqualTo(0);
    Result damaged = run(List.of(), vmcheck, TestData.named("use-after-free").dump());
    assertThat(damaged.code).isEqualTo(ExitCode.KERNEL_DAMAGED);
    assertThat(damaged.out).startsWith("kernel-damaged: ");
    assertThat(run(List.of(), vmcheck, "--no-such-option").code).isEqualTo(ExitCode.USAGE);
    assertThat(run(List.of(), vmcheck, text).code).isEqualTo(ExitCode.UNREADABLE);
    assertThat(run(List.of(), vmcheck, cut).code).isEqualTo(ExitCode.DUMP_DAMAGED);
    assertThat(run(List.of(), vmcheck, dir.resolve("nothing")).code).isEqualTo(ExitCode.IO);
  }

  @Test
  void aBugOfTheProgramArrivesAsOne() throws Exception {
    Path vmcheck = make(Installation.PACKAGE);
    Files.delete(dir.resolve("root/runtime"));
    script(dir.resolve("root/runtime/bin/java"), "#!/bin/sh\nexit 170\n");

    assertThat(run(List.of(), vmcheck, "--version").code).isEqualTo(ExitCode.BUG);
  }

  @ParameterizedTest
  @EnumSource
  void inputIsTheLaunchers(Installation installation) throws Exception {
    Path vmcheck = make(installation);
    Path java =
        script(dir.resolve("java/bin/java"), "#!/bin/sh\nread -r line; echo \"$line\"; exit 100\n");
    if (installation == Installation.PACKAGE) {
      Files.delete(dir.resolve("root/runtime"));
      Files.createSymbolicLink(dir.resolve("root/runtime"), dir.resolve("java"));
    } else {
      Files.writeString(java.getParent().resolveSibling("release"), "JAVA_VERSION=\"25.0.3\"\n");
    }
    List<String> home = List.of("JAVA_HOME=" + dir.resolve("java"));

    assertThat(run(home, "sh", "-c", "echo typed | " + vmcheck).out).isEqualTo("typed\n");
    Result closed = run(home, "sh", "-c", vmcheck + " <&-");
    assertThat(closed.code).as(closed.err).isEqualTo(0);
  }

  /// A scan that unpacks for seconds, and how it ends.
  @ParameterizedTest
  @CsvSource({
    "CHECKOUT, TERM, 143",
    "CHECKOUT, INT, 130",
    "CHECKOUT, HUP, 129",
    "CHECKOUT, KILL, 137",
    "PACKAGE, TERM, 143",
    "PACKAGE, INT, 130",
    "PACKAGE, HUP, 129",
    "PACKAGE, KILL, 137"
  })
  void aSignalEndsTheScanAndLeavesNothing(Installation installation, String signal, int code)
      throws Exception {
    Path vmcheck = make(installation);
    Path spool = Files.createDirectory(dir.resolve("spool"));
    Path incident = Files.createDirectories(dir.resolve("crash/127.0.0.1-2026-11-22-10:00:00"));
    LongUnpacking.write(incident.resolve("vmcore.gz"));
    Process process =
        command(
                List.of("JAVA_TOOL_OPTIONS=-Djava.io.tmpdir=" + spool),
                vmcheck,
                "scan",
                incident.getParent(),
                "--catalogue",
                dir.resolve("c.sqlite"),
                "--spool-dir",
                spool)
            .start();
    ProcessHandle program = programThatUnpacks(process);

    new ProcessBuilder("kill", "-s", signal, Long.toString(process.pid())).start().waitFor();

    assertThat(process.waitFor(1, TimeUnit.MINUTES)).isTrue();
    assertThat(process.exitValue()).isEqualTo(code);
    program.onExit().get(1, TimeUnit.MINUTES);
    assertThat(spool).isEmptyDirectory();
  }

  private static ProcessHandle programThatUnpacks(Process launcher) throws Exception {
    for (int i = 0; i < 3000; i++) {
      assertThat(launcher.isAlive()).isTrue();
      for (ProcessHandle child : launcher.descendants().toList()) {
        try (Stream<Path> open = Files.list(Path.of("/proc", "" + child.pid(), "fd"))) {
          if (open.anyMatch(fd -> target(fd).contains(".spool"))) {
            return child;
          }
        } catch (IOException | UncheckedIOException _) {
          // It has ended, or has not begun.
        }
      }
      Thread.sleep(10);
    }
    throw new AssertionError("nothing is unpacked");
  }

  private static String target(Path link) {
    try {
      return Files.readSymbolicLink(link).toString();
    } catch (IOException _) {
      return "";
    }
  }
}
