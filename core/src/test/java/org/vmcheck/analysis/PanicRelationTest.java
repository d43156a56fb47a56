package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.TestData;

/// Registers, stacks and the oops matched with a broken freelist.
class PanicRelationTest {
  private static final long BAD = 0x4142_4344_4546_4748L;

  /// Indices in `struct user_regs_struct`.
  private static final int RBX = 5;

  private static final int RDI = 14;
  private static final int RSP = 19;

  @TempDir private Path dir;
  private FakeImage image;
  private SlabImage slab;
  private int holder;

  @BeforeEach
  void breakAList() {
    breakAList(0);
  }

  /// @param stackBytes what the kernel says that a stack has; 0 if it does not
  private void breakAList(long stackBytes) {
    image =
        FakeKernel.of(Layout.V6_1)
            .initStack(stackBytes)
            .seed(11)
            .cpus(2)
            .contents(FakeKernel.Contents.ZEROS)
            .cache(FakeCache.named("victim", 240).partial(3))
            .cache(FakeCache.named("bystander", 512))
            .build();
    slab =
        image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
            .filter(one -> one.freelist().size() >= 3)
            .findFirst()
            .orElseThrow();
    holder = slab.freelist().get(1);
    image.corruptWord(slab.slot(holder), BAD);
    panicOn(1);
  }

  private void panicOn(int cpu) {
    image.corrupt(image.symbol("panic_cpu"), (byte) cpu, (byte) 0, (byte) 0, (byte) 0);
  }

  /// What the report says of the one finding and the panic, with registers of two CPUs.
  private String relation(Map<Integer, Long> cpu0, Map<Integer, Long> cpu1) throws Exception {
    image.cpuNote(100, cpu0).cpuNote(101, cpu1);
    try (Analyzer analyzer = Analyzer.open(image.writeElf(dir), AnalysisOptions.DEFAULT)) {
      DumpReport report = analyzer.check("test");
      assertThat(report.findings()).hasSize(1);
      return sentence(report.findings().getFirst());
    }
  }

  private static String sentence(Finding finding) {
    List<String> said =
        finding.evidence().stream()
            .map(Evidence::sentence)
            .filter(text -> text.contains("panic"))
            .toList();
    assertThat(said).hasSize(1);
    return said.getFirst();
  }

  @Test
  void aRegisterOfTheCpuThatPanickedWithTheObjectIsRelated() throws Exception {
    assertThat(relation(Map.of(), Map.of(RDI, slab.object(holder))))
        .isEqualTo(
            "the panic is related: rdi of cpu 1, which panicked, holds the address of the object");
  }

  @Test
  void aPointerIntoTheObjectIsRelated() throws Exception {
    assertThat(relation(Map.of(), Map.of(RBX, slab.object(holder) + 0x18)))
        .isEqualTo(
            "the panic is related: rbx of cpu 1, which panicked, points into the object at +0x18");
  }

  @Test
  void theBadWordItselfIsRelatedThoughItIsNoAddress() throws Exception {
    assertThat(relation(Map.of(), Map.of(RBX, BAD)))
        .contains("related", "holds the corrupt value itself");
  }

  @Test
  void theStackOfTheCpuThatPanickedIsRead() throws Exception {
    SlabImage stack = image.cache("bystander").slabs(SlabImage.Place.FULL).getFirst();
    image.corruptWord(stack.object(3) + 0x20, slab.slot(holder));

    assertThat(relation(Map.of(), Map.of(RSP, stack.object(3))))
        .isEqualTo(
            "the panic is related: the stack word at rsp+0x20 of cpu 1, which panicked, holds the"
                + " address of the corrupt word");
  }

  @Test
  void theSameOnAnotherCpuIsNotThePanic() throws Exception {
    assertThat(relation(Map.of(RDI, slab.object(holder)), Map.of()))
        .isEqualTo(
            "the panic may be related, but not by the task that panicked: rdi of cpu 0 holds the"
                + " address of the object");
  }

  @Test
  void theCpuThatPanickedComesFirst() throws Exception {
    assertThat(relation(Map.of(RDI, slab.slot(holder)), Map.of(RDI, slab.object(holder) + 8)))
        .startsWith("the panic is related: rdi of cpu 1");
  }

  @Test
  void whatPointsOnlyToTheSlabOrTheCacheIsWeak() throws Exception {
    assertThat(relation(Map.of(), Map.of(RDI, slab.object(holder == 0 ? 1 : 0))))
        .startsWith("the panic may be related, but only this says so: rdi of cpu 1")
        .contains("the slab, not");
  }

