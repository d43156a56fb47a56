package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.function.LongFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Fate;
import org.vmcheck.finding.Finding;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.KfenceObjects;
import org.vmcheck.testing.DumpCopy;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.KernelMessages;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.LogRing;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.TestData;

/// What the kernel proved itself is a finding, tied to its object and joined with what the dump
/// shows of it; the same words from a program are none.
class KernelsReportsTest {
  @TempDir private Path dir;

  static Stream<Layout> layouts() {
    return Stream.of(Layout.V5_3, Layout.V6_1, Layout.V7_1);
  }

  private DumpReport check(FakeImage image) throws Exception {
    return check(image.writeKdump(dir));
  }

  private static DumpReport check(Path dump) throws Exception {
    try (Analyzer analyzer = Analyzer.open(dump, AnalysisOptions.DEFAULT)) {
      return analyzer.check("test");
    }
  }

  private static FakeKernel kernel(Layout layout) {
    return FakeKernel.of(layout).seed(8).cache(FakeCache.named("lab", 256).partial(2).sheaves(0));
  }

  private static CheckOutcome.Ran witness(DumpReport report) {
    return (CheckOutcome.Ran)
        report.checks().stream()
            .filter(c -> c.id().equals("log.witness"))
            .findFirst()
            .orElseThrow();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void wordsOfTheKernelThatAProgramWroteAreNoEvidence(Layout layout) throws Exception {
    DumpReport report =
        check(
            kernel(layout)
                .log(List.of("Linux version 6.1.0"))
                .logOfPrograms(KernelMessages.all())
                .logOfPrograms(List.of("Kernel panic - not syncing: Fatal exception"))
                .build());

    assertThat(report.verdict().kind()).isEqualTo("intact");
    assertThat(report.findings()).isEmpty();
    assertThat(report.kernel().orElseThrow().panic().message()).isEmpty();
    assertThat(witness(report).notes()).anyMatch(note -> note.text().contains("/dev/kmsg"));
  }

  @Test
  void eachReportOfTheKernelIsAFindingOrANote() throws Exception {
    List<String> lines = KernelMessages.byRow().values().stream().map(List::getFirst).toList();
    DumpReport report = check(kernel(Layout.V6_1).log(lines).build());

    assertThat(report.verdict().kind()).isEqualTo("kernel-damaged");
    for (String line : lines) {
      boolean isFinding =
          report.findings().stream()
              .flatMap(finding -> finding.evidence().stream())
              .anyMatch(one -> one.sentence().endsWith(": " + line));
      boolean isSequel =
          line.startsWith("kernel BUG at")
              || line.startsWith("WARNING: ")
              || line.contains("Slab disabled");
      boolean isMisuse =
          Stream.of(
                  "Objects remaining",
                  "still has objects",
                  "null-ptr-deref",
                  "leaking memory",
                  "whitelist",
                  "field-spanning",
                  "UBSAN",
                  "ODEBUG",
                  "rss-counter")
              .anyMatch(line::contains);
      assertThat(isFinding || isSequel).as(line).isNotEqualTo(isMisuse);
    }
  }

  @Test
  void anObjectFreedTwiceInARowIsNamedFromTheRegisters() throws Exception {
    Path real = TestData.named("healthy").dump();
    DumpCopy copy = DumpCopy.of(real);
    LogRing.write(
        copy,
        real,
        0,
        List.of(
            "------------[ cut here ]------------",
            "kernel BUG at mm/slub.c:294!",
            "invalid opcode: 0000 [#1] PREEMPT SMP NOPTI",
            "CPU: 0 PID: 93 Comm: sh Tainted: G   O  6.1.192-lab-min #2",
            "RIP: 0010:__slab_free+0x1a0/0x330",
            "RAX: ffffa0d281190400 RBX: ffffa0d281190400 RCX: 0000000000400010",
            "RDX: 0000000000000000 RSI: 0000000000000000 RDI: ffffa0d281190400",
            "Kernel panic - not syncing: Fatal exception"));
    DumpReport report = check(copy.write(dir, Packer.ZLIB));

    assertThat(report.verdict().kind()).isEqualTo("kernel-damaged");
    assertThat(report.verdict().summary())
        .contains("caught itself before", "double-free", "0xffffa0d281190400", "biovec-64");
    assertThat(report.findings()).hasSize(1);
    Finding finding = report.findings().getFirst();
    assertThat(finding.cause()).isEqualTo(Cause.DOUBLE_FREE);
    assertThat(finding.fate()).isEqualTo(Fate.STOPPED);
    assertThat(finding.subject().object()).isEqualTo(0xffff_a0d2_8119_0400L);
    assertThat(finding.evidence())
        .extracting(Evidence::sentence)
        .anyMatch(text -> text.contains("RAX, RBX, RDI"))
        .anyMatch(text -> text.startsWith("in the dump the object (1 of 16, 1024 bytes) is free"))
        .anyMatch(text -> text.startsWith("beside it: object 0 "))
        .noneMatch(text -> text.startsWith("no sign that the panic"));
  }

  @Test
  void theSameLinesFromAProgramLeaveARealDumpIntact() throws Exception {
    Path real = TestData.named("healthy").dump();
    DumpCopy copy = DumpCopy.of(real);
    LogRing.write(copy, real, 3, List.of("refcount_t: underflow; use-after-free."));
    DumpReport report = check(copy.write(dir, Packer.ZLIB));

    assertThat(report.verdict().kind()).isEqualTo("intact");
    assertThat(report.findings()).isEmpty();
  }

  @Test
  void aFreeToTheWrongCacheNamesBoth() throws Exception {
    DumpReport report =
        check(
            kernel(Layout.V6_1)
                .log(
                    List.of(
                        "cache_from_obj: Wrong slab cache. kmalloc-128 but object is from lab",
                        "WARNING: CPU: 0 PID: 93 at mm/slab.h:452 kmem_cache_free+0x1b0/0x2d0"))
                .build());

    Finding finding = report.findings().getFirst();
    assertThat(finding.claim()).contains("cache lab", "freed to cache kmalloc-128");
    assertThat(finding.subject().cache()).isEqualTo("lab");
    assertThat(finding.cause()).isEqualTo(Cause.REPORTED_BY_KERNEL);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aReportOfWhatTheDumpShowsIsOneFindingWithIt(Layout layout) throws Exception {
    FakeKernel kernel =
        FakeKernel.of(layout)
            .seed(8)
            .cache(FakeCache.named("tracked", 120).debug().partial(2).sheaves(0));
    SlabImage slab = kernel.build().cache("tracked").slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    int free = slab.freelist().getFirst();
    FakeImage image =
        kernel
            .log(
                List.of(
                    "BUG tracked (Not tainted): Poison overwritten",
                    "Object 0x%016x @offset=0 fp=0x0000000000000000".formatted(slab.object(free))))
            .build();
    image.corrupt(slab.object(free) + 16, (byte) 'X');

    DumpReport report = check(image);

    assertThat(report.findings()).hasSize(1);
    Finding finding = report.findings().getFirst();
    assertThat(finding.check()).isEqualTo("slab.poison");
    assertThat(finding.fate()).isEqualTo(Fate.LEFT);
    assertThat(finding.evidence())
        .extracting(Evidence::sentence)
        .filteredOn(text -> text.contains("BUG tracked (Not tainted): Poison overwritten"))
        .hasSize(1);
    assertThat(witness(report).notes())
        .anyMatch(note -> note.text().startsWith("told with the finding of slab.poison"));
  }

  @Test
  void aKfenceReportNamesItsObjectByNumber() throws Exception {
    List<String> lines =
        List.of(
            "BUG: KFENCE: memory corruption in kmem_cache_free+0x21/0x80",
            "Corrupted memory at 0x00000000deadbeef [ ! . . ] (in kfence-#7):");
    FakeImage image = FakeKernel.of(Layout.V6_1).seed(3).kfenceWithMetadata(15).log(lines).build();
    Finding told = check(image).findings().getFirst();
    long object = KfenceObjects.of(image.kernel()).objects().get(7).address();
    assertThat(told.check()).isEqualTo("log.witness");
    assertThat(told.subject().object()).isEqualTo(object);
    assertThat(told.claim()).contains("KFENCE object #7 cache " + told.subject().cache());

    image.corrupt(object - 1, (byte) 0);
    List<Finding> joined = check(image).findings();
    assertThat(joined).hasSize(1);
    assertThat(joined.getFirst().check()).isEqualTo("kfence.canaries");
    assertThat(joined.getFirst().evidence())
        .extracting(Evidence::sentence)
        .anyMatch(text -> text.contains("BUG: KFENCE: memory corruption"));
  }

  /// A report of a page names whose the page is, by its descriptor: a slab's, or nobody's.
  @ParameterizedTest
  @ValueSource(
      strings = {
        "BUG: Bad page state in process sh  pfn:%05x",
        "page: refcount:0 mapcount:-128 mapping:0000000000000000 index:0x0 pfn:0x%x"
      })
  void aReportOfAPageNamesItsOwner(String words) throws Exception {
    Function<Long, FakeImage> image =
        pfn ->
            kernel(Layout.V6_1)
                .log(
                    words.startsWith("BUG")
                        ? List.of(words.formatted(pfn))
                        : List.of("pagealloc: memory corruption", words.formatted(pfn)))
                .build();
    // Where things are depends on how long the log is.
    FakeImage before = image.apply(0x12345L);
    SlabImage slab = before.cache("lab").slabs().getFirst();
    MemMap map = MemMap.of(before.kernel()).orElseThrow();
    long free = 1;
    while (map.state(free).kind() != PageState.Kind.BUDDY) {
      free++;
    }

    Finding ofSlab = check(image.apply(slab.pfn())).findings().getFirst();
    Finding ofNobody = check(image.apply(free)).findings().getFirst();
    Finding beyond = check(image.apply(0xabcdefL)).findings().getFirst();

    assertThat(ofSlab.subject().cache()).isEqualTo("lab");
    assertThat(ofSlab.subject().slab()).isEqualTo(slab.address());
    assertThat(ofSlab.claim())
        .contains(
            "page frame 0x%x, in the dump a page of a slab of cache lab".formatted(slab.pfn()));
    assertThat(ofNobody.subject().cache()).isEmpty();
    assertThat(ofNobody.evidence())
        .extracting(Evidence::sentence)
        .contains(
            "by its page descriptor, page frame 0x%x is a free page in the dump".formatted(free));
    assertThat(beyond.claim()).contains("page frame 0xabcdef (").doesNotContain("in the dump");
  }

  @Test
  void whatTheKernelRepairedIsSaidToBe() throws Exception {
    DumpReport report =
        check(
            kernel(Layout.V6_1)
                .log(
                    List.of(
                        "BUG lab (Not tainted): Right Redzone overwritten",
                        "FIX lab: Restoring Right Redzone 0x00000000deadbeef=0xcc"))
                .build());

    assertThat(report.verdict().summary())
        .contains("reported damage of its memory and repaired it", "redzone-overwritten");
    assertThat(report.findings().getFirst().fate()).isEqualTo(Fate.REPAIRED);
  }

  @Test
  void aWrongLinkIsComparedWithTheDump() throws Exception {
    String words =
        "list_add corruption. next->prev should be prev (%016x), but was %016x. (next=%016x).";
    // Where things are depends on how long the log is.
    FakeImage before = kernel(Layout.V6_1).log(List.of(words.formatted(0, 0, 0))).build();
    long head = before.symbol("slab_caches");
    long first = before.word(head);
    String line = words.formatted(head, 0xffff_8880_dead_0000L, first);
    DumpReport gone = check(kernel(Layout.V6_1).log(List.of(line)).build());
    assertThat(gone.findings().getFirst().fate()).isEqualTo(Fate.UNTOLD);
    assertThat(gone.findings().getFirst().evidence())
        .extracting(Evidence::sentence)
        .anyMatch(text -> text.endsWith("in the dump, as it should be"));

    FakeImage broken = kernel(Layout.V6_1).log(List.of(line)).build();
    broken.corruptWord(first + 8, 0xffff_8880_dead_0000L);
    DumpReport left = check(broken);
    assertThat(left.verdict().summary()).startsWith("the kernel's memory is corrupt: list-broken");
    assertThat(
            left.findings().stream()
                .filter(f -> f.subject().address() == first + 8)
                .map(Finding::check))
        .hasSizeLessThanOrEqualTo(1);
  }

  /// An object of cache lab in use, of an image with a log as long as the one asked for: where
  /// things are depends on that.
  private static long used(List<String> log) {
    SlabImage slab = kernel(Layout.V6_1).log(log).build().cache("lab").slabs().getFirst();
    int used = 0;
    while (slab.isFree(used)) {
      used++;
    }
    return slab.object(used);
  }

  /// @param log of an object
  private static FakeImage about(LongFunction<List<String>> log) {
    return kernel(Layout.V6_1).log(log.apply(used(log.apply(0)))).build();
  }

  private static List<String> sentences(Finding finding) {
    return finding.evidence().stream().map(Evidence::sentence).toList();
  }

  private static List<String> trap(String first, String rip, long rbx) {
    return List.of(
        first,
        "CPU: 0 PID: 93 Comm: sh Not tainted 6.1.0 #1",
        "RIP: 0010:" + rip,
        "RAX: 0000000000000001 RBX: %016x RCX: c0000000ffffefff".formatted(rbx),
        "RDX: 0000000000000000 RSI: 00000000ffffefff RDI: 0000000000000001",
        "Kernel panic - not syncing: Fatal exception");
  }

  private static List<String> usercopy(long object) {
    List<String> lines = new ArrayList<>();
    lines.add(
        "usercopy: Kernel memory overwrite attempt detected to SLUB object 'lab' (offset 200, size"
            + " 100)!");
    lines.addAll(
        trap("kernel BUG at mm/usercopy.c:102!", "usercopy_abort+0x6c/0x80", object + 200));
    return lines;
  }

  @Test
  void aRefusedCopyNamesItsObject() throws Exception {
    long object = used(usercopy(0));
    Finding finding = check(about(KernelsReportsTest::usercopy)).findings().getFirst();

    assertThat(finding.fate()).isEqualTo(Fate.STOPPED);
    assertThat(finding.subject().object()).isEqualTo(object);
    assertThat(finding.subject().cache()).isEqualTo("lab");
    assertThat(sentences(finding))
        .contains(
            "0x%x: the object's address + 200, the offset that the report tells, is in RBX of the report"
                .formatted(object))
        .anyMatch(
            text ->
                text.matches("in the dump the object \\(\\d+ of 16, 256 bytes\\) is allocated;.*"))
        .anyMatch(text -> text.startsWith("beside it: object "));
  }

  /// Of another cache than the report names, or not where it says: no object.
  @Test
  void aCopysObjectIsNotGuessed() throws Exception {
    assertThat(
            check(about(object -> usercopy(object + 8))).findings().getFirst().subject().object())
        .isEqualTo(Evidence.UNKNOWN);
  }

  private static List<String> underflow(long object) {
    List<String> lines = new ArrayList<>();
    lines.add("refcount_t: underflow; use-after-free.");
    lines.addAll(
        trap(
            "WARNING: CPU: 0 PID: 93 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110",
            "refcount_warn_saturate+0xba/0x110",
            object));
    return lines;
  }

  @Test
  void anObjectUsedWithoutAReferenceIsNamedByItsCounter() throws Exception {
    long object = used(underflow(0));
    FakeImage image = about(KernelsReportsTest::underflow);
    assertThat(check(image).findings().getFirst().subject().object()).isEqualTo(Evidence.UNKNOWN);
    image.corruptWord(object + 16, 0xc000_0000L);
    Finding finding = check(image).findings().getFirst();

    assertThat(finding.subject().object()).isEqualTo(object);
    assertThat(sentences(finding))
        .contains(
            "0x%x: likely: RBX of the report points to it, and its word at +0x10 is 0xc0000000, which the kernel leaves in a counter that it reports"
                .formatted(object));
  }

  /// Both ends of the link are objects: the one with the wrong word is the broken one.
  @ParameterizedTest
  @ValueSource(
      strings = {
        "list_add corruption. next->prev should be prev (%016x), but was %016x. (next=%016x).",
        "list_del corruption. next->prev should be %016x, but was %016x. (next=%016x)"
      })
  void aWrongLinkNamesTheObjectThatHoldsIt(String words) throws Exception {
    long wrong = 0xffff_8880_dead_0000L;
    LongFunction<List<String>> log =
        object -> List.of(words.formatted(object + 256 + 32, wrong, object + 32));
    long object = used(log.apply(0));
    FakeImage image = about(log);
    image.corruptWord(object + 40, wrong);
    Finding finding = check(image).findings().getFirst();

    assertThat(finding.fate()).isEqualTo(Fate.LEFT);
    assertThat(finding.subject().object()).isEqualTo(object);
    assertThat(finding.subject().address()).isEqualTo(object + 40);
    assertThat(sentences(finding))
        .contains(
            "0x%x: the wrong link is in this object".formatted(object),
            "the link at 0x%x, which should be 0x%x and was 0x%x, is still 0x%x in the dump"
                .formatted(object + 40, object + 256 + 32, wrong, wrong));
  }
}
