package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.tukaani.xz.SingleXZInputStream;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.SlabListing;
import org.vmcheck.io.UnsupportedFormatException;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.LogRing;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.TestData;

/// Inputs after public reports of people who triage dumps, on which a verdict once said more than
/// was looked at; each with the answer that is right. Small ones are files (`cases/` of the test
/// resources), the others are made of a real dump. Other tests have their kinds in full; the
/// crashed kernel beside its capture kernel is a real dump of testdata.
class CasesTest {
  private static final String[] OOPS = {
    "------------[ cut here ]------------",
    "kernel BUG at %s!",
    "invalid opcode: 0000 [#1] PREEMPT SMP NOPTI",
    "CPU: 0 PID: 93 Comm: sh Tainted: G   O  6.1.192-lab-min #2",
    "RIP: 0010:%s",
    "RAX: %3$s RBX: %3$s RCX: 0000000000400010",
    "RDX: 0000000000000000 RSI: 0000000000000000 RDI: %3$s",
    "Kernel panic - not syncing: Fatal exception"
  };

  @TempDir private Path dir;

  private Path file(String name) throws IOException {
    Path to = dir.resolve(name);
    try (InputStream in =
        new SingleXZInputStream(CasesTest.class.getResourceAsStream("/cases/" + name + ".xz"))) {
      Files.copy(in, to);
    }
    return to;
  }

