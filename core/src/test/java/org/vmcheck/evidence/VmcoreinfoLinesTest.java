package org.vmcheck.evidence;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.Packer;

/// A value of VMCOREINFO that cannot be is named with its line: in a redacted bundle without what
/// tells of the machine.
class VmcoreinfoLinesTest {
  @TempDir private Path dir;

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "NUMBER(PG_slab)=9223372036854775807: not a bit of the page flags, 0 to 63 | SAME",
        "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=5: no type of a page: these are negative words | SAME",
        "OFFSET(page.lru)=64: not an offset | SAME",
        "SYMBOL(_stext)=7f3a9c001000: no address | SYMBOL(_stext)=(redacted): no address",
        "NUMBER(phys_base)=484442113: no distance | NUMBER(phys_base)=(redacted): no distance",
        "NUMBER(sme_mask)=7: no mask | NUMBER(sme_mask)=(redacted): no mask",
        "CRASHTIME=-1763818401: not a time | CRASHTIME=(redacted): not a time",
        // What a damaged note holds is no kernel's line.
        "SYMBOL(_stext)=ff81 geheim: no address | (text)",
        "SYMBOL(geheim\\x00)=ff81: no address | (text)",
        "SYMBOL(geheim) OSRELEASE=1: no address | (text)",
        "SYMBOL(a)=1; it is not used, geheim=2: no address | (text)",
        "SYMBOL(a)=1: no address; it is not used, geheim | (text)",
        "SIZE(page)=geheim... | (text)",
      })
  void aQuotedLineKeepsOnlyWhatTypesLookLike(String quote, String expected) {
    String sentence = "VMCOREINFO says %s; it is not used";
    assertThat(VmcoreinfoLines.withoutQuotes("[a] " + sentence.formatted(quote) + "."))
        .isEqualTo("[a] " + sentence.formatted(expected.equals("SAME") ? quote : expected) + ".");
  }

  @ParameterizedTest
  @CsvSource({"VMCOREINFO says NUMBER(sme_mask)=0x80", "it is not used", "; it is not used"})
  void otherSentencesStay(String text) {
    assertThat(VmcoreinfoLines.withoutQuotes(text)).isEqualTo(text);
  }

  @Test
  void hostileTextIsLeftOut() {
    for (String unit : List.of("VMCOREINFO says ", "; it is not used", "=", "A", "(a", ": ", "1")) {
      String text = "VMCOREINFO says " + unit.repeat(100_000) + "; it is not used";
      assertThat(VmcoreinfoLines.withoutQuotes(text)).hasSizeLessThan(100);
    }
  }

  @Test
  void noFileOfABundleHoldsTheValue() throws Exception {
    Path healthy = FakeKernel.of(Layout.V6_1).seed(9).build().writeKdump(dir);
    String lines =
        """
        SYMBOL(log_buf)=7f3a9c001000
        CRASHTIME=-1763818401
        SYMBOL(crashk_res)=81 Kunde
        NUMBER(PG_reserved)=9223372036854775807
        """;
    List<String> keys = lines.lines().map(l -> l.substring(0, l.indexOf('=') + 1)).toList();
    DumpCopy copy = DumpCopy.of(healthy);
    String others =
        String.join(
            "\n",
            copy.vmcoreinfo().lines().filter(l -> keys.stream().noneMatch(l::startsWith)).toList());
    Path dump = copy.setVmcoreinfo(others + "\n" + lines).write(dir, Packer.ZLIB);

    assertThat(text(dump, false)).contains("7f3a9c001000", "1763818401", "81 Kunde");
    assertThat(text(dump, true))
        .doesNotContain("7f3a9c001000", "1763818401", "Kunde")
        .contains("SYMBOL(log_buf)=(redacted): no address")
        .contains("NUMBER(PG_reserved)=9223372036854775807: not a bit of the page flags");
  }

  /// All files of the dump's bundle.
  private static String text(Path dump, boolean redact) throws Exception {
    try (Analyzer analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT)) {
      byte[] zip =
          Bundle.make(
              analyzer,
              analyzer.check("vmcheck test"),
              List.of(dump),
              List.of(),
              redact,
              Instant.EPOCH,
              _ -> {});
      StringBuilder all = new StringBuilder();
      for (Map.Entry<String, byte[]> file : CanonicalZip.read(zip).entrySet()) {
        all.append(new String(file.getValue(), StandardCharsets.UTF_8));
      }
      return all.toString();
    }
  }
}
