package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// Memory that the hardware gave up is a lead that the first line has, with its owner; no sentence
/// claims lists that lie on it.
class HardwarePagesTest {
  @TempDir private Path dir;

  static Stream<Layout> layouts() {
    return Stream.of(Layout.V5_3, Layout.V6_1, Layout.V6_1_SLAB, Layout.V7_1);
  }

  private DumpReport check(FakeImage image) throws Exception {
    try (Analyzer analyzer = Analyzer.open(image.writeKdump(dir), AnalysisOptions.DEFAULT)) {
      return analyzer.check("test");
    }
  }

  private static String answer(DumpReport report, String check) {
    return report.checks().stream()
        .filter(outcome -> outcome.id().equals(check))
        .map(outcome -> ((CheckOutcome.Ran) outcome).answer())
        .findFirst()
        .orElseThrow();
  }

  private static void giveUp(FakeImage image, long pfn) {
    long flags = image.descriptor(pfn);
    int bit = image.layout().pageFlag("PG_hwpoison").orElseThrow();
    image.corruptWord(flags, image.word(flags) | 1L << bit).exclude(pfn);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSlabPageIsNamedWithItsCacheAndNoListOfItIsClaimed(Layout layout) throws Exception {
    FakeImage image =
        FakeKernel.of(layout)
            .seed(4)
            .cache(FakeCache.named("victim", 512).partial(3).sheaves(0))
            .build();
    SlabImage slab = image.cache("victim").slabs().getFirst();
    long pfn = image.physical(slab.object(0)) >>> 12;
    giveUp(image, pfn);

    DumpReport report = check(image);

    assertThat(report.findings()).isEmpty();
    assertThat(report.verdict().kind()).isEqualTo("intact");
    assertThat(report.verdict().summary())
        .contains(
            "the hardware gave up 1 page of memory (PG_hwpoison): 1 of a slab of cache victim"
                + " (frame 0x%x); not in the dump".formatted(pfn));
    if (!layout.isOldSlab()) {
      assertThat(answer(report, "slab.freelist")).contains("given up by the hardware");
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aTailPageOfASlabIsNoPageThatADumperLeftOut(Layout layout) throws Exception {
    FakeImage image =
        FakeKernel.of(layout)
            .seed(4)
            .cache(FakeCache.named("victim", 4096).partial(2).sheaves(0))
            .build();
    SlabImage slab = image.cache("victim").slabs().getFirst();
    giveUp(image, (image.physical(slab.object(0)) >>> 12) + 1);

    DumpReport report = check(image);

    assertThat(report.findings()).isEmpty();
    assertThat(report.verdict().summary()).contains("1 of a slab of cache victim");
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void whereNoneIsGivenUpNothingIsSaid(Layout layout) throws Exception {
    DumpReport report =
        check(FakeKernel.of(layout).seed(4).cache(FakeCache.named("victim", 512)).build());

    assertThat(report.verdict().summary()).doesNotContain("hardware");
    assertThat(List.of(report.verdict().kind())).containsExactly("intact");
  }
}
