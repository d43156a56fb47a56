package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.groups.Tuple.tuple;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.vmcheck.debuginfo.DebugSources;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelEntry;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Verdict;
import org.vmcheck.json.ReportReader;
import org.vmcheck.json.ReportWriter;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.TestData;

/// A real host's dump of a guest that stood in its capture kernel while the crashed kernel's broken
/// freelist lay in the same memory.
class RealTwoKernelsTest {
  private static DumpReport check(TestData data, int kernel) throws Exception {
    AnalysisOptions options =
        AnalysisOptions.DEFAULT.withReading(new AnalysisOptions.Reading(false, kernel));
    try (Analyzer analyzer = Analyzer.open(data.dump(), options)) {
      return analyzer.check("test");
    }
  }

  private static List<Note> notes(DumpReport report) {
    return report.checks().stream()
        .filter(outcome -> outcome.id().equals("memory.translation"))
        .flatMap(outcome -> outcome.notesIfRan().stream())
        .toList();
  }

  @Test
  void theCrashedKernelIsJudgedAndTheOtherNamed() throws Exception {
    TestData data = TestData.named("two-kernels");
    DumpReport report = check(data, 0);

    assertThat(report.kernels())
        .extracting(KernelEntry::number, KernelEntry::judged, KernelEntry::capture)
        .containsExactly(tuple(1, true, false), tuple(2, false, true));
    assertThat(report.kernel().orElseThrow().commandLine())
        .contains("crashkernel=")
        .doesNotContain("elfcorehdr=");
    assertThat(report.findings()).hasSize(1);
    Finding finding = report.findings().getFirst();
    assertThat(finding.cause()).isEqualTo(Cause.USE_AFTER_FREE_WRITE);
    assertThat(finding.subject().address()).isEqualTo(data.slot());
    assertThat(notes(report))
        .extracting(Note::text)
        .singleElement()
        .asString()
        .startsWith("kernel 2 of this memory is 6.1.192-lab-min, a capture kernel")
        .endsWith("--kernel 2 looks at it");
    // As a report that is read back has them.
    assertThat(ReportReader.read("report", ReportWriter.line(report)).kernels())
        .isEqualTo(report.kernels());
  }

  @Test
  void theCaptureKernelIsJudgedByItsOwnMemory() throws Exception {
    DumpReport report = check(TestData.named("two-kernels"), 2);

    assertThat(report.kernels())
        .extracting(KernelEntry::judged, KernelEntry::capture)
        .containsExactly(tuple(false, false), tuple(true, true));
    assertThat(report.findings()).isEmpty();
    assertThat(report.checks()).noneMatch(outcome -> outcome instanceof CheckOutcome.Failed);
    assertThat(report.verdict()).isInstanceOf(Verdict.Intact.class);
    // Nobody must take it for the answer about the crashed one.
    assertThat(report.verdict().summary())
        .contains("kernel 2 of this memory, a capture kernel")
        .contains("kernel 1, the crashed one, was not looked at");
  }

  /// The panicking CPU went into the capture kernel, the other stayed in the crashed one.
  @Test
  void registersAreThoseOfTheKernelWhosePageTableCr3Names() throws Exception {
    try (Dump dump = Dumps.open(TestData.named("two-kernels").dump())) {
      Kernel crashed = found(KernelFinder.find(dump));
      Kernel capture = found(KernelFinder.find(dump, DebugSources.DEFAULT, 2));
      List<Long> all = stackPointers(dump.notes());
      assertThat(all).hasSize(2);

      List<Long> ofCapture = stackPointers(capture.notes());
      assertThat(ofCapture).hasSize(1);
      assertThat(all).containsAll(ofCapture);
      // What each CPU wrote when the kernel crashed stands in for them.
      assertThat(stackPointers(crashed.notes())).hasSize(2).doesNotContainAnyElementsOf(ofCapture);
    }
  }

  private static Kernel found(KernelSearch search) {
    return ((KernelSearch.Found) search).kernel();
  }

  /// `rsp` of each `struct elf_prstatus`.
  private static List<Long> stackPointers(List<ElfNote> notes) {
    return notes.stream()
        .filter(note -> note.name().equals("CORE") && note.type() == ElfNote.NT_PRSTATUS)
        .map(note -> note.desc().u64(112 + 19 * 8))
        .toList();
  }
}