  private static DumpReport check(Path dump) throws IOException {
    try (Analyzer analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT)) {
      return analyzer.check("test");
    }
  }

  /// A real dump of testdata without some of its pages.
  private DumpReport without(String name, Function<Kernel, List<Long>> physical) throws Exception {
    Path real = TestData.named(name).dump();
    DumpCopy copy = DumpCopy.of(real);
    try (Dump dump = Dumps.open(real)) {
      Kernel kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
      physical.apply(kernel).forEach(paddr -> copy.pages().remove(paddr >>> 12));
    }
    return check(copy.write(dir, Packer.ZLIB));
  }

  private static Stream<String> words(DumpReport report) {
    return report.checks().stream()
        .flatMap(
            outcome ->
                switch (outcome) {
                  case CheckOutcome.Ran ran -> Stream.of(ran.answer());
                  case CheckOutcome.NothingToLookAt nothing -> Stream.of(nothing.why());
                  case CheckOutcome.Skipped skipped -> skipped.unmet().stream();
                  case CheckOutcome.Declined declined -> Stream.of(declined.why());
                  case CheckOutcome.Failed failed -> Stream.of(failed.reason());
                });
  }

  @Test
  void memoryOfASlabThatTheHardwareGaveUp() throws Exception {
    DumpReport report = check(file("hwpoison-slab"));
    assertThat(report.findings()).isEmpty();
    assertThat(report.verdict().summary()).contains("the hardware gave up", "cache victim");
    assertThat(words(report)).noneMatch(text -> text.contains("every freelist of 18 slabs ends"));
  }

  @Test
  void aKfencePoolWithoutItsMetadata() throws Exception {
    DumpReport report = check(file("kfence-canary"));
    assertThat(report.verdict().kind()).isEqualTo("intact");
    assertThat(report.checks())
        .filteredOn(outcome -> outcome.id().equals("kfence.canaries"))
        .singleElement()
        .isInstanceOfSatisfying(
            CheckOutcome.NothingToLookAt.class,
            nothing -> assertThat(nothing.why()).contains("kfence_metadata"));
  }

  @Test
  void aKernelWithoutThePageOffsetVariable() throws Exception {
    DumpReport report = check(file("no-page-offset-base-4.18"));
    assertThat(report.verdict().kind()).isEqualTo("intact");
    assertThat(report.findings()).isEmpty();
  }

  @Test
  void aClearedWordOfCountersIsNoFlippedBit() throws Exception {
    DumpReport report = check(file("slab-objects-zero-of-8"));
    assertThat(report.verdict().kind()).isEqualTo("kernel-damaged");
    assertThat(report.findings())
        .isNotEmpty()
        .extracting(Finding::cause)
        .isSubsetOf(Cause.COUNTER_MISMATCH, Cause.METADATA_OVERWRITTEN);
  }

  @Test
  void theCoreOfAXenGuest() throws Exception {
    Path core = file("xl-dump-core");
    assertThatThrownBy(() -> check(core))
        .isInstanceOf(UnsupportedFormatException.class)
        .hasMessageContaining("an xl dump-core file");
  }

  @Test
  void theInterruptTableIsNeverLeftOut() throws Exception {
    DumpReport report =
        without("healthy", kernel -> List.of(physical(kernel, symbol(kernel, "idt_table"))));
    assertThat(report.verdict().kind()).isEqualTo("dump-damaged");
    assertThat(report.findings())
        .anySatisfy(
            finding -> {
              assertThat(finding.cause()).isEqualTo(Cause.PAGE_EXCLUDED);
              assertThat(finding.claim()).contains("IDT (");
            });
  }

  @Test
  void theDirectMapsTableIsNeverLeftOut() throws Exception {
    DumpReport report =
        without(
            "healthy",
            kernel -> {
              long slot = kernel.memory().map().directMap().start() >>> 39 & 511;
              long root = kernel.memory().paging().root();
              long entry =
                  kernel
                      .word(kernel.memory().map().directMapAddress(root + 8 * slot))
                      .orElseThrow();
              return List.of(entry & 0x000f_ffff_ffff_f000L);
            });
    assertThat(report.verdict().kind()).isEqualTo("dump-damaged");
    assertThat(report.findings())
        .anySatisfy(
            finding -> {
              assertThat(finding.cause()).isEqualTo(Cause.PAGE_EXCLUDED);
              assertThat(finding.claim()).contains("page table");
            });
    assertThat(words(report)).doesNotContain("page tables and arithmetic agree");
  }

  @Test
  void stacksThatWereLeftOutRelateToNothing() throws Exception {
    DumpReport report =
        without(
            "use-after-free",
            kernel -> {
              List<Long> pages = new ArrayList<>();
              for (long stack : stacks("use-after-free")) {
                for (int i = 0; i < 4; i++) {
                  pages.add(physical(kernel, stack + i * 4096L));
                }
              }
              return pages;
            });
    assertThat(report.verdict().kind()).isEqualTo("kernel-damaged");
    assertThat(report.findings())
        .extracting(Finding::cause)
        .contains(Cause.USE_AFTER_FREE_WRITE, Cause.PAGE_EXCLUDED);
    List<String> sentences =
        report.findings().stream()
            .filter(finding -> finding.cause() == Cause.USE_AFTER_FREE_WRITE)
            .flatMap(one -> Stream.concat(one.evidence().stream(), one.against().stream()))
            .map(Evidence::sentence)
            .toList();
    assertThat(sentences)
        .anyMatch(text -> text.startsWith("whether the panic is related is not known"))
        .noneMatch(text -> text.startsWith("no sign that the panic"));
  }

  static Stream<Arguments> reports() {
    String usercopy =
        "usercopy: Kernel memory exposure attempt detected from SLUB object 'kmalloc-64' (offset"
            + " 48, size 32)!";
    String wrong = "cache_from_obj: Wrong slab cache. kmalloc-128 but object is from kmalloc-64";
    String refcount = "refcount_t: underflow; use-after-free.";
    return Stream.of(
        Arguments.of(oops("mm/slub.c:294", "__slab_free+0x1a0/0x330"), "mm/slub.c:294"),
        Arguments.of(
            Stream.concat(
                    Stream.of(usercopy.substring(0, 96)),
                    oops("mm/usercopy.c:99", "usercopy_abort+0x7b/0x7d").stream())
                .toList(),
            "usercopy: Kernel memory exposure attempt"),
        Arguments.of(
            List.of(wrong, "WARNING: CPU: 0 PID: 93 at mm/slab.h:452 kmem_cache_free+0x1b0/0x2d0"),
            wrong),
        Arguments.of(
            List.of(
                refcount,
                "WARNING: CPU: 0 PID: 93 at lib/refcount.c:28 refcount_warn_saturate+0xa3"),
            refcount));
  }

  private static List<String> oops(String bug, String function) {
    return Stream.of(OOPS).map(l -> l.formatted(bug, function, "ffffa0d281190400")).toList();
  }

  /// `log-double-free-BUG`, `log-usercopy`, `log-wrong-cache`, `log-refcount`; and the same lines
  /// where a program wrote them.
  @ParameterizedTest
  @MethodSource("reports")
  void whatTheKernelCaughtItself(List<String> lines, String quoted) throws Exception {
    Path real = TestData.named("healthy").dump();
    for (int facility : List.of(0, 3)) {
      DumpCopy copy = DumpCopy.of(real);
      LogRing.write(copy, real, facility, lines);
      DumpReport report = check(copy.write(dir, Packer.ZLIB));

      boolean isKernels = facility == 0;
      assertThat(report.verdict().kind()).isEqualTo(isKernels ? "kernel-damaged" : "intact");
      assertThat(report.findings()).hasSize(isKernels ? 1 : 0);
      report
          .findings()
          .forEach(
              finding ->
                  assertThat(finding.evidence())
                      .extracting(Evidence::sentence)
                      .anyMatch(text -> text.contains(quoted)));
    }
  }

  @Test
  void aLevelAtWhichNothingWasLeftOut() throws Exception {
    Path dump = dir.resolve("level-31");
    byte[] bytes = Files.readAllBytes(TestData.named("qemu-no-vmcoreinfo").dump());
    setInFlattened(bytes, 4096 + 8, 31);
    Files.write(dump, bytes);

    DumpReport report = check(dump);

    assertThat(report.dump().dumpLevel()).isEqualTo(31);
    assertThat(report.verdict().kind()).isEqualTo("intact");
    assertThat(report.checks())
        .flatExtracting(CheckOutcome::notesIfRan)
        .anyMatch(
            note -> note.text().startsWith("the header says level 31, and nothing was left out: "));
  }

  /// Changes a word of a dump inside its flattened stream: 4096 bytes of header, then records of
  /// offset and size, big-endian, and data.
  private static void setInFlattened(byte[] stream, long at, int value) {
    ByteBuffer in = ByteBuffer.wrap(stream);
    for (int record = 4096; ; ) {
      long offset = in.getLong(record);
      long size = in.getLong(record + 8);
      if (at >= offset && at + 4 <= offset + size) {
        in.putInt(record + 16 + (int) (at - offset), Integer.reverseBytes(value));
        return;
      }
      record += 16 + (int) size;
    }
  }

  @Test
  void oneBitOfThePoisonSaysSo() throws Exception {
    Path real = TestData.named("redzone").dump();
    DumpCopy copy = DumpCopy.of(real);
    long byteAt;
    try (Analyzer analyzer = Analyzer.open(real, AnalysisOptions.DEFAULT);
        Dump dump = Dumps.open(real)) {
      List<SlabListing.Slot> free = new ArrayList<>();
      analyzer.slabs(
          "kmalloc-256",
          true,
          slab ->
              slab.objects().stream()
                  .filter(object -> object.state() == SlabListing.State.FREE)
                  .forEach(free::add));
      Kernel kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
      byteAt = physical(kernel, free.get(3).address() + 8);
    }
    copy.setWord(byteAt, copy.word(byteAt) ^ 0x2000);

    DumpReport report = check(copy.write(dir, Packer.ZLIB));

    assertThat(report.findings())
        .anySatisfy(
            finding -> {
              assertThat(finding.cause()).isIn(Cause.BIT_FLIP, Cause.POISON_OVERWRITTEN);
              assertThat(finding.subject().cache()).isEqualTo("kmalloc-256");
              assertThat(finding.evidence())
                  .extracting(Evidence::sentence)
                  .anyMatch(text -> text.contains("one bit") || text.contains("1 bit"));
            });
    assertThat(report.findings()).extracting(Finding::cause).contains(Cause.REDZONE_OVERWRITTEN);
  }

  private static long symbol(Kernel kernel, String name) {
    return kernel.symbol(name).orElseThrow();
  }

  private static long physical(Kernel kernel, long vaddr) {
    return kernel.memory().physicalAddress(vaddr);
  }

  /// The stacks that the registers of a real dump's CPUs point into, 16 KiB each.
  private static List<Long> stacks(String name) {
    try {
      return DumpCopy.of(TestData.named(name).dump()).notes().stream()
          .filter(note -> note.type() == 1)
          .map(note -> note.desc().u64(112 + 8L * 19) & -(16 << 10))
          .filter(stack -> stack < 0)
          .toList();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }
}
