package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// The same damaged words in dumps whose filter ran and in dumps without a filter.
class ErasedDataTest {
  private static final int SUB_HEADER = 4096;

  @ParameterizedTest
  @CsvSource({
    "'erase some_object size 64\n', 5858585858585858, dump-damaged",
    "'erase some_object size 64\n', 4141414141414141, kernel-damaged",
    "'', 5858585858585858, kernel-damaged"
  })
  void onlyWhatTheFilterWritesIsItsWork(
      String note, String word, String verdict, @TempDir Path directory) throws IOException {
    FakeImage image = FakeKernel.of(Layout.ALL.getFirst()).seed(3).build();
    SlabImage slab =
        image.caches().stream()
            .flatMap(cache -> cache.slabs().stream())
            .filter(s -> s.freelist().size() > 2)
            .findFirst()
            .orElseThrow();
    image.corruptWord(slab.slot(slab.freelist().getFirst()), Long.parseUnsignedLong(word, 16));

    DumpReport report = check(withEraseinfo(image.writeKdump(directory), note));

    assertThat(report.verdict().kind()).as("%s", report.verdict()).isEqualTo(verdict);
    assertThat(report.findings())
        .isNotEmpty()
        .allMatch(f -> f.cause().id().equals("erased-by-filter") == verdict.equals("dump-damaged"));
  }

  private static DumpReport check(Path dump) throws IOException {
    try (Analyzer analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT)) {
      return analyzer.check("test");
    }
  }

  /// As makedumpfile does it: the text at the end of the file, its place in the sub header.
  private static Path withEraseinfo(Path dump, String note) throws IOException {
    if (note.isEmpty()) {
      return dump;
    }
    byte[] file = Files.readAllBytes(dump);
    byte[] text = note.getBytes(StandardCharsets.US_ASCII);
    ByteBuffer header = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
    header.putLong(SUB_HEADER + 64, file.length);
    header.putLong(SUB_HEADER + 72, text.length);
    byte[] all = Arrays.copyOf(file, file.length + text.length);
    System.arraycopy(text, 0, all, file.length, text.length);
    return Files.write(dump, all);
  }
}
