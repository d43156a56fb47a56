package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.testing.TestData;

/// `vmcheck compare` on real dumps.
class CompareCommandTest {
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

  private static Path dump(String name) throws Exception {
    return TestData.named(name).dump();
  }

  @Test
  void damagedKernelAfterAHealthyOneIsARegression() throws Exception {
    Result result = run("compare", dump("healthy"), dump("use-after-free"));

    assertThat(result.code).isEqualTo(1);
    assertThat(result.out)
        .startsWith("regression: ")
        .contains("! new-finding: use-after-free-write: ")
        .contains("! worse-verdict: ")
        .contains("command line ");
  }

  @Test
  void anotherHealthyKernelIsNone() throws Exception {
    Result result =
        run("compare", dump("healthy"), dump("debian-cloud"), "--policy", "kernel-upgrade");

    assertThat(result.code).isEqualTo(0);
    assertThat(result.out)
        .startsWith("no regression: ")
        .contains("kernel             6.1.192-lab-min -> 6.1.0-56-cloud-amd64")
        .contains("taint              O -> OE")
        .contains("modules            new: qemu_fw_cfg virtio ")
        .contains("inode_cache ")
        .doesNotContain("likely leak");
  }

  @Test
  void reportStandsForItsDump(@TempDir Path dir) throws Exception {
    Path report = dir.resolve("report.json");
    run("check", "--format", "json", "-o", report, dump("healthy"));

    Result result = run("compare", report, dump("healthy"), "--format", "markdown");

    assertThat(result.code).isEqualTo(0);
    assertThat(result.out).startsWith("## No regression\n").doesNotContain("###");
  }

  @Test
  void sidesAreSelectionsOfTheCatalogue(@TempDir Path dir) throws Exception {
    for (String name : new String[] {"healthy", "debian-cloud", "redzone"}) {
      Files.createDirectories(dir.resolve("crash/" + name));
      Files.copy(dump(name), dir.resolve("crash/" + name + "/vmcore"));
    }
    Path catalogue = dir.resolve("c.sqlite");
    run("scan", "--catalogue", catalogue, dir.resolve("crash"));

    Result worse =
        run(
            "compare",
            "--catalogue",
            catalogue,
            "kernel=6.1.0-56-cloud-amd64",
            "kernel=6.1.192-lab-min");
    Result none = run("compare", "--catalogue", catalogue, "kernel=6.1.19", dump("healthy"));

    assertThat(worse.code).isEqualTo(1);
    assertThat(worse.out)
        .contains(" -> 2 dumps (kernel=6.1.192-lab-min)")
        .contains("slab.poison/redzone-overwritten/vmcheck_lab_124/right red zone")
        .contains("in 0 of 1 dumps before, in 1 of 2 now");
    assertThat(none.code).isEqualTo(2);
    assertThat(none.err).contains("kernel=6.1.19 selects no dump that was checked");
  }

  @Test
  void policyThatIsNotUnderstoodPassesNothing(@TempDir Path dir) throws Exception {
    Path policy =
        Files.writeString(dir.resolve("p.yaml"), "fail-on: [new-finding]\nmax-growth: 1\n");

    Result result = run("compare", dump("healthy"), dump("healthy"), "--policy", policy);

    assertThat(result.code).isEqualTo(3);
    assertThat(result.err).contains("line 2: unknown key 'max-growth'");
  }
}
