package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SheafImage;
import org.vmcheck.testing.SlabImage;

/// The SLAB allocator: healthy kernels stay silent, each planted fault is found alone.
class ClassicSlabTest {
  static Stream<Layout> layouts() {
    return Layout.OLD_SLAB.stream();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void everySlabAndEveryHeldObjectIsCounted(Layout layout) {
    for (int seed = 0; seed < 12; seed++) {
      FakeImage image =
          FakeKernel.of(layout)
              .seed(seed)
              .nodes(1 + seed % 3)
              .cpus(1 + seed % 4)
              .offlineCpus(seed % 2)
              .build();
      SlabSurvey survey = image.survey();
      assertThat(survey.faults()).isEmpty();
      assertThat(survey.pendingSlabs()).isEqualTo(2);
      Map<String, Long> held = new TreeMap<>();
      survey.tallies().forEach(tally -> held.put(tally.cache().name(), tally.allocated()));
      assertThat(held).isEqualTo(image.allocated());
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void pagesOfTheKfencePoolAreNoSlabs(Layout layout) {
    for (int objects : new int[] {63, 255, 1023}) {
      SlabSurvey survey = FakeKernel.of(layout).kfence(objects).build().survey();
      assertThat(survey.faults()).isEmpty();
      assertThat(survey.kfencePages()).isEqualTo(objects);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theAllocatorIsNamed(Layout layout) {
    SlabCaches caches = SlabCaches.of(FakeKernel.of(layout).build().kernel());
    assertThat(caches.detection())
        .isInstanceOfSatisfying(
            SlabLayout.Detection.Old.class,
            old ->
                assertThat(old.layout().variant())
                    .isEqualTo(
                        "struct %s, array caches, 1-byte indices".formatted(layout.slabStruct())));
  }

  /// Index arrays at the end of the slab, in one of its free objects, and in another cache.
  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(4)
        .cache(FakeCache.named("victim", 192).partial(3).full(3))
        .cache(FakeCache.named("in-object", 1024).partial(3).full(3))
        .cache(FakeCache.named("off-slab", 6000).constructor().partial(3).full(3))
        .build();
  }

  private static SlabImage partial(FakeImage image, String cache) {
    return image.cache(cache).slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> slab.freelist().size() >= 2 && slab.freelist().size() < slab.objects())
        .findFirst()
        .orElseThrow();
  }

  /// Address of the nth free index of a slab.
  private static long freeIndex(FakeImage image, SlabImage slab, int n) {
    long active = image.word(image.member(slab, "active")) & 0xffff_ffffL;
    return image.word(image.member(slab, "freelist")) + active + n;
  }

  private static <F extends SlabFault> F onlyFault(FakeImage image, Class<F> kind) {
    List<SlabFault> faults = image.survey().faults();
    assertThat(faults).as(image.layout().name()).hasSize(1);
    assertThat(faults.getFirst()).isInstanceOf(kind);
    return kind.cast(faults.getFirst());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anIndexBeyondTheSlabIsFound(Layout layout) {
    for (String cache : List.of("victim", "in-object", "off-slab")) {
      FakeImage image = image(layout);
      SlabImage slab = partial(image, cache);
      long at = freeIndex(image, slab, 1);
      image.corrupt(at, (byte) 0xee);
      SlabFault.Entry entry = onlyFault(image, SlabFault.Entry.class);
      assertThat(entry.cache().name()).isEqualTo(cache);
      assertThat(entry.address()).isEqualTo(at);
      assertThat(entry.raw()).isEqualTo(0xee);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anIndexThatIsThereTwiceIsFreedTwice(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image, "victim");
    image.corrupt(freeIndex(image, slab, 1), (byte) (int) slab.freelist().getFirst());
    SlabFault.Entry entry = onlyFault(image, SlabFault.Entry.class);
    assertThat(entry.isTwiceFree()).isTrue();
    assertThat(entry.object()).isEqualTo(slab.freelist().getFirst());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anActiveThatCannotBeIsFoundAndNothingElse(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
    image.corrupt(image.member(slab, "active"), (byte) (slab.objects() + 1));
    assertThat(onlyFault(image, SlabFault.Count.class).counter()).isEqualTo("slab.active");
  }

  private static SheafImage array(FakeImage image) {
    return image.cache("victim").sheaves().stream()
        .filter(array -> array.objects().size() >= 2)
        .findFirst()
        .orElseThrow();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anObjectTwiceInAnArrayCacheIsFreedTwice(Layout layout) {
    FakeImage image = image(layout);
    SheafImage array = array(image);
    image.corruptWord(array.entry(1), array.objects().getFirst());
    SlabFault.Entry entry = onlyFault(image, SlabFault.Entry.class);
    assertThat(entry.isTwiceFree()).isTrue();
    assertThat(entry.address()).isEqualTo(array.entry(1));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anObjectInAnArrayCacheThatIsAlsoFreeInItsSlabIsFreedTwice(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image, "victim");
    SheafImage array = array(image);
    image.corruptWord(array.entry(0), slab.object(slab.freelist().getFirst()));
    SlabFault.Entry entry = onlyFault(image, SlabFault.Entry.class);
    assertThat(entry.isTwiceFree()).isTrue();
    assertThat(entry.slab().address()).isEqualTo(slab.address());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anEntryThatIsNoObjectIsFound(Layout layout) {
    for (long wild : new long[] {0, 0x4141_4141_4141_4141L}) {
      FakeImage image = image(layout);
      image.corruptWord(array(image).entry(0), wild);
      assertThat(onlyFault(image, SlabFault.Entry.class).slab()).isNull();
    }
    FakeImage image = image(layout);
    SheafImage array = array(image);
    image.corruptWord(array.entry(0), array.objects().getFirst() + 8);
    assertThat(onlyFault(image, SlabFault.Entry.class).object()).isEqualTo(-1);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anArrayCacheFullerThanItsLimitIsFound(Layout layout) {
    FakeImage image = image(layout);
    image.corrupt(array(image).address() + 2, (byte) 0x7f);
    assertThat(onlyFault(image, SlabFault.Count.class).expected()).isEqualTo(24);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void wrongTotalsOfANodeAreFound(Layout layout) {
    for (String counter : List.of("total_slabs", "free_slabs", "free_objects")) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      long at = image.member("kmem_cache_node", cache.node(0), counter);
      image.corruptWord(at, image.word(at) + 3);
      assertThat(onlyFault(image, SlabFault.Count.class).address()).isEqualTo(at);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSlabThatBelongsToAnotherCacheIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image, "victim");
    image.corruptWord(image.member(slab, "slab_cache"), image.cache("off-slab").address());
    assertThat(onlyFault(image, SlabFault.Owner.class).slab()).isEqualTo(slab.address());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aBrokenLinkIsFoundAndTheRestWalked(Layout layout) {
    FakeImage image = image(layout);
    long head = image.member("kmem_cache_node", image.cache("victim").node(0), "slabs_partial");
    image.corruptWord(image.word(head) + 8, 0xdead_0000_0000_0122L);
    assertThat(onlyFault(image, SlabFault.Links.class).walk().isRecovered()).isTrue();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aFirstObjectOutsideTheSlabIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image, "victim");
    image.flipBit(image.member(slab, "s_mem"), 40);
    assertThat(image.survey().faults())
        .anySatisfy(
            fault ->
                assertThat(fault)
                    .isInstanceOfSatisfying(
                        SlabFault.Stray.class,
                        stray -> assertThat(stray.list()).isEqualTo("slab.s_mem")));
  }
}
