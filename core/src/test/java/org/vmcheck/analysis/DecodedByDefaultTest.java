package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Verdict;
import org.vmcheck.testing.KdumpWriter;
import org.vmcheck.testing.TestData;

/// What was not decoded is not called whole.
final class DecodedByDefaultTest {
  /// Found by a person who tried the program: random bytes over a ninth of the stored pages of a
  /// real dump were called intact.
  @Test
  void randomBytesOverStoredPagesAreSeenWithoutAnOption(@TempDir Path dir) throws Exception {
    Path copy = overwritten(dir, TestData.named("debian-cloud").dump(), 1900);

    DumpReport report = check(copy, List.of());

    assertThat(report.verdict()).isInstanceOf(Verdict.DumpDamaged.class);
    Finding finding = undecodable(report);
    assertThat(finding.claim()).isEqualTo("1,900 stored pages do not decode");
    assertThat(finding.evidence())
        .allSatisfy(fact -> assertThat(fact.sentence()).contains("page frame", "file offset 0x"));
    assertThat(report.findings()).extracting(Finding::cause).containsOnly(Cause.PAGE_UNDECODABLE);
  }

  @Test
  void aPageThatAnotherCheckMetIsNotForgotten(@TempDir Path dir) throws Exception {
    Path copy = overwritten(dir, TestData.named("healthy").dump(), 2700);

    DumpReport report = check(copy, List.of("container.complete"));

    // Nobody asked for container.pages, and looking for the kernel met such pages.
    assertThat(report.verdict()).isInstanceOf(Verdict.DumpDamaged.class);
    assertThat(undecodable(report).claim()).contains("do not decode");
  }

  @Test
  void aQuestionSaysWhichPagesItMetInVain(@TempDir Path dir) throws Exception {
    Path copy = overwritten(dir, TestData.named("healthy").dump(), 2700);

    try (Analyzer analyzer = Analyzer.open(copy, AnalysisOptions.DEFAULT)) {
      assertThat(analyzer.damagedPages())
          .singleElement()
          .asString()
          .matches("[0-9]+ stored pages that were met do not decode, the first: page frame .*");
    }
  }

  @Test
  void everyPageOfAHealthyDumpIsDecoded() throws Exception {
    DumpReport report = check(TestData.named("healthy").dump(), List.of());

    assertThat(report.verdict()).isInstanceOf(Verdict.Intact.class);
    assertThat(pages(report).coverage().lookedAt()).containsEntry("pages decoded", 5474L);
    assertThat(pages(report).facts()).containsEntry("decoded", "every stored page");
  }

  @Test
  void beyondAMillionPagesASampleIsDecodedAndSaid(@TempDir Path dir) throws Exception {
    KdumpWriter writer = withPagesOfZeros(TestData.named("healthy").dump(), 1_000_100);

    DumpReport report = check(writer.write(dir), List.of("container.pages"));

    assertThat(report.verdict()).isInstanceOf(Verdict.Intact.class);
    assertThat(report.verdict().summary()).endsWith("; 200000 of 1000100 pages decoded");
  }

  /// A real dump with as many more stored pages as it takes.
  private static KdumpWriter withPagesOfZeros(Path path, long stored) throws IOException {
    try (Dump dump = Dumps.open(path)) {
      Vmcoreinfo info = dump.vmcoreinfo().orElseThrow();
      KdumpWriter writer =
          KdumpWriter.version(6)
              .physBase(info.number("phys_base").orElseThrow())
              .vmcoreinfo(info.text());
      PhysicalMemory memory = dump.memory();
      long left = stored;
      for (long pfn = memory.nextStored(0); pfn >= 0; pfn = memory.nextStored(pfn + 1), left--) {
        if (memory.read(pfn) instanceof PageRead.Present(MemorySegment bytes)) {
          writer.zlib(pfn, bytes.toArray(ValueLayout.JAVA_BYTE));
        }
      }
      for (long pfn = memory.endPfn(); left > 0; pfn++, left--) {
        writer.zero(pfn);
      }
      return writer;
    }
  }

  private static Finding undecodable(DumpReport report) {
    return report.findings().stream()
        .filter(finding -> finding.fingerprint().equals("container.pages/undecodable"))
        .findFirst()
        .orElseThrow();
  }

  private static CheckOutcome.Ran pages(DumpReport report) {
    return report.checks().stream()
        .filter(outcome -> outcome.id().equals("container.pages"))
        .map(CheckOutcome.Ran.class::cast)
        .findFirst()
        .orElseThrow();
  }

  private static DumpReport check(Path dump, List<String> only) throws IOException {
    AnalysisOptions defaults = AnalysisOptions.DEFAULT;
    AnalysisOptions options =
        new AnalysisOptions(only, false, Optional.empty(), 2, defaults.debug(), defaults.spool());
    try (Analyzer analyzer = Analyzer.openForCheck(List.of(dump), options)) {
      return analyzer.check("test");
    }
  }

  /// A copy with random bytes over the packed bytes of so many pages.
  private static Path overwritten(Path dir, Path dump, int pages) throws IOException {
    ByteBuffer file = ByteBuffer.wrap(Files.readAllBytes(dump)).order(ByteOrder.LITTLE_ENDIAN);
    int block = file.getInt(KdumpWriter.BLOCK_SIZE);
    int table =
        block
            * (1 + file.getInt(KdumpWriter.SUB_HDR_SIZE) + file.getInt(KdumpWriter.BITMAP_BLOCKS));
    List<Integer> packed = new ArrayList<>();
    // The first page's data ends the table.
    for (int at = table; at < file.getLong(table); at += 24) {
      if (file.getInt(at + 12) != 0) {
        packed.add(at);
      }
    }
    Random random = new Random(1);
    Collections.shuffle(packed, random);
    for (int at : packed.subList(0, pages)) {
      byte[] noise = new byte[file.getInt(at + 8)];
      random.nextBytes(noise);
      file.put((int) file.getLong(at), noise);
    }
    return Files.write(dir.resolve("dump"), file.array());
  }
}
