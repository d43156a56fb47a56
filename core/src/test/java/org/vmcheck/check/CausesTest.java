package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.EvidenceReader;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// One fault in an otherwise healthy kernel, of every generation: the cause that is told first is
/// the one that was planted, the word is the one that was written, and all that is said can be read
/// back. [HealthyImagesTest][org.vmcheck.slab.HealthyImagesTest] is the twin that stays silent.
class CausesTest {
  private static final long ODD = 0x4141_4242_4343_4445L;

  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  static Stream<Layout> hardened() {
    return layouts().filter(layout -> layout.freePointer() != Layout.FreePointer.PLAIN);
  }

  static Stream<Layout> middle() {
    return layouts().filter(Layout::isFreePointerInMiddle);
  }

  private static FakeKernel kernel(Layout layout, FakeKernel.Contents contents) {
    return FakeKernel.of(layout).seed(3).contents(contents);
  }

  private static FakeImage image(Layout layout, FakeKernel.Contents contents) {
    return kernel(layout, contents)
        .cache(FakeCache.named("victim", 256).partial(12).full(2).sheaves(0))
        .cache(FakeCache.named("bystander", 192).sheaves(0))
        .build();
  }

  private static FakeImage debugImage(Layout layout) {
    return kernel(layout, FakeKernel.Contents.RANDOM)
        .cache(FakeCache.named("victim", 120).debug().partial(6).full(2).sheaves(0))
        .build();
  }

  private record Found(List<Finding> findings, List<Note> notes) {}

  private static Found run(FakeImage image) {
    Kernel kernel = image.kernel();
    CheckContext context =
        new CheckContext(image.dump(), new KernelSearch.Found(kernel), 1, false, () -> false);
    List<Finding> findings = new ArrayList<>();
    List<Note> notes = new ArrayList<>();
    for (Check check :
        List.of(
            new SlabFreelistCheck(),
            new SlabCountsCheck(),
            new SlabListsCheck(),
            new SlabPoisonCheck())) {
      if (check.run(context) instanceof CheckOutcome.Ran ran) {
        findings.addAll(ran.findings());
        notes.addAll(ran.notes());
      }
    }
    EvidenceReader reader = new EvidenceReader(kernel);
    findings.forEach(reader::verify);
    return new Found(findings, notes);
  }

  private static Finding only(FakeImage image) {
    List<Finding> findings = run(image).findings();
    assertThat(findings).as(image.layout().name()).hasSize(1);
    return findings.getFirst();
  }

  private static void assertCause(FakeImage image, Cause cause, long address) {
    Finding finding = only(image);
    assertThat(finding.cause()).as("%s: %s", image.layout().name(), finding).isEqualTo(cause);
    assertThat(finding.subject().address()).as(image.layout().name()).isEqualTo(address);
  }

  /// A slab of a node's list with that many free objects at least.
  private static SlabImage partial(FakeImage image, int free) {
    return partials(image).filter(slab -> slab.freelist().size() >= free).findFirst().orElseThrow();
  }

  private static Stream<SlabImage> partials(FakeImage image) {
    return image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream();
  }

  /// A free object with an allocated one before it, on the same slab's list.
  private record Spot(SlabImage slab, int index) {
    long slot() {
      return slab.slot(index);
    }
  }

  private static Spot behindAllocated(FakeImage image) {
    return partials(image)
        .filter(slab -> slab.freelist().size() >= 4)
        .flatMap(
            slab ->
                slab.freelist().stream()
                    .skip(1)
                    .filter(i -> i > 0 && !slab.isFree(i - 1))
                    .map(i -> new Spot(slab, i)))
        .findFirst()
        .orElseThrow();
  }

  private static byte[] text(int length) {
    byte[] pattern = "a name that nobody measured, ".getBytes(StandardCharsets.US_ASCII);
    byte[] text = new byte[length];
    for (int i = 0; i < length; i++) {
      text[i] = pattern[i % pattern.length];
    }
    return text;
  }

  // ---- text, and what comes over the border