  @Test
  void theCacheAloneIsWeakAndOfAnotherCpuNothing() throws Exception {
    long cache = image.cache("victim").address();

    assertThat(relation(Map.of(), Map.of(RDI, cache))).contains("only this says so", "kmem_cache");
    breakAList();
    assertThat(relation(Map.of(RDI, cache, RBX, slab.base()), Map.of(RSP, stack())))
        .startsWith("no sign that the panic is related: ");
  }

  @Test
  void nothingIsNoSign() throws Exception {
    long other = image.cache("bystander").address();

    assertThat(relation(Map.of(RDI, 5L, RSP, stack() + 4096), Map.of(RDI, other, RSP, stack())))
        .isEqualTo(
            "no sign that the panic is related: no register and no stack word holds the corrupt"
                + " word or points to the object, its slab or its cache");
  }

  /// Four pages that hold nothing, and are in the dump.
  private long stack() {
    long stack = image.directMap(0x700L << 12);
    for (long pfn = 0x700; pfn < 0x704; pfn++) {
      image.memory().store(pfn, new byte[4096]);
    }
    return stack;
  }

  @Test
  void noWordOfAStackThatIsNotInTheDumpIsSaidToHoldNothing() throws Exception {
    long stack = stack();
    for (long pfn = 0x700; pfn < 0x704; pfn++) {
      image.exclude(pfn);
    }

    assertThat(relation(Map.of(), Map.of(RDI, image.cache("bystander").address(), RSP, stack)))
        .isEqualTo(
            "whether the panic is related is not known: no register holds the corrupt word or"
                + " points to the object, its slab or its cache, and no stack was read (the stack"
                + " of cpu 1, which panicked, for its page is excluded)");
  }

  @Test
  void partOfAStackThatIsNotInTheDumpIsNamed() throws Exception {
    long stack = stack();
    image.exclude(0x702);

    assertThat(relation(Map.of(RSP, stack), Map.of(RSP, 8L)))
        .isEqualTo(
            "no sign that the panic is related in what was read: no register and no word of 1 stack"
                + " holds the corrupt word or points to the object, its slab or its cache; not"
                + " read: the stack of cpu 1, which panicked, for rsp is 0x8; a part of the stack"
                + " of cpu 0 for its page is excluded");
  }

  /// With KASAN a stack has 32 or 64 KiB: as the kernel tells, to its end and no further.
  @Test
  void aLargerStackIsReadToItsEnd() throws Exception {
    for (long bytes : List.of(16L << 10, 64L << 10)) {
      breakAList(bytes);
      long stack = image.directMap(0x700L << 12);
      for (long pfn = 0x700; pfn < 0x711; pfn++) {
        image.memory().store(pfn, new byte[4096]);
      }
      image.corruptWord(stack + (60 << 10), slab.slot(holder));
      image.corruptWord(stack + (64 << 10), slab.slot(holder));
      boolean isInside = bytes > 60 << 10;

      assertThat(relation(Map.of(), Map.of(RSP, stack + 0x100)))
          .startsWith(
              isInside
                  ? "the panic is related: the stack word at rsp+0xef00 of cpu 1"
                  : "no sign that the panic is related: ");
    }
  }

  /// What is behind a page that is missing is read all the same.
  @Test
  void wordBehindAMissingPageIsFound() throws Exception {
    long stack = stack();
    image.corruptWord(stack + 3 * 4096 + 0x10, slab.slot(holder));
    image.exclude(0x701);

    assertThat(relation(Map.of(), Map.of(RSP, stack)))
        .isEqualTo(
            "the panic is related: the stack word at rsp+0x3010 of cpu 1, which panicked, holds the"
                + " address of the corrupt word");
  }

