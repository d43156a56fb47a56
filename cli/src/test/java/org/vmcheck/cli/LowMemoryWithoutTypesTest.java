package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.LowSlabs;
import org.vmcheck.testing.SeedCase;

/// The one-mask range of the original report in dumps of kernels without BTF, which is how kernels
/// of that age come: with page descriptors by VMCOREINFO, and without.
class LowMemoryWithoutTypesTest {
  private static final String MASK = "a4e3f759a4e3f759a4e3f759a4e3f759";

  @TempDir private static Path dir;

  @BeforeAll
  static void writeDumps() throws Exception {
    for (Layout layout : List.of(Layout.V5_3_PLAIN, Layout.V5_3)) {
      FakeImage image = LowSlabs.image(LowSlabs.kernel(layout, 1).sme(47).genuine());
      LowSlabs.spoil(image, SeedCase.AS_REPORTED);
      image.writeKdump(dir, layout.isClassicSparse() ? "sections" : "vmemmap");
    }
  }

  private record Result(int code, String out, String err) {}

  private static Result run(String... words) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(new PrintWriter(out), new PrintWriter(err), words);
    return new Result(code, out.toString(), err.toString());
  }

  @ParameterizedTest
  @ValueSource(strings = {"vmemmap", "sections"})
  void theMaskIsFoundAndShown(String name) {
    Result result = run("check", "--format", "json", dir.resolve(name).toString());

    assertThat(result.code).isEqualTo(5);
    assertThat(result.out)
        .contains("\"dump-damaged\"", "sme-ciphertext", MASK)
        .doesNotContain("\"failed\"", "not ciphertext");
  }

  @ParameterizedTest
  @ValueSource(strings = {"vmemmap", "sections"})
  void everyCommandAnswers(String name) {
    String dump = dir.resolve(name).toString();

    assertThat(run("map", dump).out).contains("under the mask " + MASK);
    assertThat(run("map", "--all", dump).code).isZero();
    assertThat(run("check", "--format", "html", dump).out).contains("<svg", MASK);
    assertThat(run("read", dump, "0x10000", "--phys").out)
        .contains("lies under an encryption mask");
    assertThat(run("slabs", dump).code).isEqualTo(4);
    assertThat(run("object", dump, "0xffff888000010000").code).isEqualTo(4);
  }

  @Test
  void theBytesComeOutAndAreCalledAGuess() {
    Result result =
        run("read", dir.resolve("vmemmap").toString(), "0x98000", "32", "--phys", "--unmask");

    assertThat(result.code).isZero();
    assertThat(result.out).contains("?00?00?00", "guess");
  }
}
