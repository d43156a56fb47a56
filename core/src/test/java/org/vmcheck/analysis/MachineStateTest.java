package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.LogLine;
import org.vmcheck.finding.MachineState;
import org.vmcheck.testing.TestData;

/// The machine at a glance, on real dumps: the kernel's own log is the judge.
class MachineStateTest {
  static java.util.List<TestData> dumps() throws Exception {
    return TestData.all();
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void theClockAgreesWithTheLog(TestData data) throws Exception {
    try (Analyzer analyzer = Analyzer.open(data.dump(), AnalysisOptions.DEFAULT)) {
      MachineState state = analyzer.machineState().orElseThrow();
      LogLine last = analyzer.log().getLast();

      assertThat(state.lastLines()).hasSize(20).endsWith(last);
      assertThat(state.uptimeSeconds()).isGreaterThanOrEqualTo(last.timestampNanos() / 1e9 - 1);
      // A guest that ran on may have been silent for long.
      if (analyzer.log().stream().anyMatch(line -> line.text().contains("Kernel panic"))) {
        assertThat(state.uptimeSeconds()).isLessThan(last.timestampNanos() / 1e9 + 30);
      }
      assertThat(state.load()).hasSize(3).allMatch(load -> load >= 0 && load < 100);
    }
  }

  @Test
  void theMemoryIsTheMachinesAndNotTheDumps() throws Exception {
    try (Analyzer analyzer =
        Analyzer.open(TestData.named("debian-cloud").dump(), AnalysisOptions.DEFAULT)) {
      MachineState state = analyzer.machineState().orElseThrow();
      String told =
          analyzer.log().stream()
              .map(LogLine::text)
              .filter(line -> line.startsWith("Memory: "))
              .findFirst()
              .orElseThrow();

      // "Memory: 208720K/458220K available": the second number is what the kernel was given.
      long kib = Long.parseLong(told.replaceFirst("^Memory: \\d+K/(\\d+)K .*$", "$1"));
      assertThat(state.memoryBytes()).isEqualTo(kib << 10);
    }
  }
}
