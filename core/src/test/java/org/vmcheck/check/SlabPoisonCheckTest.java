package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// What is said of bytes that debugging options fix.
class SlabPoisonCheckTest {
  private static final int OBJECT_SIZE = 104;

  static Stream<Layout> layouts() {
    return Stream.of(Layout.V4_14, Layout.V5_3, Layout.V6_1, Layout.V6_12, Layout.V7_1);
  }

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(5)
        .cache(FakeCache.named("victim", OBJECT_SIZE).debug().order(1).partial(3).full(2))
        .build();
  }

  private static CheckOutcome.Ran run(FakeImage image) {
    return (CheckOutcome.Ran)
        new SlabPoisonCheck()
            .run(
                new CheckContext(
                    image.dump(), new KernelSearch.Found(image.kernel()), 1, false, () -> false));
  }

  private static Finding only(FakeImage image) {
    List<Finding> findings = run(image).findings();
    assertThat(findings).hasSize(1);
    return findings.getFirst();
  }

  private static List<String> sentences(Finding finding) {
    return finding.evidence().stream().map(Evidence::sentence).toList();
  }

  private static SlabImage full(FakeImage image) {
    return image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aWipedPageIsOneFinding(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = full(image);
    image.fill(slab.base() + 4096, 0, 4096);
    Finding finding = only(image);
    assertThat(finding.cause()).isEqualTo(Cause.PAGE_WIPED);
    assertThat(finding.subject().address()).isEqualTo(slab.base() + 4096);
    assertThat(finding.claim()).contains("0x00").contains("victim").startsWith("1 page ");
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aWipedSlabIsOneFindingAndWhatIsWrongBesideItAnother(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = full(image);
    image.fill(slab.base(), 0x41, 8192);
    assertThat(only(image).claim()).contains("0x41").startsWith("2 pages ");
    image.corrupt(
        image.cache("victim").slabs(SlabImage.Place.FULL).getLast().object(3) + OBJECT_SIZE,
        (byte) 0);
    assertThat(run(image).findings())
        .extracting(Finding::cause)
        .containsExactlyInAnyOrder(Cause.PAGE_WIPED, Cause.REDZONE_OVERWRITTEN);
  }

  /// The list that leads into the page tells of it; the fixed bytes are not right for that.
  @ParameterizedTest
  @MethodSource("layouts")
  void aWipedPageThatAListTellsOfIsNotSaidToBeRight(Layout layout) {
    FakeImage image = image(layout);
    for (SlabImage slab : image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL)) {
      image.fill(slab.base(), 0x41, 8192);
    }
    CheckOutcome.Ran ran = run(image);
    assertThat(ran.answer()).doesNotContain("right");
  }

  /// One byte of another value: the objects are damaged, one by one.
  @ParameterizedTest
  @MethodSource("layouts")
  void aPageOfTwoValuesIsNotWiped(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = full(image);
    image.fill(slab.base() + 4096, 0, 4096);
    image.corrupt(slab.base() + 5000, (byte) 1);
    assertThat(run(image).findings())
        .hasSizeGreaterThan(3)
        .noneSatisfy(finding -> assertThat(finding.cause()).isEqualTo(Cause.PAGE_WIPED));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theTailOfASlabIsNoObject(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = full(image);
    long tail = slab.base() + (long) slab.objects() * slab.cache().size();
    assertThat(tail).isLessThan(slab.base() + 8192);
    image.corrupt(tail, (byte) 0);
    Finding finding = only(image);
    assertThat(finding.claim())
        .isEqualTo(
            "the tail of the slab at 0x%x of cache victim is overwritten".formatted(slab.base()));
    assertThat(finding.subject().object()).isEqualTo(Evidence.UNKNOWN);
    assertThat(sentences(finding))
        .anySatisfy(words -> assertThat(words).contains("a write ran out of an object"))
        .noneSatisfy(words -> assertThat(words).contains("-1"));
  }

  // ---- what kfree_nolock leaves

  private static FakeImage cleared(boolean hasNolock, String cache) {
    FakeKernel kernel =
        FakeKernel.of(Layout.V7_1)
            .seed(5)
            .initOnFree()
            .cache(FakeCache.named(cache, 192).partial(3).full(2));
    FakeImage image = (hasNolock ? kernel.function("kfree_nolock") : kernel).build();
    SlabImage slab = slabOf(image, cache);
    int freed = slab.freelist().getFirst();
    int at = slab.cache().offset() == 0 ? 8 : 0;
    image.corrupt(slab.object(freed) + at, (byte) 1, (byte) 2);
    return image;
  }

  private static SlabImage slabOf(FakeImage image, String cache) {
    return image.cache(cache).slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> slab.freelist().size() >= 3)
        .findFirst()
        .orElseThrow();
  }

  @Test
  void aKmallocObjectThatKfreeNolockMayHaveLeftIsANote() {
    CheckOutcome.Ran ran = run(cleared(true, "kmalloc-192"));
    assertThat(ran.findings()).isEmpty();
    assertThat(ran.notes())
        .singleElement()
        .satisfies(
            note -> assertThat(note.text()).contains("kmalloc-192").contains("kfree_nolock"));
    assertThat(ran.answer()).contains("kfree_nolock");
  }

  /// An object of more than a page may fill pages with one value.
  @Test
  void aWholePageOfOneValueThatKfreeNolockMayHaveLeftIsANoteToo() {
    FakeImage image =
        FakeKernel.of(Layout.V7_1)
            .seed(5)
            .initOnFree()
            .function("kfree_nolock")
            .cache(FakeCache.named("kmalloc-8k", 8192).order(3).partial(3).full(2))
            .build();
    SlabImage slab =
        image.cache("kmalloc-8k").slabs(SlabImage.Place.NODE_PARTIAL).stream()
            .filter(one -> !one.freelist().isEmpty())
            .findFirst()
            .orElseThrow();
    long object = slab.object(slab.freelist().getFirst());
    long page = slab.cache().offset() < 4096 ? 4096 : 0;
    image.fill(object + page, 0xff, 4096);
    CheckOutcome.Ran ran = run(image);
    assertThat(ran.findings()).isEmpty();
    assertThat(ran.notes()).hasSize(1);
  }

  /// `kmalloc_nolock` asks for neither memory for DMA nor for reclaimable memory.
  @Test
  void withoutKfreeNolockOrOfAnotherCacheItIsAWriteAfterTheFree() {
    for (FakeImage image :
        List.of(
            cleared(false, "kmalloc-192"),
            cleared(true, "inode_cache"),
            cleared(true, "kmalloc-rcl-192"),
            cleared(true, "dma-kmalloc-192"))) {
      CheckOutcome.Ran ran = run(image);
      assertThat(ran.findings())
          .singleElement()
          .satisfies(finding -> assertThat(finding.cause()).isEqualTo(Cause.USE_AFTER_FREE_WRITE));
      assertThat(ran.notes()).isEmpty();
    }
  }

  @Test
  void healthyKernelsHaveNeitherFindingsNorNotes() {
    for (Layout layout : Layout.ALL) {
      FakeImage image = FakeKernel.of(layout).seed(9).initOnFree().function("kfree_nolock").build();
      CheckOutcome.Ran ran = run(image);
      assertThat(ran.findings()).as(layout.name()).isEmpty();
      assertThat(ran.notes()).as(layout.name()).isEmpty();
    }
  }
}
