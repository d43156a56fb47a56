package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.testing.PostgresServer;
import org.vmcheck.testing.TestData;

/// An archive from scan to export, on the command line in this process.
class ScanCommandTest {
  @TempDir private Path dir;

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

  private Path tree() throws Exception {
    Path tree = Files.createDirectory(dir.resolve("crash"));
    for (String name : List.of("healthy", "use-after-free")) {
      Files.createDirectory(tree.resolve(name));
      Files.copy(TestData.named(name).dump(), tree.resolve(name).resolve("vmcore"));
    }
    return tree;
  }

  @Test
  void fromScanToExport() throws Exception {
    Path tree = tree();
    Path catalogue = dir.resolve("c.sqlite");
    Path metrics = dir.resolve("vmcheck.prom");

    Result scan = run("scan", tree, "--catalogue", catalogue, "--jobs", "1", "--metrics", metrics);

    assertThat(scan.code).as(scan.err).isEqualTo(1);
    assertThat(scan.out)
        .contains("intact: ", "kernel-damaged: ", "incidents     2\n", "kernel-damaged 1\n");
    assertThat(Files.readString(metrics))
        .contains("vmcheck_incidents{verdict=\"kernel-damaged\"} 1");
    assertThat(Files.getPosixFilePermissions(catalogue))
        .isEqualTo(PosixFilePermissions.fromString("rw-------"));

    Result again = run("scan", tree, "--catalogue", catalogue, "--progress", "json");
    assertThat(again.code).isEqualTo(1);
    assertThat(again.out.lines()).hasSize(1);
    assertThat(again.out).contains("\"event\":\"summary\"", "\"unchanged\":2");

    Result list = run("catalogue", "--catalogue", catalogue, "list", "--format", "json");
    assertThat(list.code).as(list.err).isEqualTo(0);
    assertThat(list.out.lines()).hasSize(2).allMatch(line -> line.startsWith("{"));
    assertThat(list.out).contains("\"verdict\":\"intact\"", "\"verdict\":\"kernel-damaged\"");
    assertThat(
            run("catalogue", "list", "--catalogue", catalogue, "--verdict", "kernel-damaged").out)
        .contains("use-after-free/vmcore")
        .doesNotContain("healthy");

    Result show = run("catalogue", "--catalogue", catalogue, "show", "use-after-free/vmcore");
    assertThat(show.out).contains("kernel-damaged: ", "damage sig.", "$ vmcheck read " + tree);
    assertThat(run("catalogue", "--catalogue", catalogue, "show", "vmcore").code).isEqualTo(2);
    assertThat(run("catalogue", "--catalogue", catalogue, "groups", "--by", "damage").out)
        .contains("use-after-free-write");

    assertThat(run("catalogue", "--catalogue", catalogue, "trend", "--until", "2030-01-01").out)
        .contains("KERNEL, CAUSES", "6.1.192-lab-min: use-after-free-write 1", "2 incidents\n");
    assertThat(run("catalogue", "--catalogue", catalogue, "list", "--until", "2001-01-01").out)
        .hasLineCount(1);
    Result regressions =
        run("catalogue", "--catalogue", catalogue, "regressions", "--from", "5.3", "--to", "6.1");
    assertThat(regressions.code).isEqualTo(2);
    assertThat(regressions.err).contains("no incident of kernel 5.3 counts");
    assertThat(
            run("catalogue", "--catalogue", catalogue, "regressions", "--from=6.1", "--to=6.1")
                .code)
        .isEqualTo(0);

    Result hardware = run("catalogue", "--catalogue", catalogue, "hardware");
    assertThat(hardware.code).as(hardware.err).isEqualTo(0);
    assertThat(hardware.out)
        .contains(": not decided\n", "and one alone decides nothing")
        .endsWith("2 dumps weighed; 0 hosts without damage and without such lines in the log\n");
    assertThat(run("catalogue", "--catalogue", catalogue, "hardware", "--format", "json").out)
        .startsWith("{\"host\":")
        .contains("\"side\":\"not decided\"");

    Path html = dir.resolve("c.html");
    assertThat(
            run("catalogue", "--catalogue", catalogue, "export", "--format", "html", "-o", html)
                .code)
        .isEqualTo(0);
    assertThat(Files.readString(html)).startsWith("<!DOCTYPE html>").contains("use-after-free");
    assertThat(Files.getPosixFilePermissions(html))
        .isEqualTo(PosixFilePermissions.fromString("rw-------"));

    Path merged = dir.resolve("merged.sqlite");
    assertThat(run("catalogue", "--catalogue", merged, "merge", catalogue).out)
        .contains("2 incidents taken");
    assertThat(run("catalogue", "--catalogue", merged, "export").out)
        .isEqualTo(run("catalogue", "--catalogue", catalogue, "export").out);

    Files.delete(tree.resolve("healthy/vmcore"));
    assertThat(run("scan", tree, "--catalogue", catalogue, "--progress", "none").out)
        .contains("1 vanished");
    assertThat(run("catalogue", "--catalogue", catalogue, "prune", "--vanished", "--dry-run").out)
        .contains("1 incident would be forgotten");
    assertThat(run("catalogue", "--catalogue", catalogue, "prune", "--vanished").out)
        .contains("1 incident forgotten");
    assertThat(run("catalogue", "--catalogue", catalogue, "list").out.lines()).hasSize(2);
  }

