package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.debuginfo.DebugSources;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.lowmem.LowMemory;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.KdumpWriter;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.TestData;

/// A check that meets nothing of what it judges says so; its twin, where there is something, runs.
class NothingToLookAtTest {
  private static final long FRAMES = 0x1800;

  private static FakeImage image(Layout layout, FakeCache cache) {
    return FakeKernel.of(layout).seed(5).cache(cache).build();
  }

  private static FakeImage image(Layout layout) {
    return image(layout, FakeCache.named("victim", 256).order(1).partial(3).full(2));
  }

  /// Leaves out the pages of every page descriptor.
  private static FakeImage withoutDescriptors(FakeImage image) {
    for (long pfn = 0; pfn < FRAMES; pfn++) {
      image.exclude(image.physical(image.descriptor(pfn)) >>> 12);
    }
    return image;
  }

  private static FakeImage withoutLowPages(FakeImage image) {
    for (long pfn = 0; pfn < LowMemory.BACKUP_END_PFN; pfn++) {
      image.exclude(pfn);
    }
    return image;
  }

  private static CheckOutcome run(String check, FakeImage image) {
    return run(check, image.dump(), new KernelSearch.Found(image.kernel()));
  }

  private static CheckOutcome run(String check, Dump dump, KernelSearch search) {
    return Checks.byId(check)
        .orElseThrow()
        .run(new CheckContext(dump, search, 1, false, () -> false));
  }

  private static String why(CheckOutcome outcome) {
    assertThat(outcome).isInstanceOf(CheckOutcome.NothingToLookAt.class);
    return ((CheckOutcome.NothingToLookAt) outcome).why();
  }

  private static CheckOutcome.Ran ran(CheckOutcome outcome) {
    assertThat(outcome).isInstanceOf(CheckOutcome.Ran.class);
    assertThat(outcome.findingsIfRan()).isEmpty();
    return (CheckOutcome.Ran) outcome;
  }

  @ParameterizedTest
  @ValueSource(strings = {"slab.freelist", "slab.counts", "slab.lists", "slab.poison"})
  void whereNoDescriptorCanBeReadThereAreNoSlabs(String check) {
    FakeCache debug = FakeCache.named("victim", 256).debug().order(1).partial(3).full(2);

    assertThat(why(run(check, withoutDescriptors(image(Layout.V6_1, debug)))))
        .startsWith("no slab was met; ")
        .endsWith(" page descriptors cannot be read");
    assertThat(ran(run(check, image(Layout.V6_1, debug))).coverage().isEmpty()).isFalse();
  }

