package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Verdict;
import org.vmcheck.io.UnsupportedFormatException;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// A guest's memory as a hypervisor's snapshot leaves it: no header, byte n is physical address n.
class FlatMemoryTest {
  private static final AnalysisOptions RAW =
      AnalysisOptions.DEFAULT.withReading(new AnalysisOptions.Reading(true, 0));

  @TempDir private Path directory;

  private static FakeImage image() {
    return FakeKernel.of(Layout.V6_1).seed(4).noVmcoreinfoInFile().build();
  }

  private Path flat(FakeImage image) throws IOException {
    byte[] memory = new byte[Math.toIntExact(image.memory().endPfn() << 12)];
    image
        .memory()
        .pages()
        .forEach((pfn, page) -> System.arraycopy(page, 0, memory, (int) (pfn << 12), 4096));
    return Files.write(directory.resolve("snapshot"), memory);
  }

  private static DumpReport check(Path file) throws IOException {
    try (Analyzer analyzer = Analyzer.open(file, RAW)) {
      return analyzer.check("test");
    }
  }

  @Test
  void itIsReadWhereTheUserSaysWhatItIs() throws IOException {
    DumpReport report = check(flat(image()));
    assertThat(report.verdict()).isInstanceOf(Verdict.Intact.class);
    assertThat(report.dump().format()).isEqualTo("raw");
    assertThat(report.kernel().orElseThrow().release()).isEqualTo(Layout.V6_1.release());
  }

  @Test
  void damageInItIsFound() throws IOException {
    FakeImage image = image();
    CacheImage cache = image.cache("kmalloc-64");
    SlabImage slab = cache.slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    image.corruptWord(slab.slot(slab.freelist().getFirst()), 0x4141_4242_4343_4444L);
    assertThat(check(flat(image)).verdict()).isInstanceOf(Verdict.KernelDamaged.class);
  }

  @Test
  void withoutAWordFromTheUserItIsNamed() throws IOException {
    Path file = flat(image());
    assertThatThrownBy(() -> Analyzer.open(file, AnalysisOptions.DEFAULT))
        .isInstanceOf(UnsupportedFormatException.class)
        .hasMessageStartingWith("[snapshot] looks like flat memory without a header (")
        .hasMessageContaining("--raw reads it");
  }

  @Test
  void otherFilesAreNotTakenForMemory() throws IOException {
    byte[] noise = new byte[4 << 20];
    new Random(1).nextBytes(noise);
    byte[] log =
        "[    0.000000] Linux version 6.1.0\n".repeat(30_000).getBytes(StandardCharsets.US_ASCII);
    for (byte[] bytes : new byte[][] {noise, Arrays.copyOf(log, 1 << 20), new byte[8 << 20]}) {
      Path file = Files.write(directory.resolve("file"), bytes);
      assertThatThrownBy(() -> Analyzer.open(file, AnalysisOptions.DEFAULT))
          .hasMessageStartingWith("[file] no known dump format");
    }
  }

  @Test
  void aDumpWithAHeaderIsNoFlatMemory() throws IOException {
    Path file = image().writeElf(directory, "core");
    assertThatThrownBy(() -> Analyzer.open(file, RAW))
        .hasMessage("[core] is no flat memory but a dump of format elf: it is read without --raw");
  }

  @Test
  void theLastPageMayBeStoredInPart() throws Exception {
    byte[] bytes = new byte[4096 + 100];
    bytes[4096 + 99] = 7;
    Path file = Files.write(directory.resolve("part"), bytes);
    try (Analyzer analyzer = Analyzer.open(file, RAW)) {
      MemoryAnswer answer = analyzer.read(4096 + 98, 8, true);
      assertThat(answer.bytes()).containsExactly(0, 7);
      assertThat(answer.end()).isEqualTo("the page frame is stored in part, up to 0x1064");
    }
  }
}
