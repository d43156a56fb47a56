package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Verdict;
import org.vmcheck.testing.TestData;

/// Every real dump cut short and with single bytes changed, at seeded places: a report or a
/// declared exception, and never damage of the kernel where the file was cut.
///
/// Half of the places lie in the headers, bitmaps and page descriptors, which are a small part of
/// the bytes. The system property `vmcheck.positions` sets how many places a dump gets.
@Tag("slow")
final class DamagedRealDumpsTest {
  private static final int POSITIONS = Integer.getInteger("vmcheck.positions", 40);

  static List<TestData> dumps() throws Exception {
    return TestData.small();
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void aCutDumpIsNoDamagedKernel(TestData data, @TempDir Path dir) throws Exception {
    Path copy = Files.copy(data.dump(), dir.resolve("dump"));
    List<Long> sizes = new ArrayList<>(positions(data));
    sizes.sort((a, b) -> Long.compare(b, a));
    try (RandomAccessFile file = new RandomAccessFile(copy.toFile(), "rw")) {
      for (long size : sizes) {
        file.setLength(size);

        DumpReport report = check(copy, "cut to " + size + " bytes");

        if (report != null && data.isHealthy()) {
          assertThat(report.verdict())
              .as("%s cut to %d bytes", data, size)
              .isNotInstanceOf(Verdict.KernelDamaged.class);
        }
        if (report != null) {
          assertThat(report.verdict())
              .as("%s cut to %d bytes", data, size)
              .isNotInstanceOf(Verdict.Intact.class);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void aChangedByteIsSurvived(TestData data, @TempDir Path dir) throws Exception {
    Path copy = Files.copy(data.dump(), dir.resolve("dump"));
    Random random = new Random(7);
    try (RandomAccessFile file = new RandomAccessFile(copy.toFile(), "rw")) {
      for (long at : positions(data)) {
        file.seek(at);
        int was = file.read();
        int change = 1 + random.nextInt(255);
        put(file, at, was ^ change);

        check(copy, "byte %d changed by 0x%x".formatted(at, change));

        put(file, at, was);
      }
    }
  }

  private static void put(RandomAccessFile file, long at, int value) throws IOException {
    file.seek(at);
    file.write(value);
  }

  private static List<Long> positions(TestData data) throws IOException {
    Random random = new Random(data.folder().getFileName().toString().hashCode());
    long size = Files.size(data.dump());
    List<Long> positions = new ArrayList<>();
    for (int i = 0; i < POSITIONS; i++) {
      positions.add(random.nextLong(i % 2 == 0 ? size : Math.min(size, 256 << 10)));
    }
    return positions;
  }

  /// @return null if the file was refused
  private static DumpReport check(Path dump, String what) {
    try (Analyzer analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT.withThreads(2))) {
      DumpReport report = analyzer.check("test");
      for (CheckOutcome outcome : report.checks()) {
        assertThat(outcome).as(what).isNotInstanceOf(CheckOutcome.Failed.class);
      }
      return report;
    } catch (IOException refused) {
      assertThat(refused.getMessage()).as(what).isNotBlank();
      return null;
    }
  }
}
