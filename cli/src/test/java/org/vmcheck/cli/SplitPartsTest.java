package org.vmcheck.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.PageRead;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.KdumpWriter;
import org.vmcheck.testing.Layout;

/// The parts of a split dump stand for one dump at every command that takes one.
class SplitPartsTest {
  @TempDir private static Path dir;
  private static Path whole;
  private static List<String> parts;
  private static String address;

  @BeforeAll
  static void writeDumps() throws Exception {
    FakeImage image = FakeKernel.of(Layout.V6_1).seed(2).build();
    address = "0x%x".formatted(image.cache("kmalloc-64").slabs().getFirst().base());
    whole = image.writeKdump(dir, "whole");
    KdumpWriter writer =
        KdumpWriter.version(6)
            .release(Layout.V6_1.release())
            .physBase(image.physical(0xffff_ffff_8000_0000L))
            .vmcoreinfo(image.vmcoreinfo());
    try (Dump dump = Dumps.open(whole)) {
      long end = dump.memory().endPfn();
      for (long pfn = 0; pfn < end; pfn++) {
        switch (dump.memory().read(pfn)) {
          case PageRead.Present(MemorySegment bytes) ->
              writer.zlib(pfn, bytes.toArray(ValueLayout.JAVA_BYTE));
          case PageRead.Excluded _ -> writer.excluded(pfn);
          default -> {}
        }
      }
      parts = writer.writeSplit(dir, end / 3, end / 2).stream().map(Path::toString).toList();
    }
  }

  private static String run(int expected, String... words) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(new PrintWriter(out), new PrintWriter(err), words);
    assertThat(code).as(err.toString()).isEqualTo(expected);
    return out + err.toString();
  }

  private static String[] words(String command, List<String> dump, String... more) {
    List<String> words = new ArrayList<>(List.of(command));
    words.addAll(dump);
    words.addAll(List.of(more));
    return words.toArray(String[]::new);
  }

  @Test
  void everyCommandAnswersAsForTheWholeDump() {
    for (String[] more :
        new String[][] {
          {"slabs"}, {"slabs", "kmalloc-64"}, {"object", address}, {"read", address, "64"}, {"map"}
        }) {
      String[] rest = Arrays.copyOfRange(more, 1, more.length);
      String expected = run(0, words(more[0], List.of(whole.toString()), rest));
      assertThat(run(0, words(more[0], parts, rest))).as(more[0]).isEqualTo(expected);
      assertThat(run(0, words(more[0], parts.reversed(), rest))).as(more[0]).isEqualTo(expected);
    }
  }

  @Test
  void infoAndCompareTakeThemToo() {
    assertThat(run(0, words("info", parts))).contains("complete    yes");
    assertThat(run(0, words("compare", List.of(whole.toString()), parts.toArray(String[]::new))))
        .contains("whole");
  }

  @Test
  void filesThatAreNoPartsStayArguments() {
    assertThat(run(2, "info", whole.toString(), parts.getFirst()))
        .contains("one argument too many: ");
  }

  @Test
  void aPartAloneSaysWhatIsMissing() {
    assertThat(run(0, "info", parts.getFirst())).contains("complete    NO");
  }
}
