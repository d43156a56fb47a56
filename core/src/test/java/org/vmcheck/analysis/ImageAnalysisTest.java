package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;

/// The whole analysis, as a user runs it, on files of healthy kernels of every generation.
class ImageAnalysisTest {
  static Stream<Layout> layouts() {
    return Stream.concat(Layout.ALL.stream(), Layout.OLD_SLAB.stream());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aHealthyKernelIsIntactAndNoCheckFails(Layout layout, @TempDir Path directory)
      throws IOException {
    for (FakeKernel kernel :
        new FakeKernel[] {
          FakeKernel.of(layout).seed(21).nodes(2).cpus(3).kfence(255).hwPoison(),
          FakeKernel.of(layout).seed(22).fiveLevels().lowMemoryReserved(false)
        }) {
      Path dump = kernel.build().writeKdump(directory);
      try (Analyzer analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT)) {
        DumpReport report = analyzer.check("test");
        assertThat(report.checks()).noneMatch(CheckOutcome.Failed.class::isInstance);
        assertThat(report.findings()).isEmpty();
        assertThat(report.verdict().kind()).as("%s", report.verdict()).isEqualTo("intact");
      }
    }
  }
}