  @Test
  void incidentsAreOfAnOrigin() throws Exception {
    Path tree = Files.createDirectory(dir.resolve("crash"));
    Files.copy(TestData.named("use-after-free").dump(), tree.resolve("vmcore"));
    Path a = dir.resolve("a.sqlite");
    Path b = dir.resolve("b.sqlite");
    String host = Files.readString(Path.of("/proc/sys/kernel/hostname")).strip();
    run("scan", tree, "--catalogue", a, "--origin", "db-1");
    run("scan", tree, "--catalogue", b);

    assertThat(run("catalogue", "--catalogue", a, "merge", b).out).contains("1 incident taken");

    String list = run("catalogue", "--catalogue", a, "list").out;
    assertThat(list).contains("  db-1:" + tree, "  " + host + ":" + tree, "(same as ");
    assertThat(run("catalogue", "--catalogue", a, "list", "--host", "db-1").out.lines()).hasSize(2);
    assertThat(run("catalogue", "--catalogue", a, "list", "--format", "json").out)
        .contains("\"origin\":\"db-1\"", "\"origin\":\"" + host + "\"");
    assertOneLine(
        run("scan", tree, "--catalogue", a, "--origin", "a b"), 2, "--origin: expected printable");
  }

  @Test
  void aCatalogueInPostgresAnswersAsAFileDoes() throws Exception {
    Optional<PostgresServer> server = PostgresServer.shared();
    assumeTrue(server.isPresent(), "PostgreSQL is not installed");
    server.get().sql("CREATE SCHEMA cli");
    String url = server.get().url("owner", "cli");
    Path file = dir.resolve("c.sqlite");
    Path tree = tree();

    Result scan = run("scan", tree, "--catalogue", url, "--origin", "a", "--progress", "none");
    assertThat(scan.code).as(scan.err).isEqualTo(1);
    assertThat(run("catalogue", "--catalogue", file, "merge", url).out)
        .contains("2 incidents taken");
    for (String question : List.of("list", "groups", "trend", "export", "list --format=json")) {
      Result there = run(words("catalogue --catalogue", url, question));
      assertThat(there.code).as(there.err).isEqualTo(0);
      assertThat(there.out).isEqualTo(run(words("catalogue --catalogue", file, question)).out);
    }
    assertThat(run("scan", tree, "--catalogue", url, "--origin", "a").out)
        .contains("0 (2 unchanged");
    assertThat(run("doctor", "--catalogue", url).out).contains("catalogue     there");
    assertOneLine(
        run("catalogue", "--catalogue", "postgresql://a@127.0.0.1:1/d", "list"),
        6,
        "the connection failed");
  }

  @Test
  void workersShareAQueue() throws Exception {
    Path tree = tree();
    Path catalogue = dir.resolve("c.sqlite");

    Result filled = run("scan", tree, "--enqueue", "--origin", "nas", "--catalogue", catalogue);
    assertThat(filled.code).as(filled.err).isEqualTo(0);
    assertThat(filled.out).contains("judged        0");
    Result first = run("scan", "--claim", "--catalogue", catalogue);
    Result second = run("scan", "--claim", "--catalogue", catalogue);

    assertThat(first.code).as(first.err).isEqualTo(1);
    assertThat(first.out).contains("judged        2", "kernel-damaged 1", "intact        1");
    assertThat(second.code).isEqualTo(0);
    assertThat(run("catalogue", "list", "--catalogue", catalogue).out)
        .contains("  nas:" + tree)
        .hasLineCount(3);
    // What is known is not queued again; what is gone is said.
    run("scan", tree, "--enqueue", "--origin", "nas", "--catalogue", catalogue, "--refresh");
    assertThat(run("scan", tree, "--claim", "--catalogue", catalogue).code).isEqualTo(2);
    Files.setLastModifiedTime(
        tree.resolve("healthy/vmcore"), java.nio.file.attribute.FileTime.fromMillis(1));
    run("scan", tree, "--enqueue", "--origin", "nas", "--catalogue", catalogue);
    Files.delete(tree.resolve("healthy/vmcore"));
    Result gone = run("scan", "--claim", "--catalogue", catalogue);
    assertThat(gone.code).isEqualTo(6);
    assertThat(gone.err).contains("healthy/vmcore: no such file");
    assertThat(run("scan", "--claim", "--catalogue", catalogue).out).contains("incidents     0");
  }