  static Stream<Layout> layouts() {
    return Stream.of(Layout.V4_14, Layout.V6_1, Layout.V7_1);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void patternsAreJudgedWhereDebuggingOptionsFixThem(Layout layout) {
    assertThat(why(run("slab.poison", image(layout))))
        .isEqualTo("no object has bytes that debugging options or init_on_free set");
    ran(
        run(
            "slab.poison",
            image(layout, FakeCache.named("victim", 256).debug().order(1).partial(3).full(2))));
  }

  @Test
  void lowPagesThatAreNotInTheDumpAreNotJudged() {
    FakeCache low = FakeCache.named("dma-kmalloc-512", 512).order(0).lowPartial(0x20, 0x30);

    for (String check : List.of("lowmem.sme", "lowmem.backup")) {
      assertThat(why(run(check, withoutLowPages(image(Layout.V5_3_PLAIN)))))
          .as(check)
          .contains("low 640 KiB");
      ran(run(check, image(Layout.V5_3_PLAIN, low)));
    }
  }

  /// A page that the crashed kernel did not use holds no trace that could be one of damage.
  @Test
  void reservedLowPagesAreNotSearchedForTheCaptureKernel() {
    FakeKernel kernel = FakeKernel.of(Layout.V6_1).seed(2).lowMemoryReserved(true);

    assertThat(why(run("lowmem.backup", kernel.build())))
        .startsWith("the dump holds no page of the low 640 KiB that the crashed kernel used; ");
  }

  @Test
  void lowDescriptorsThatCannotBeReadSayNothingOfTheFix() {
    FakeKernel kernel =
        FakeKernel.of(Layout.V6_1).seed(2).commandLine("crashkernel=256M").lowMemoryReserved(true);

    assertThat(why(run("lowmem.reserved", withoutDescriptors(kernel.build()))))
        .isEqualTo("no page descriptor of the low 1 MiB can be read");
    assertThat(ran(run("lowmem.reserved", kernel.build())).answer()).isEqualTo("in force");
    FakeImage part = kernel.build();
    part.exclude(part.physical(part.descriptor(0x80)) >>> 12);
    assertThat(ran(run("lowmem.reserved", part)).answer()).isEqualTo("cannot tell");
  }

  @Test
  void dumpWithoutPagesIsNotSaidToBeInTheClear() {
    FakeImage image = image(Layout.V6_1);
    ran(run("memory.encryption", image));
    image.memory().pages().keySet().stream().toList().forEach(image::exclude);

    assertThat(
            why(
                run(
                    "memory.encryption",
                    image.dump(),
                    new KernelSearch.NotFound(List.of("none"), false))))
        .isEqualTo("no page of the dump could be read");
  }

  /// A dump of which every page is left out.
  @Test
  void pagesThatTheFileDoesNotStoreAreNotSaidToDecode(@TempDir Path dir) throws Exception {
    KernelSearch none = new KernelSearch.NotFound(List.of("none"), false);
    try (Dump dump = Dumps.open(KdumpWriter.version(6).excluded(0, 64).write(dir, "empty"))) {
      assertThat(why(run("container.pages", dump, none))).isEqualTo("the file stores no page");
    }
    try (Dump dump = Dumps.open(TestData.named("healthy").dump())) {
      ran(run("container.pages", dump, none));
      assertThat(ran(run("container.complete", dump, none)).answer())
          .startsWith("complete by the file's own account");
      KernelSearch found = KernelFinder.find(dump, DebugSources.DEFAULT);
      assertThat(ran(run("container.complete", dump, found)).answer()).isEqualTo("complete");
    }
  }

  @Test
  void kernelWithoutALogIsNoWitness() {
    assertThat(why(run("log.witness", image(Layout.V6_1)))).contains("log");
  }

  @Test
  void dumpThatBringsItsOwnTypesHasNoDebugFileToMatch() throws Exception {
    try (Dump dump = Dumps.open(TestData.named("healthy").dump())) {
      KernelSearch search = KernelFinder.find(dump, DebugSources.DEFAULT);

      assertThat(why(run("debuginfo.match", dump, search)))
          .isEqualTo("no debug file was used: symbols and types are the dump's own");
      ran(run("log.witness", dump, search));
    }
  }

  /// The hardware gave the page up: that is no fault of the slab, and no list of it was read there.
  @Test
  void noListIsSaidToEndOnAPageThatTheHardwareGaveUp() {
    FakeImage image = image(Layout.V6_1);
    assertThat(ran(run("slab.freelist", image)).answer())
        .matches("every freelist of \\d+ slabs ends as it should");
    SlabImage slab = image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
    long tail = slab.pfn() + 1;
    long bit = image.kernel().vmcoreinfo().number("PG_hwpoison").orElseThrow();
    image.corruptWord(image.descriptor(tail), image.word(image.descriptor(tail)) | 1L << bit);
    image.exclude(tail);

    CheckOutcome.Ran ran = ran(run("slab.freelist", image));

    assertThat(ran.answer())
        .matches(
            "every freelist of \\d+ slabs that could be read ends as it should;"
                + " not read: 1 slab page given up by the hardware");
    assertThat(ran.coverage().notRead()).containsEntry("slab pages given up by the hardware", 1L);
  }

  // ---- answers of two checks that speak of one object

  @Test
  void fixedBytesOfAnObjectThatSlabFreelistTellsOfAreNotSaidToBeRight() {
    FakeImage image =
        FakeKernel.of(Layout.V6_1)
            .seed(5)
            .initOnFree()
            .cache(FakeCache.named("victim", 256).partial(3))
            .build();
    SlabImage slab = partial(image);
    assertThat(ran(run("slab.poison", image)).answer())
        .isEqualTo("red zones, poison and padding are right");
    image.fill(slab.slot(slab.freelist().get(1)) - 16, 0x41, 32);

    assertThat(run("slab.freelist", image).findingsIfRan()).hasSize(1);
    assertThat(ran(run("slab.poison", image)).answer())
        .isEqualTo("red zones, poison and padding are right but those of 1 object (slab.freelist)");
  }

  @Test
  void counterThatContradictsAWrongFreelistIsNotSaidToAgree() {
    FakeImage image = image(Layout.V6_1);
    assertThat(ran(run("slab.counts", image)).answer()).isEqualTo("all counters agree");
    SlabImage slab = partial(image);
    image.corruptWord(image.member(slab, "freelist"), 0);

    assertThat(run("slab.freelist", image).findingsIfRan()).hasSize(1);
    assertThat(ran(run("slab.counts", image)).answer())
        .isEqualTo("all counters agree, but for 1 where the freelist is wrong (slab.freelist)");
  }

  private static SlabImage partial(FakeImage image) {
    return image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> slab.freelist().size() >= 3)
        .findFirst()
        .orElseThrow();
  }

  /// The page of a CPU's kmem_cache_cpu is missing: what hangs on it was not walked.
  @Test
  void listsThatHangOnAMissingPageAreNotSaidToEnd() {
    FakeImage image = image(Layout.V6_1);
    long cpuSlab =
        image.word(image.member("kmem_cache", image.cache("victim").address(), "cpu_slab"));
    image.exclude(image.physical(image.word(image.symbol("__per_cpu_offset")) + cpuSlab) >>> 12);

    assertThat(ran(run("slab.freelist", image)).answer())
        .contains("that could be read ends as it should; not read: what hangs on ");
    assertThat(ran(run("slab.lists", image)).answer())
        .isEqualTo("the lists are whole as far as they are in the dump");
  }
}
