package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.SeedCase;

/// The dump of kernel bug 204793 at the command line: what crash said, and what it could not say.
class UnmaskTest {
  @TempDir private static Path dir;
  private static Path dump;

  @BeforeAll
  static void writeDump() throws Exception {
    FakeImage image = SeedCase.image();
    SeedCase.spoil(image, SeedCase.AS_REPORTED);
    dump = image.writeKdump(dir);
  }

  private record Result(int code, String out, String err) {}

  private static Result run(String... words) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(new PrintWriter(out), new PrintWriter(err), words);
    return new Result(code, out.toString(), err.toString());
  }

  @Test
  void theReportHasCrashsWordsAndTheVerdictItLacked() {
    Result result = run("check", dump.toString());

    assertThat(result.code).isEqualTo(5);
    assertThat(result.out)
        .startsWith("dump-damaged: ")
        .contains("dma-kmalloc-512")
        .contains("ffffd77680001c00")
        .contains("a6086ac099f0c5a4")
        .contains("ffff8964c0072600")
        .contains("says nothing against the kernel")
        .contains("6f599d84231f")
        .contains("Do not hunt a kernel bug")
        .contains("--unmask");
  }

  @Test
  void bytesAreShownAsTheyStandWithAWordOfCautionAndRecovered() {
    String address = "0xffff8964c0077800";

    Result asItStands = run("read", dump.toString(), address, "8");
    Result recovered = run("read", dump.toString(), address, "8", "--unmask");

    assertThat(asItStands.out).contains("a4 c5 f0 99 c0 6a 08 a6").contains("lies under");
    assertThat(recovered.out).contains("00 26 07 c0 64 89 ff ff").doesNotContain("lies under");
  }

  @Test
  void anObjectWhoseListCannotBeFollowedIsNotCalledAllocated() {
    String address = "0xffff8964c0072600";

    assertThat(run("object", dump.toString(), address).out)
        .contains("state       cannot be told")
        .doesNotContain("allocated");
    assertThat(run("object", dump.toString(), address, "--unmask").out)
        .contains("state       free, on kmem_cache_cpu.freelist of cpu 0")
        .contains("pointed by  the word at 0xffff8964c0077800");
  }

  @Test
  void slabsSayThatTheirNumbersAreNotRightUnlessUnmasked() {
    Result asItStands = run("slabs", dump.toString(), "dma-kmalloc-512");
    Result recovered = run("slabs", dump.toString(), "dma-kmalloc-512", "--unmask");

    assertThat(asItStands.err).contains("slabs of dma-kmalloc-512 lie on pages");
    assertThat(recovered.err).isEmpty();
    assertThat(recovered.out).isNotEqualTo(asItStands.out);
  }

  @Test
  void thePictureIsInTheHtmlReportAndNamesThePages() {
    Result html = run("check", "--format", "html", dump.toString());
    Result text = run("map", dump.toString());

    assertThat(html.out).contains("<svg", "physical 0x70000", "under the mask a4e3f759");
    assertThat(text.out)
        .contains("! physical 0x70000 to 0x77fff (slab dma-kmalloc-512): under the mask");
  }
}
