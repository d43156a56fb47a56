package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.groups.Tuple.tuple;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.debuginfo.DebugSources;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.KernelEntry;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Verdict;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.TwoKernels;

/// A host's dump of a guest that stood in its capture kernel: the crashed kernel is judged,
/// whatever note the file carries and whatever kernel the CPUs were in.
class TwoKernelsTest {
  private static void broken(FakeImage image) {
    SlabImage slab = image.cache("kmalloc-64").slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    image.corruptWord(slab.slot(slab.freelist().getFirst()), 0x4141_4242_4343_4444L);
  }

  private static void healthy(FakeImage image) {
    // As it was built.
    assertThat(image).isNotNull();
  }

  @TempDir private Path directory;

  private record Answer(DumpReport report, List<KernelEntry> kernels) {
    List<Note> notes() {
      return report.checks().stream()
          .filter(outcome -> outcome.id().equals("memory.translation"))
          .flatMap(outcome -> ((CheckOutcome.Ran) outcome).notes().stream())
          .toList();
    }
  }

  private Answer check(TwoKernels memory, int kernel) throws Exception {
    AnalysisOptions options =
        AnalysisOptions.DEFAULT.withReading(new AnalysisOptions.Reading(false, kernel));
    try (Analyzer analyzer = Analyzer.open(memory.write(directory), options)) {
      return new Answer(analyzer.check("test"), analyzer.kernels());
    }
  }

  private void assertCrashedIsJudged(TwoKernels memory) throws Exception {
    Answer answer = check(memory, 0);
    assertThat(answer.report.verdict()).isInstanceOf(Verdict.KernelDamaged.class);
    assertThat(answer.kernels)
        .extracting(KernelEntry::judged, KernelEntry::capture)
        .containsExactly(tuple(true, false), tuple(false, true));
    assertThat(answer.report.kernels()).isEqualTo(answer.kernels);
    assertThat(answer.notes())
        .extracting(Note::text)
        .singleElement()
        .asString()
        .startsWith("kernel 2 of this memory is ")
        .contains("a capture kernel (elfcorehdr= on its command line)")
        .endsWith("; --kernel 2 looks at it");
  }

  @Test
  void withoutANoteInTheFile() throws Exception {
    TwoKernels memory = new TwoKernels(Layout.V6_1, TwoKernelsTest::broken);
    assertCrashedIsJudged(memory.cpu(memory.captureRoot()));
  }

  @Test
  void withTheNoteOfEitherKernel() throws Exception {
    TwoKernels memory = new TwoKernels(Layout.V6_1, TwoKernelsTest::broken);
    memory.cpu(memory.captureRoot());
    assertCrashedIsJudged(memory.withCrashedNote());
    assertCrashedIsJudged(memory.withCaptureNote());
  }

  /// Without CPUs nothing tells which of the two runs.
  @Test
  void withoutRegisters() throws Exception {
    assertCrashedIsJudged(new TwoKernels(Layout.V5_3, TwoKernelsTest::broken));
  }

  /// The header that leads to the crashed kernel is gone: its note is searched.
  @Test
  void withoutTheHeader() throws Exception {
    TwoKernels memory =
        new TwoKernels(Layout.V6_1, TwoKernelsTest::broken).withCaptureNote().clearHeader();
    assertCrashedIsJudged(memory.cpu(memory.captureRoot()));
  }

  @Test
  void aHealthyCrashedKernelStaysHealthy() throws Exception {
    TwoKernels memory = new TwoKernels(Layout.V6_1, TwoKernelsTest::healthy).withCaptureNote();
    Answer answer = check(memory.cpu(memory.captureRoot()), 0);
    assertThat(answer.report.findings()).isEmpty();
    assertThat(answer.kernels).hasSize(2);
  }

  @Test
  void anotherKernelIsChosenByItsNumber() throws Exception {
    TwoKernels memory = new TwoKernels(Layout.V6_1, TwoKernelsTest::broken);
    Answer answer = check(memory.cpu(memory.captureRoot()), 2);
    assertThat(answer.kernels)
        .extracting(KernelEntry::judged, KernelEntry::capture)
        .containsExactly(tuple(false, false), tuple(true, true));
    assertThat(answer.report.kernel().orElseThrow().commandLine()).contains("elfcorehdr=");
  }

  /// No negative word on the crashed kernel follows from the capture kernel.
  @Test
  void aCaptureKernelAloneIsNotTheAnswer() throws Exception {
    TwoKernels memory =
        new TwoKernels(Layout.V6_1, TwoKernelsTest::broken).withCaptureNote().clearHeader();
    memory.clear(memory.crashedNote(), 64);
    Answer answer = check(memory, 0);
    assertThat(answer.kernels).singleElement().matches(KernelEntry::capture);
    assertThat(answer.report.verdict()).isNotInstanceOf(Verdict.Intact.class);
    assertThat(answer.report.verdict().reasons())
        .anyMatch(reason -> reason.contains("the crashed one was not found in this memory"));
  }

  /// Two notes that name two kernels with one address: memory knows one name.
  @Test
  void aNoteThatLiesAboutTheNameIsPassedOver() throws Exception {
    TwoKernels memory = new TwoKernels(Layout.V6_1, TwoKernelsTest::broken);
    memory.putNote(
        memory.captureNote(),
        memory.crashed().vmcoreinfo().replaceFirst("OSRELEASE=.*", "OSRELEASE=9.9.9-liar"));
    Answer answer = check(memory, 0);
    assertThat(answer.report.verdict()).isInstanceOf(Verdict.KernelDamaged.class);
    assertThat(answer.kernels)
        .singleElement()
        .matches(entry -> entry.release().equals(Layout.V6_1.release()) && !entry.capture());

    // The same name and addresses twice are one kernel.
    memory.putNote(memory.captureNote(), memory.crashed().vmcoreinfo() + "NUMBER(PG_slab)=99\n");
    assertThat(check(memory, 0).kernels).hasSize(1);
  }

  /// The CPU in the capture kernel has no register of the crashed one.
  @Test
  void registersAreThoseOfTheKernelWhosePageTableTheyName() throws Exception {
    TwoKernels memory = new TwoKernels(Layout.V6_1, TwoKernelsTest::broken);
    memory.cpu(memory.captureRoot()).cpu(memory.crashedRoot()).cpu(0);
    try (Dump dump = Dumps.open(memory.write(directory))) {
      KernelSearch.Found crashed = (KernelSearch.Found) KernelFinder.find(dump);
      // The first CPU is in the capture kernel: what each wrote when the kernel crashed counts.
      assertThat(registers(crashed)).containsExactly(0L, 1L);
      KernelSearch.Found capture =
          (KernelSearch.Found) KernelFinder.find(dump, DebugSources.DEFAULT, 2);
      assertThat(registers(capture)).containsExactly(memory.captureRoot(), 0L);
    }
  }

  private static List<Long> registers(KernelSearch.Found found) {
    return found.kernel().notes().stream()
        .filter(note -> note.name().equals("CORE"))
        .map(ElfNote::desc)
        .map(desc -> desc.u64(112 + 8 * 16))
        .toList();
  }
}
