package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Finding;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.EvidenceReader;
import org.vmcheck.testing.TestData;

/// What the evidence of each finding on the real dumps says is true of their bytes. Those on built
/// images are read back where they are planted.
class EvidenceReadBackTest {
  static List<TestData> dumps() throws Exception {
    return TestData.all().stream().filter(data -> !data.isHealthy()).toList();
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void everySentenceIsTrueOfTheBytes(TestData data) throws Exception {
    List<Finding> findings;
    try (Analyzer analyzer = Analyzer.open(data.dump(), AnalysisOptions.DEFAULT)) {
      findings = analyzer.check("test").findings();
    }
    assertThat(findings).isNotEmpty();
    try (Dump dump = Dumps.open(data.dump())) {
      EvidenceReader reader =
          new EvidenceReader(((KernelSearch.Found) KernelFinder.find(dump)).kernel());
      findings.forEach(reader::verify);
    }
  }
}
