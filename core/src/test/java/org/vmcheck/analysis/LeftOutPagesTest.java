package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Finding;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// A slab's page that is not in the dump: the dumper's mistake where pages of zeros have entries of
/// their own (kdump-compressed), and no news where they are left out like any other (ELF).
class LeftOutPagesTest {
  private static FakeImage image() {
    FakeImage image =
        FakeKernel.of(Layout.V6_1)
            .seed(3)
            .cache(FakeCache.named("victim", 240).partial(2).full(4))
            .build();
    SlabImage full = image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
    return image.exclude(full.pfn());
  }

  private static DumpReport check(Path dump) throws Exception {
    try (Analyzer analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT)) {
      return analyzer.check("test");
    }
  }

  @Test
  void aFullSlabLeftOutOfAKdumpIsTheDumpersMistake(@TempDir Path dir) throws Exception {
    DumpReport report = check(image().writeKdump(dir));

    assertThat(report.verdict().kind()).isEqualTo("dump-damaged");
    assertThat(report.findings())
        .extracting(Finding::cause)
        .containsExactly(Cause.DUMPER_EXCLUDED_SLAB);
  }

  @Test
  void noFreelistIsSaidToBeBrokenWherePagesAreMissing(@TempDir Path dir) throws Exception {
    AnalysisOptions only =
        new AnalysisOptions(
            List.of("slab.freelist"),
            false,
            Optional.empty(),
            1,
            AnalysisOptions.Debug.DEFAULT,
            AnalysisOptions.Spool.DEFAULT);
    try (Analyzer analyzer = Analyzer.open(image().writeKdump(dir), only)) {
      assertThat(analyzer.check("test").checks())
          .singleElement()
          .isInstanceOfSatisfying(
              CheckOutcome.Ran.class,
              ran ->
                  assertThat(ran.answer())
                      .isEqualTo(
                          "1 slab of the kernel cannot be read whole: pages of them were left out"
                              + " of the dump"));
    }
  }

  @Test
  void aFullSlabLeftOutOfAnElfCoreMayBeZeros(@TempDir Path dir) throws Exception {
    DumpReport report = check(image().writeElf(dir));

    assertThat(report.findings()).isEmpty();
    assertThat(report.verdict().kind()).isEqualTo("intact");
    assertThat(report.verdict().coverage().notRead()).containsEntry("slab pages excluded", 1L);
  }
}
