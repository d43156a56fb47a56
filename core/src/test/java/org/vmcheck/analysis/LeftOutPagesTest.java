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
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
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

  /// Linux 7.1 names the word that marks tails anew, and makedumpfile up to 1.7.9 does not know it.
  @Test
  void theDumperThatKnowsNoTailsIsNamed(@TempDir Path dir) throws Exception {
    FakeImage image =
        FakeKernel.of(Layout.V7_1)
            .seed(3)
            .cache(FakeCache.named("victim", 2048).partial(2).full(4))
            .build();
    SlabImage full = image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();

    DumpReport report = check(image.exclude(full.pfn() + 1).writeKdump(dir));

    Finding finding = report.findings().getFirst();
    assertThat(finding.cause()).isEqualTo(Cause.DUMPER_EXCLUDED_SLAB);
    assertThat(finding.evidence())
        .anySatisfy(
            fact ->
                assertThat(fact.sentence())
                    .contains("OFFSET(page.compound_info)", "makedumpfile up to 1.7.9"));
  }

  @Test
  void thatDumperIsToBlameForTailsOfTheKernelToo(@TempDir Path dir) throws Exception {
    FakeImage image = FakeKernel.of(Layout.V7_1).seed(3).build();
    Kernel kernel = image.kernel();
    MemMap map = MemMap.of(kernel).orElseThrow();
    long offset = kernel.symbol("this_cpu_off").orElseThrow();
    long head = kernel.memory().physicalAddress(kernel.perCpu().address(offset, 0)) >>> 12;
    long pfn = kernel.memory().physicalAddress(kernel.perCpu().address(offset, 1)) >>> 12;
    image.corruptWord(
        image.member("page", map.descriptor(pfn), "compound_info"), map.descriptor(head) + 1);

    DumpReport report = check(image.exclude(pfn).writeKdump(dir));

    assertThat(report.verdict().kind()).isEqualTo("dump-damaged");
    assertThat(report.findings())
        .anySatisfy(
            finding -> {
              assertThat(finding.cause()).isEqualTo(Cause.DUMPER_EXCLUDED_KERNEL);
              assertThat(finding.claim()).contains("per-CPU areas (");
            });
  }
}
