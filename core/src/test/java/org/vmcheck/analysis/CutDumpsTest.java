package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Verdict;
import org.vmcheck.report.TextReport;
import org.vmcheck.testing.ElfWriter;
import org.vmcheck.testing.FlattenedWriter;
import org.vmcheck.testing.TestData;

/// Dumps cut short, the commonest broken ones: whose they are is said from what is left, that they
/// are cut is said at once, and why nothing else is said is said once.
final class CutDumpsTest {
  private static final List<Integer> PERCENT = List.of(10, 30, 60, 90);

  static List<TestData> dumps() throws Exception {
    return TestData.all();
  }

  @ParameterizedTest
  @MethodSource("dumps")
  void itIsSaidAtOnceWhoseDumpItIsAndThatItIsCut(TestData data, @TempDir Path dir)
      throws Exception {
    try (Dump whole = Dumps.open(data.dump())) {
      assertThat(whole.isCut()).isFalse();
    }
    String release;
    try (Analyzer whole = Analyzer.open(data.dump(), AnalysisOptions.DEFAULT)) {
      release = whole.kernelFacts().orElseThrow().release();
    }
    for (int percent : PERCENT) {
      Path cut = cut(data.dump(), percent, dir);
      try (Analyzer analyzer = Analyzer.open(cut, AnalysisOptions.DEFAULT)) {
        assertThat(analyzer.dumpFacts().complete()).as("%s at %d %%", data, percent).isFalse();
        assertThat(analyzer.dumpFacts().pages().missing()).isPositive();
        boolean hasNote = !analyzer.vmcoreinfo().isEmpty();
        Optional<KernelFacts> kernel = analyzer.kernelFacts();
        assertThat(kernel.isPresent()).as("%s at %d %%", data, percent).isEqualTo(hasNote);
        kernel.ifPresent(
            facts -> {
              assertThat(facts.release()).isEqualTo(release);
              assertThat(facts.machine())
                  .isEqualTo(data.toString().endsWith("arm64") ? "aarch64" : "x86_64");
              assertThat(facts.buildId()).hasSize(40);
            });
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {10, 30, 60, 90})
  void anElfCoreToo(int percent, @TempDir Path dir) throws Exception {
    Path elf = elf(TestData.named("healthy").dump(), dir);

    try (Analyzer analyzer = Analyzer.open(cut(elf, percent, dir), AnalysisOptions.DEFAULT)) {
      assertThat(analyzer.dumpFacts().complete()).isFalse();
      assertThat(analyzer.dumpFacts().pages().missing()).isPositive();
      assertThat(analyzer.kernelFacts().orElseThrow().release()).isEqualTo("6.1.192-lab-min");
      assertThat(analyzer.kernelFacts().orElseThrow().machine()).isEqualTo("x86_64");
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {10, 30, 60, 90})
  void aFlattenedOneToo(int percent, @TempDir Path dir) throws Exception {
    byte[] logical = Files.readAllBytes(TestData.named("healthy").dump());
    Path flat = FlattenedWriter.of(logical, 1 << 20).write(dir, "flat");

    try (Analyzer analyzer = Analyzer.open(cut(flat, percent, dir), AnalysisOptions.DEFAULT)) {
      assertThat(analyzer.dumpFacts().complete()).isFalse();
      assertThat(analyzer.dumpFacts().pages().missing()).isPositive();
      assertThat(analyzer.kernelFacts().orElseThrow().release()).isEqualTo("6.1.192-lab-min");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"healthy", "qemu-no-vmcoreinfo"})
  void oneReasonIsSaidOnce(String name, @TempDir Path dir) throws Exception {
    for (int percent : List.of(30, 90)) {
      DumpReport report = check(cut(TestData.named(name).dump(), percent, dir));

      assertThat(report.verdict()).isInstanceOf(Verdict.DumpDamaged.class);
      assertThat(report.findings()).extracting(Finding::cause).containsOnly(Cause.DUMP_TRUNCATED);
      assertThat(report.dump().complete()).isFalse();
      String text = TextReport.render(report, false, false);
      for (CheckOutcome outcome : report.checks()) {
        if (outcome instanceof CheckOutcome.Skipped skipped) {
          String reason = String.join("; ", skipped.unmet());
          assertThat(text.split(Pattern.quote(reason), -1)).as("%s in %s", reason, text).hasSize(2);
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {90})
  void whatOfTheKernelIsLostIsNamed(int percent, @TempDir Path dir) throws Exception {
    DumpReport report = check(cut(TestData.named("healthy").dump(), percent, dir));

    assertThat(report.findings().getFirst().evidence())
        .anySatisfy(
            fact ->
                assertThat(fact.sentence())
                    .startsWith("lost with them are pages that every reader needs: ")
                    .contains("page tables, level "));
  }

  private static Path cut(Path dump, int percent, Path dir) throws IOException {
    byte[] bytes = Files.readAllBytes(dump);
    return Files.write(
        dir.resolve("cut-" + percent),
        Arrays.copyOf(bytes, (int) ((long) bytes.length * percent / 100)));
  }

  private static DumpReport check(Path dump) throws IOException {
    try (Analyzer analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT)) {
      return analyzer.check("test");
    }
  }

  /// The same memory as an ELF core.
  private static Path elf(Path path, Path dir) throws IOException {
    try (Dump dump = Dumps.open(path)) {
      ElfWriter writer = ElfWriter.of64().vmcoreinfo(dump.vmcoreinfo().orElseThrow().text());
      for (long pfn = dump.memory().nextStored(0); pfn >= 0; ) {
        long end = pfn;
        while (dump.memory().nextStored(end) == end) {
          end++;
        }
        byte[] run = new byte[(int) (end - pfn) << 12];
        for (long at = pfn; at < end; at++) {
          if (dump.memory().read(at) instanceof PageRead.Present(MemorySegment page)) {
            MemorySegment.copy(page, ValueLayout.JAVA_BYTE, 0, run, (int) (at - pfn) << 12, 4096);
          }
        }
        writer.load(pfn << 12, 0, run, run.length);
        pfn = dump.memory().nextStored(end);
      }
      return writer.write(dir, "elf");
    }
  }
}