  @ParameterizedTest
  @MethodSource("layouts")
  void textInACacheThatHoldsTextIsNoOverflow(Layout layout) {
    for (byte[] written : List.of(text(8), new byte[] {65, 65, 65, 65, 65, 65, 65, 65})) {
      FakeImage image = image(layout, FakeKernel.Contents.TEXT);
      Spot spot = behindAllocated(image);
      image.corrupt(spot.slot(), written);
      assertCause(image, Cause.USE_AFTER_FREE_WRITE, spot.slot());
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void textThatRunsOverTheBorderIsAnOverflow(Layout layout) {
    FakeImage image = image(layout, FakeKernel.Contents.RANDOM);
    Spot spot = behindAllocated(image);
    long start = spot.slab().object(spot.index() - 1) + 64;
    image.corrupt(start, text((int) (spot.slot() + 8 - start)));
    assertCause(image, Cause.OVERFLOW_FROM_NEIGHBOUR, spot.slot());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void onePatternFromBeforeTheBorderIsAnOverflowInAnyCache(Layout layout) {
    for (FakeKernel.Contents contents :
        List.of(FakeKernel.Contents.TEXT, FakeKernel.Contents.RANDOM)) {
      for (int value : new int[] {'A', 0xff}) {
        FakeImage image = image(layout, contents);
        Spot spot = behindAllocated(image);
        long start = spot.slab().object(spot.index() - 1) + 64;
        image.fill(start, value, (int) (spot.slot() + 8 - start));
        Finding finding = only(image);
        assertThat(finding.cause()).isEqualTo(Cause.OVERFLOW_FROM_NEIGHBOUR);
        assertThat(finding.evidence())
            .anySatisfy(
                one ->
                    assertThat(one)
                        .isInstanceOfSatisfying(
                            Evidence.Run.class,
                            run -> assertThat(run.address()).isLessThanOrEqualTo(start)));
      }
    }
  }

  /// A plain pointer, whose low byte is often 0, is no end of the text before it.
  @ParameterizedTest
  @MethodSource("middle")
  void aPointerBehindTextIsNoEndOfAString(Layout layout) {
    FakeImage image = image(layout, FakeKernel.Contents.RANDOM);
    Spot spot = behindAllocated(image);
    long start = spot.slab().object(spot.index() - 1) + 64;
    image.corrupt(start, text((int) (spot.slot() - start)));
    image.corruptWord(spot.slot(), image.cache("bystander").slabs().getFirst().base() + 0x100);
    assertThat(only(image).cause()).isNotEqualTo(Cause.OVERFLOW_FROM_NEIGHBOUR);
  }

  @ParameterizedTest
  @MethodSource("middle")
  void whatComesIntoAClearedObjectFromTheLeftIsAnOverflow(Layout layout) {
    FakeImage image =
        kernel(layout, FakeKernel.Contents.RANDOM)
            .initOnFree()
            .cache(FakeCache.named("victim", 256).partial(12).full(2).sheaves(0))
            .build();
    Spot spot = behindAllocated(image);
    long start = spot.slab().object(spot.index() - 1) + 200;
    byte[] written = new byte[(int) (spot.slot() + 8 - start)];
    for (int i = 0; i < written.length; i++) {
      written[i] = (byte) (i * 37 % 251 + 1);
    }
    image.corrupt(start, written);
    assertCause(image, Cause.OVERFLOW_FROM_NEIGHBOUR, spot.slot());
  }

  @ParameterizedTest
  @MethodSource("middle")
  void whatIsWrittenIntoTheMiddleOfAClearedObjectIsAWriteAfterTheFree(Layout layout) {
    FakeImage image =
        kernel(layout, FakeKernel.Contents.RANDOM)
            .initOnFree()
            .cache(FakeCache.named("victim", 256).partial(12).full(2).sheaves(0))
            .build();
    Spot spot = behindAllocated(image);
    image.corruptWord(spot.slot(), ODD);
    image.corruptWord(spot.slot() + 8, ODD + 2);
    assertCause(image, Cause.USE_AFTER_FREE_WRITE, spot.slot());
  }

  // ---- short stores, and bits

  @ParameterizedTest
  @MethodSource("hardened")
  void aStoreOfFourBytesIsToldByTheRestOfTheWord(Layout layout) {
    for (int at : new int[] {0, 4}) {
      FakeImage image = image(layout, FakeKernel.Contents.RANDOM);
      SlabImage slab = partial(image, 4);
      long slot = slab.slot(slab.freelist().get(1));
      image.corrupt(slot + at, (byte) 0x78, (byte) 0x56, (byte) 0x34, (byte) 0x92);
      Finding finding = only(image);
      assertThat(finding.cause()).isEqualTo(Cause.USE_AFTER_FREE_WRITE);
      assertThat(finding.against()).isEmpty();
      assertThat(finding.evidence().getFirst().sentence())
          .contains("a store of 4 bytes at 0x%x wrote 0x92345678".formatted(slot + at));
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theSameBitSetInBothHalvesIsNoMemoryModule(Layout layout) {
    FakeImage image = image(layout, FakeKernel.Contents.RANDOM);
    SlabImage slab = partial(image, 4);
    long slot = slab.slot(slab.freelist().get(1));
    int bit =
        IntStream.range(0, 24).filter(b -> isClear(image.word(slot), b)).findFirst().orElse(-1);
    if (bit < 0) {
      return; // The upper half of a plain pointer is all ones.
    }
    image.corruptWord(slot, image.word(slot) | 1L << bit | 1L << (bit + 32));
    assertCause(image, Cause.USE_AFTER_FREE_WRITE, slot);
  }

  private static boolean isClear(long word, int bit) {
    return (word >>> bit & 1) == 0 && (word >>> (bit + 32) & 1) == 0;
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void oneFlippedBitOfPoisonIsCalledSo(Layout layout) {
    for (int value : new int[] {0x4b, 0x6a, 0xeb}) {
      FakeImage image = debugImage(layout);
      SlabImage slab = partial(image, 3);
      long at = slab.object(slab.freelist().getFirst()) + 21;
      image.corrupt(at, (byte) value);
      assertCause(image, Cause.BIT_FLIP, at);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void moreThanOneBitOfPoisonIsAWrite(Layout layout) {
    for (byte[] written : List.of(new byte[] {0x49}, new byte[] {0x6a, 0x6a}, new byte[] {0})) {
      FakeImage image = debugImage(layout);
      SlabImage slab = partial(image, 3);
      long at = slab.object(slab.freelist().getFirst()) + 21;
      image.corrupt(at, written);
      assertCause(image, Cause.POISON_OVERWRITTEN, at);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aBitSetInEachWordOfPoisonIsAnOrOfStores(Layout layout) {
    FakeImage image = debugImage(layout);
    SlabImage slab = partial(image, 3);
    long at = slab.object(slab.freelist().getFirst()) + 16;
    for (int i = 0; i < 4; i++) {
      image.corrupt(at + 4L * i + 1, (byte) 0x7b);
    }
    Finding finding = only(image);
    assertThat(finding.cause()).isEqualTo(Cause.POISON_OVERWRITTEN);
    assertThat(finding.evidence())
        .anySatisfy(one -> assertThat(one.sentence()).contains("no memory module"));
  }

  // ---- counters, heads and slab_cache that are one bit off by chance

  @ParameterizedTest
  @MethodSource("layouts")
  void aClearedCountersWordIsNoFlippedBit(Layout layout) {
    FakeImage image =
        kernel(layout, FakeKernel.Contents.RANDOM)
            .cache(FakeCache.named("victim", 512).align(512).order(0).full(3).sheaves(0))
            .build();
    SlabImage slab = image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
    assertThat(slab.objects()).isEqualTo(8);
    long counters = image.member(slab, "counters");
    image.corrupt(counters, new byte[4]);
    List<Finding> findings = run(image).findings();
    assertThat(findings).isNotEmpty();
    assertThat(findings)
        .allSatisfy(
            finding -> {
              assertThat(finding.cause()).isNotEqualTo(Cause.BIT_FLIP);
              assertThat(finding.subject().address()).isEqualTo(counters);
            });
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aHeadThatLeadsIntoAnObjectIsNoFlippedBit(Layout layout) {
    for (int off : new int[] {8, 16, 64}) {
      FakeImage image = image(layout, FakeKernel.Contents.RANDOM);
      SlabImage slab = partial(image, 3);
      long head = image.member(slab, "freelist");
      image.corruptWord(head, image.word(head) + off);
      assertCause(image, Cause.METADATA_OVERWRITTEN, head);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aHeadWithAFlippedHighBitIsOne(Layout layout) {
    FakeImage image = image(layout, FakeKernel.Contents.RANDOM);
    SlabImage slab = partial(image, 3);
    long head = image.member(slab, "freelist");
    image.flipBit(head, 50);
    assertCause(image, Cause.BIT_FLIP, head);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSlabCacheThatIsACacheOrLeadsIntoOneIsNoFlippedBit(Layout layout) {
    for (int off : new int[] {8, 16, 32, 0}) {
      FakeImage image = image(layout, FakeKernel.Contents.RANDOM);
      SlabImage slab = partial(image, 1);
      CacheImage victim = image.cache("victim");
      long word = image.member(slab, "slab_cache");
      image.corruptWord(
          word, off == 0 ? image.cache("bystander").address() : victim.address() + off);
      assertCause(image, Cause.METADATA_OVERWRITTEN, word);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSlabCacheWithAFlippedHighBitIsOne(Layout layout) {
    FakeImage image = image(layout, FakeKernel.Contents.RANDOM);
    SlabImage slab = partial(image, 1);
    long word = image.member(slab, "slab_cache");
    image.flipBit(word, 41);
    assertCause(image, Cause.BIT_FLIP, word);
  }

  // ---- double frees without a circle

  private static void addInuse(FakeImage image, SlabImage slab, int more) {
    long counters = image.member(slab, "counters");
    image.corruptWord(counters, image.word(counters) + more);
  }

  private static List<Integer> allocated(SlabImage slab, int count) {
    return IntStream.range(0, slab.objects())
        .filter(i -> !slab.isFree(i))
        .limit(count)
        .boxed()
        .toList();
  }

  private static SlabImage withAllocated(FakeImage image, int count) {
    return partials(image)
        .filter(slab -> slab.objects() - slab.freelist().size() > count + 1)
        .findFirst()
        .orElseThrow();
  }

  /// What build_detached_freelist and `__slab_free` make of o1, others, o1.
  private static long freeTwiceAtOnce(FakeImage image, SlabImage slab, List<Integer> objects) {
    long head = image.member(slab, "freelist");
    int first = objects.getFirst();
    for (int i = 1; i < objects.size(); i++) {
      int at = objects.get(i);
      image.corruptWord(slab.slot(at), image.encoded(slab, at, slab.object(objects.get(i - 1))));
    }
    image.corruptWord(slab.slot(first), image.encoded(slab, first, image.word(head)));
    image.corruptWord(head, slab.object(first));
    addInuse(image, slab, -objects.size() - 1);
    return slab.slot(first);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anObjectFreedTwiceAtOnceIsToldByWhatIsOnNoList(Layout layout) {
    for (int count : new int[] {2, 3}) {
      FakeImage image = image(layout, FakeKernel.Contents.RANDOM);
      SlabImage slab = withAllocated(image, count);
      long slot = freeTwiceAtOnce(image, slab, allocated(slab, count));
      assertCause(image, Cause.DOUBLE_FREE, slot);
    }
  }

  /// Where objects in use keep old free pointers, one of them is no mark.
  @ParameterizedTest
  @MethodSource("layouts")
  void aCounterThatIsOffStaysOneWhereObjectsKeepOldPointers(Layout layout) {
    FakeImage image = image(layout, FakeKernel.Contents.RANDOM);
    SlabImage slab = withAllocated(image, 4);
    for (int i : allocated(slab, 3)) {
      image.corruptWord(
          slab.slot(i), image.encoded(slab, i, slab.object(slab.freelist().getFirst())));
    }
    addInuse(image, slab, -2);
    assertCause(image, Cause.COUNTER_MISMATCH, image.member(slab, "counters"));
  }

  @ParameterizedTest
  @MethodSource("hardened")
  void aSecondFreeInADebugCacheEndsTheListAtTheObject(Layout layout) {
    for (boolean isLast : new boolean[] {false, true}) {
      FakeImage image = debugImage(layout);
      SlabImage slab = partial(image, 4);
      List<Integer> list = slab.freelist();
      int twice = list.get(isLast ? list.size() - 2 : 1);
      image.corruptWord(slab.slot(twice), image.encoded(slab, twice, 0));
      assertCause(image, Cause.DOUBLE_FREE, slab.slot(twice));
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void healthyTwinsSaySoInAllContents(Layout layout) {
    for (FakeKernel.Contents contents :
        List.of(FakeKernel.Contents.TEXT, FakeKernel.Contents.RANDOM)) {
      assertThat(run(image(layout, contents)).findings()).isEmpty();
    }
    Found found = run(debugImage(layout));
    assertThat(found.findings()).isEmpty();
    assertThat(found.notes()).isEmpty();
    assertThat(Arrays.asList(layout)).isNotEmpty();
  }
}
