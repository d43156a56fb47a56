package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.TwoKernels;

/// A crashed kernel and its capture kernel in one file, at the command line.
class KernelOptionTest {
  @TempDir private static Path dir;
  private static String dump;

  @BeforeAll
  static void writeDump() throws Exception {
    TwoKernels memory = new TwoKernels(Layout.V6_1, image -> {});
    dump = memory.cpu(memory.captureRoot()).write(dir).toString();
  }

  private static String run(int expected, String... words) {
    StringWriter out = new StringWriter();
    int code = Main.run(new PrintWriter(out), new PrintWriter(out), words);
    assertThat(code).as(out.toString()).isEqualTo(expected);
    return out.toString();
  }

  @Test
  void infoListsBothAndShowsTheCrashedOne() {
    assertThat(run(0, "info", dump))
        .contains("kernel 1    " + Layout.V6_1.release())
        .contains("(shown here)")
        .containsPattern("kernel 2 .*a capture kernel \\(elfcorehdr= on its command line\\)")
        .doesNotContainPattern("command .*elfcorehdr");
    assertThat(run(0, "info", dump, "--kernel", "2")).containsPattern("command .*elfcorehdr=");
  }

  @Test
  void oneKernelIsNotListed() throws Exception {
    Path alone = FakeKernel.of(Layout.V6_1).seed(1).build().writeKdump(dir, "alone");
    assertThat(run(0, "info", alone.toString())).doesNotContain("kernel 1");
  }

  @Test
  void aNumberThatNoKernelHasIsRefused() {
    assertThat(run(2, "info", dump, "--kernel", "3")).contains("--kernel 3: the dump holds 2");
  }
}