  /// A real dump without the stacks that its registers point into.
  @Test
  void stacksLeftOutOfARealDumpAreNotSaidToHoldNothing() throws Exception {
    DumpCopy copy = DumpCopy.of(TestData.named("use-after-free").dump());
    try (Dump dump = Dumps.open(TestData.named("use-after-free").dump())) {
      Kernel kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
      for (ElfNote note : copy.notes()) {
        long stack = note.desc().u64(112 + 8L * RSP) & -(16 << 10);
        for (int i = 0; i < 4 && note.type() == ElfNote.NT_PRSTATUS && stack < 0; i++) {
          copy.pages().remove(kernel.memory().physicalAddress(stack + i * 4096L) >>> 12);
        }
      }
    }
    try (Analyzer analyzer = Analyzer.open(copy.write(dir, Packer.ZLIB), AnalysisOptions.DEFAULT)) {
      DumpReport report = analyzer.check("test");

      assertThat(report.verdict().kind()).isEqualTo("kernel-damaged");
      assertThat(
              sentence(
                  report.findings().stream()
                      .filter(finding -> finding.cause() == Cause.USE_AFTER_FREE_WRITE)
                      .findFirst()
                      .orElseThrow()))
          .startsWith("whether the panic is related is not known: no register holds ")
          .contains("no stack was read", "excluded");
    }
  }

  @Test
  void whereTheCpuIsNotKnownNoneIsThePanicking() throws Exception {
    panicOn(7);

    assertThat(relation(Map.of(), Map.of(RDI, slab.object(holder))))
        .startsWith("the panic may be related, but not by the task that panicked: rdi of cpu 1");
  }

  @Test
  void withoutRegistersNothingIsKnown() throws Exception {
    try (Analyzer analyzer = Analyzer.open(image.writeKdump(dir), AnalysisOptions.DEFAULT)) {
      assertThat(sentence(analyzer.check("test").findings().getFirst()))
          .startsWith("whether the panic is related is not known");
    }
  }

  // ---- the oops in the log

  private String oops(String... lines) {
    Kernel kernel = image.kernel();
    List<LogBuffer.Line> log = KernelDescriptionTest.log(lines);
    Finding finding =
        new Finding(
            "slab.freelist",
            Layer.KERNEL,
            Severity.CORRUPT,
            Cause.USE_AFTER_FREE_WRITE,
            "broken",
            Subject.cache("victim")
                .withSlab(slab.address())
                .withObject(slab.object(holder))
                .withAddress(slab.slot(holder), 0x1000)
                .withWord(BAD, 0xf99b_7dfd_ea13_f500L),
            List.of(new Evidence.CountMismatch("x", 1, 2, "x")),
            List.of(),
            "f");
    KernelFacts.PanicFacts panic = KernelDescription.panic(log, -1, 0);
    CheckOutcome ran =
        new CheckOutcome.Ran(
            "slab.freelist", "", Map.of(), List.of(finding), List.of(), Coverage.NONE);
    return sentence(
        PanicRelation.attach(List.of(ran), kernel, log, panic)
            .getFirst()
            .findingsIfRan()
            .getFirst());
  }

  @Test
  void theAddressThatFaultedIsComparedWithWhatTheBadWordDecodesTo() {
    assertThat(
            oops(
                "general protection fault, probably for non-canonical address"
                    + " 0xf99b7dfdea13f578: 0000 [#1] PREEMPT SMP"))
        .startsWith("the panic is related: the address that faulted of the oops")
        .contains("free pointer of what the corrupt word decodes to");
    assertThat(
            oops(
                "BUG: unable to handle page fault for address: f99b7dfdea13f510",
                "Oops: 0002 [#1]"))
        .contains("is 0x10 bytes behind what the corrupt word points to");
  }

  @Test
  void aRegisterOfTheOopsIsRelated() {
    assertThat(
            oops(
                "Oops: 0002 [#1] SMP",
                "RAX: 0000000000000000 RBX: %016x".formatted(slab.object(holder))))
        .isEqualTo("the panic is related: RBX of the oops holds the address of the object");
  }

  @Test
  void aFaultInTheAllocatorMayBe() {
    assertThat(
            oops(
                "Oops: 0002 [#1] SMP",
                "RIP: 0010:kmem_cache_alloc+0x4f/0x2d0",
                "RAX: 0000008000000000 "))
        .startsWith("the panic may be related: it is a fault in kmem_cache_alloc+0x4f/0x2d0");
    assertThat(
            oops(
                "Oops: 0002 [#1] SMP", "RIP: 0010:ext4_mkdir+0x4f/0x2d0", "RAX: 0000008000000000 "))
        .isEqualTo(
            "whether the panic is related is not known: no register holds the corrupt word or"
                + " points to the object, its slab or its cache, and no stack was read");
  }

  @Test
  void aKernelThatRanHasNoPanicToRelateTo() {
    assertThat(oops("systemd[1]: Started.")).startsWith("the kernel had not panicked");
  }
}