  @Test
  void aListNamesWhatToScan() throws Exception {
    Path tree = tree();
    Files.writeString(tree.resolve("healthy/vmcore-dmesg.txt"), "[    1.000000] of another\n");
    Path list = Files.writeString(dir.resolve("list"), tree.resolve("healthy/vmcore") + "\n");
    Path catalogue = dir.resolve("c.sqlite");

    Result scan = run("scan", "--files-from", list, "--catalogue", catalogue);
    assertThat(scan.code).as(scan.err).isEqualTo(0);
    assertThat(scan.out).contains("incidents     1");
    // It is the same incident, with what lies beside it, that a scan of the tree finds.
    assertThat(run("scan", tree, "--catalogue", catalogue).out).contains("judged        1 (1 unch");
    Files.writeString(list, tree.resolve("none") + "\0" + tree.resolve("use-after-free") + "\0");
    Result missing = run("scan", "--files-from", list, "--catalogue", catalogue);
    assertThat(missing.err).contains("none: no such file");
    assertThat(missing.out).contains("1 unchanged, 0 vanished", "not looked at 1 place");
    assertThat(run("scan", "--catalogue", catalogue).code).isEqualTo(2);
  }

  private static Object[] words(String command, Object catalogue, String question) {
    List<Object> words = new ArrayList<>(List.of(command.split(" ")));
    words.add(catalogue);
    words.addAll(List.of(question.split(" ")));
    return words.toArray();
  }

  private static Path database(Path file, String... statements) throws Exception {
    try (Connection connection = DriverManager.getConnection("jdbc:sqlite:" + file);
        Statement statement = connection.createStatement()) {
      for (String sql : statements) {
        statement.execute(sql);
      }
    }
    return file;
  }

  /// Another try would end the same: no I/O error. For a scan 3 would be an incident's answer.
  @Test
  void whatIsNoCatalogueOfOursIsRefusedAsUnreadable() throws Exception {
    Path tree = Files.createDirectory(dir.resolve("empty"));
    Path theirs = database(dir.resolve("theirs"), "CREATE TABLE places (url)");
    Path trap = dir.resolve("trap");
    run("scan", tree, "--catalogue", trap);
    database(trap, "CREATE TRIGGER t AFTER INSERT ON cause BEGIN SELECT 1; END");
    Path large = dir.resolve("large");
    run("scan", tree(), "--catalogue", large);
    database(large, "UPDATE incident SET summary = hex(zeroblob(20000000))");
    Path newer = dir.resolve("newer");
    run("scan", tree, "--catalogue", newer);
    database(newer, "PRAGMA user_version = 99");
    Path spoiled = dir.resolve("spoiled");
    Files.writeString(spoiled, "SQLite format 3\0" + "x".repeat(8192));

    for (Path catalogue : List.of(theirs, trap, large, newer, spoiled)) {
      String named = "catalogue " + catalogue;
      assertOneLine(
          run("catalogue", "--catalogue", catalogue, "list", "--format", "json"), 3, named);
      if (!catalogue.equals(large)) {
        assertOneLine(run("scan", tree, "--catalogue", catalogue), 6, named);
      }
    }
  }

  @Test
  void refusalsAreOneClearLine() throws Exception {
    Path tree = Files.createDirectory(dir.resolve("empty"));
    Path notes = Files.writeString(dir.resolve("notes"), "worth more than any catalogue");

    assertOneLine(run("scan", tree, "--catalogue", notes), 6, "is not a catalogue");
    assertOneLine(run("catalogue", "--catalogue", notes, "list"), 3, "is not a catalogue");
    assertThat(Files.readString(notes)).isEqualTo("worth more than any catalogue");
    assertOneLine(
        run("catalogue", "--catalogue", dir.resolve("none"), "list"), 6, "no such catalogue");
    assertOneLine(
        run("scan", dir.resolve("none"), "--catalogue", dir.resolve("c")), 6, "no such file");
    assertThat(Files.exists(dir.resolve("c"))).isFalse();
    assertOneLine(run("catalogue", "--catalogue", notes, "prune"), 2, "say which: --vanished");
    for (String shard : List.of("5/4", "x", "1/0", "-1/4")) {
      assertThat(run("scan", tree, "--shard=" + shard).code).isEqualTo(2);
    }
    assertThat(run("catalogue").code).isEqualTo(2);
    assertThat(run("scan", tree, "--catalogue", dir.resolve("c")).code).isEqualTo(0);
  }

  private static void assertOneLine(Result result, int code, String part) {
    assertThat(result.code).as(result.err).isEqualTo(code);
    assertThat(result.err.lines()).hasSize(1);
    assertThat(result.err).startsWith("vmcheck: ").contains(part).doesNotContain("Exception");
  }

  @Test
  void everyFormOfTheReport() throws Exception {
    Path dump = TestData.named("use-after-free").dump();

    assertThat(run("check", "--format", "html", dump).out).startsWith("<!DOCTYPE html>");
    Result sarif = run("check", "--format", "sarif", dump, TestData.named("healthy").dump());
    assertThat(sarif.code).isEqualTo(1);
    assertThat(sarif.out).startsWith("{").contains("\"ruleId\" : \"use-after-free-write\"");
    assertThat(run("check", "--format", "junit", dump).out)
        .startsWith("<?xml")
        .contains("<failure ");
    assertThat(run("check", "--format", "html", dump, dump).code).isEqualTo(2);
  }
}
