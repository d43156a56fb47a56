package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.testing.TestData;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.json.JsonFactory;

/// The command line in this process: exit codes and what is printed.
class MainTest {
  private record Result(int code, String out, String err) {}

  private static Result run(Object... args) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    String[] words = new String[args.length];
    for (int i = 0; i < args.length; i++) {
      words[i] = args[i].toString();
    }
    int code = Main.run(new PrintWriter(out), new PrintWriter(err), words);
    return new Result(code, out.toString(), err.toString());
  }

  private static Path healthy() throws Exception {
    return TestData.named("healthy").dump();
  }

  @Test
  void bareDumpIsChecked() throws Exception {
    Result result = run(healthy());

    assertThat(result.code).isEqualTo(0);
    assertThat(result.out).startsWith("intact: ").contains("looked at");
    assertThat(result.err).isEmpty();
  }

  @Test
  void damagedKernelExitsWithOneAndNamesTheObject() throws Exception {
    TestData data = TestData.named("use-after-free");

    Result result = run("check", data.dump());

    assertThat(result.code).isEqualTo(1);
    assertThat(result.out)
        .startsWith("kernel-damaged: ")
        .contains("use-after-free-write: ")
        .contains(Long.toHexString(data.object()))
        .contains("$ vmcheck read " + data.dump() + " 0x" + Long.toHexString(data.slot()));
  }

  @Test
  void failOnRestrictsTheExitCode() throws Exception {
    Path dump = TestData.named("use-after-free").dump();

    assertThat(run("check", "--fail-on", "dump-damaged", dump).code).isEqualTo(0);
    assertThat(run("check", "--fail-on", "dump-damaged,kernel-damaged", dump).code).isEqualTo(1);
  }

  @Test
  void worstOfSeveralDumpsWins(@TempDir Path dir) throws Exception {
    Path text = Files.writeString(dir.resolve("notes.txt"), "not a dump");

    Result result = run("-q", healthy(), TestData.named("bit-flip").dump(), text);

    assertThat(result.code).isEqualTo(1);
    assertThat(result.out.lines().map(line -> line.split(":")[0]))
        .containsExactly("intact", "kernel-damaged");
    assertThat(result.err).contains("no known dump format");
  }

  @Test
  void jsonIsOneObjectWithTheFieldsOfTheSchema() throws Exception {
    Result result = run("check", "--format", "json", TestData.named("double-free").dump());

    assertThat(result.code).isEqualTo(1);
    try (JsonParser parser =
        new JsonFactory().createParser(ObjectReadContext.empty(), result.out)) {
      assertThat(parser.nextToken()).isEqualTo(JsonToken.START_OBJECT);
      parser.skipChildren();
      assertThat(parser.nextToken()).isNull();
    }
    assertThat(result.out)
        .contains("\"schemaVersion\" : 1")
        .contains("\"kind\" : \"kernel-damaged\"")
        .contains("\"status\" : \"ran\"")
        .contains("\"cause\" : \"double-free\"");
  }

  @Test
  void infoNamesContainerKernelAndPanic() throws Exception {
    Result result = run("info", healthy());

    assertThat(result.code).isEqualTo(0);
    assertThat(result.out)
        .contains("kdump-compressed, header version 6")
        .contains("6.1.192-lab-min")
        .contains("Kernel panic");
  }

  @Test
  void slabsOfOneCache() throws Exception {
    Result result = run("slabs", healthy(), "kmalloc-64");

    assertThat(result.code).isEqualTo(0);
    assertThat(result.out.lines().toList().subList(0, 4).get(1)).endsWith(" kmalloc-64");
    assertThat(result.out).contains("SLAB              MEMORY");
    assertThat(run("slabs", healthy(), "no-such-cache").code).isEqualTo(2);
    assertThat(run("slabs", "--format", "csv", healthy()).out)
        .startsWith("cache,objsize,allocated,total,slabs,ssize,name\r\n");
    assertThat(run("slabs", "--format", "json", healthy()).out).contains("\"kmalloc-64\"");
  }

  /// The same objects in every form.
  @Test
  void objectsOfOneCacheInEveryForm() throws Exception {
    Result text = run("slabs", "--objects", healthy(), "kmalloc-64");
    Result csv = run("slabs", "--objects", "--format", "csv", healthy(), "kmalloc-64");
    Result json = run("slabs", "--objects", "--format", "json", healthy(), "kmalloc-64");

    long free = text.out.lines().filter(line -> line.contains("  free, on ")).count();
    long allocated = text.out.lines().filter(line -> line.endsWith("  allocated")).count();
    assertThat(free).isPositive();
    assertThat(csv.out).startsWith("slab,memory,place,index,object,state,list\r\n");
    assertThat(csv.out.lines().filter(line -> line.contains(",free,"))).hasSize((int) free);
    assertThat(csv.out.lines().filter(line -> line.endsWith(",allocated,")))
        .hasSize((int) allocated);
    assertThat(json.out.split("\"state\":\"free\"", -1)).hasSize((int) free + 1);
    assertThat(json.out.split("\"state\":\"allocated\"", -1)).hasSize((int) allocated + 1);
  }

  /// The other end of a pipe may never come: nothing waits for it.
  @Test
  void aPipeIsRefusedAtOnce(@TempDir Path dir) throws Exception {
    Path pipe = dir.resolve("pipe");
    assumeTrue(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor() == 0);

    assertThat(run(pipe).err).contains("pipe: expected a regular file or a block device");
    assertThat(run("info", "--vmlinux", pipe, healthy()).err).contains("pipe: expected a regular");
    assertThat(run("/dev/zero").err).contains("/dev/zero: expected a regular file");
  }

  @Test
  void valuesAreNamedAsTheyAreWritten() throws Exception {
    assertThat(run("check", "--format", "pdf", healthy()).err)
        .contains("expected one of [text, json, html, sarif, junit] but was 'pdf'");
  }

  /// In one document for CI systems a dump that cannot be opened is an error, not a gap.
  @Test
  void whatCannotBeOpenedIsInTheDocument(@TempDir Path dir) throws Exception {
    Path text = Files.writeString(dir.resolve("text"), "not a dump at all, only some text");

    for (String format : List.of("junit", "sarif")) {
      Result result = run("check", "--format", format, text, healthy());

      assertThat(result.code).isEqualTo(3);
      assertThat(result.out).contains("no known dump format").contains("healthy");
      assertThat(run("check", "--format", format, text).out).contains("no known dump format");
    }
  }

  @Test
  void dmesgPrintsTheLog() throws Exception {
    Result result = run("dmesg", healthy());

    assertThat(result.code).isEqualTo(0);
    assertThat(result.out).startsWith("[    0.000000] Linux version 6.1.192");
  }

  @Test
  void readShowsBytesAndWhatThePageIs() throws Exception {
    TestData data = TestData.named("use-after-free");

    Result byAddress = run("read", data.dump(), "0x" + Long.toHexString(data.slot()), "16");
    Result byPhysical =
        run("read", "--phys", data.dump(), "0x" + Long.toHexString(data.physical()), "16");

    assertThat(byAddress.code).isEqualTo(0);
    assertThat(byAddress.out).contains("page: slab " + data.cache());
    assertThat(byPhysical.out.lines().skip(1).map(line -> line.substring(17)).toList())
        .isEqualTo(byAddress.out.lines().skip(1).map(line -> line.substring(17)).toList());
    assertThat(run("read", data.dump(), "0xdead000000000000").code).isEqualTo(4);
    assertThat(run("read", data.dump(), "+zebra").code).isEqualTo(2);
  }

  @Test
  void explainKnowsEveryCheckAndCause() {
    Result list = run("explain");

    assertThat(list.code).isEqualTo(0);
    for (String id :
        List.of("slab.freelist", "lowmem.sme", "sme-ciphertext", "double-free", "bit-flip")) {
      assertThat(list.out).contains(id);
      assertThat(run("explain", id).code).isEqualTo(0);
    }
    assertThat(run("explain", "known-bad-dumpers").out)
        .contains("makedumpfile takes slab pages for user or free pages", "QEMU reads NUMBER");
    assertThat(run("explain", "slab.lists").out)
        .contains("\n\nIt can mislead: ", "\n\nNext: ", "(-v: in detail)")
        .doesNotContain("refcount 0");
    assertThat(run("explain", "-v", "slab.lists").out)
        .contains("In detail: ", "refcount 0", "\n\nNext: ");
    assertThat(run("explain", "nothing").code).isEqualTo(2);
    assertThat(run("check", "--only", "nothing", "x").code).isEqualTo(2);
  }

  @Test
  void doctorTriesEveryCodecAndWritesNothing(@TempDir Path dir) throws Exception {
    Path catalogue = dir.resolve("state/catalogue.sqlite");

    Result result = run("doctor", "--catalogue", catalogue, "--spool-dir", dir);

    assertThat(result.code).isEqualTo(0);
    assertThat(result.out)
        .containsPattern("ok +java +25")
        .containsPattern("ok +codec zlib +decodes")
        .containsPattern("ok +codec lzo +decodes")
        .containsPattern("ok +codec snappy +decodes")
        .containsPattern("ok +codec zstd +decodes")
        .contains("/usr/lib/debug", catalogue + ", not there yet")
        .endsWith("vmcheck can run here\n");
    assertThat(dir).isEmptyDirectory();
  }

  /// What only some dumps need is said and does not make the machine unfit.
  @Test
  void doctorNamesWhatIsLacking(@TempDir Path dir) throws Exception {
    Path file = Files.writeString(dir.resolve("file"), "no directory");

    Result result =
        run("doctor", "--spool-dir", file, "--debug-dir", file, "--catalogue", file.resolve("x"));

    assertThat(result.code).isEqualTo(0);
    assertThat(result.out)
        .containsPattern("lacking +spool +" + file + " is no directory")
        .containsPattern("lacking +debug files +" + file + ": not there")
        .containsPattern("lacking +catalogue +" + file + "/x cannot be made");
  }

  @ParameterizedTest
  @ValueSource(strings = {"--help", "check --help", "info --help", "slabs --help", "read --help"})
  void helpIsNoError(String line) {
    Result result = run((Object[]) line.split(" "));

    assertThat(result.code).isEqualTo(0);
    assertThat(result.out).contains("Usage: vmcheck");
  }

  // ---- bad input: one clear line, the right code, no stack trace

  private static void assertOneLine(Result result, int code, String... parts) {
    assertThat(result.code).as(result.err).isEqualTo(code);
    assertThat(result.err.lines()).hasSize(1);
    assertThat(result.err).startsWith("vmcheck: ").contains(parts).doesNotContain("Exception");
    assertThat(result.out).isEmpty();
  }

  @Test
  void emptyFile(@TempDir Path dir) throws Exception {
    assertOneLine(run(Files.createFile(dir.resolve("empty"))), 3, "[empty] the file is empty");
  }

  @Test
  void textFile(@TempDir Path dir) throws Exception {
    Path file = Files.writeString(dir.resolve("dmesg.txt"), "[    0.000000] Linux version\n");

    assertOneLine(
        run(file), 3, "[dmesg.txt] no known dump format", "kdump: signature is", "elf: magic is");
  }

  @Test
  void missingFile(@TempDir Path dir) {
    assertOneLine(run(dir.resolve("none")), 6, "no such file");
  }

  @Test
  void directory(@TempDir Path dir) {
    assertOneLine(run(dir), 2, "is a directory");
  }

  @Test
  void vmlinuxGivenAsDump(@TempDir Path dir) throws Exception {
    byte[] header = new byte[64];
    System.arraycopy(new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1}, 0, header, 0, 7);
    header[16] = 2;
    header[18] = 62;

    assertOneLine(
        run(Files.write(dir.resolve("vmlinux"), header)), 3, "e_type", "give it with --vmlinux");
  }

  @Test
  void truncatedDumpIsTheDumpsFault(@TempDir Path dir) throws Exception {
    byte[] whole = Files.readAllBytes(healthy());
    Path cut = Files.write(dir.resolve("cut"), java.util.Arrays.copyOf(whole, whole.length / 2));

    Result result = run("-q", cut);

    assertThat(result.code).isIn(4, 5);
    assertThat(result.err).isEmpty();
  }

  @Test
  void headerCutShort(@TempDir Path dir) throws Exception {
    byte[] whole = Files.readAllBytes(healthy());
    Path cut = Files.write(dir.resolve("cut"), java.util.Arrays.copyOf(whole, 300));

    assertOneLine(run(cut), 3, "[cut] disk_dump_header.length at 0x0", "file truncated?");
  }

  @Test
  void fileWithoutPermission(@TempDir Path dir) throws Exception {
    // Root may read everything: another user asks, in a process of its own.
    assumeTrue(System.getProperty("user.name").equals("root"));
    Path file = Files.writeString(dir.resolve("secret"), "x");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
    Files.setPosixFilePermissions(dir, PosixFilePermissions.fromString("rwxr-xr-x"));
    Process process =
        new ProcessBuilder(
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                readableClassPath(),
                "org.vmcheck.cli.Main",
                file.toString())
            .redirectErrorStream(true)
            .start();
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    int code = process.waitFor();
    assumeTrue(!text.contains("ClassNotFound"), "the class path is not readable for others");

    assertThat(code).as(text).isEqualTo(6);
    assertThat(text.lines()).hasSize(1);
    assertThat(text).contains("permission denied");
  }

  /// Copies of this test's classes where any user can read them.
  private static String readableClassPath() throws Exception {
    Path base = Files.createTempDirectory("vmcheck-classes");
    Files.setPosixFilePermissions(base, PosixFilePermissions.fromString("rwxr-xr-x"));
    List<String> parts = new java.util.ArrayList<>();
    int n = 0;
    for (String entry : System.getProperty("java.class.path").split(java.io.File.pathSeparator)) {
      Path source = Path.of(entry);
      Path copy = base.resolve("p" + n++ + (Files.isDirectory(source) ? "" : ".jar"));
      new ProcessBuilder("cp", "-rL", source.toString(), copy.toString()).start().waitFor();
      parts.add(copy.toString());
    }
    new ProcessBuilder("chmod", "-R", "a+rX", base.toString()).start().waitFor();
    base.toFile().deleteOnExit();
    return String.join(java.io.File.pathSeparator, parts);
  }
}
