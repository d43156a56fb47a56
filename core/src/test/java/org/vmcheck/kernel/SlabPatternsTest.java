package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// The bytes that debugging options fix: what kernels leave there by right is no fault, and damage
/// is found beside it.
class SlabPatternsTest {
  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  private static final int OBJECT_SIZE = 104;

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(5)
        .cache(FakeCache.named("victim", OBJECT_SIZE).debug().partial(3).full(2))
        .build();
  }

  private static SlabImage partial(FakeImage image) {
    return image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> slab.freelist().size() >= 3 && slab.freelist().size() < slab.objects())
        .findFirst()
        .orElseThrow();
  }

  private static int allocated(SlabImage slab) {
    return IntStream.range(0, slab.objects()).filter(i -> !slab.isFree(i)).findFirst().orElseThrow();
  }

  /// What SLUB does after it found an error: no free objects, all in use, on no list.
  private static void isolate(FakeImage image, SlabImage slab) {
    long list = image.member(slab, image.layout().has(image.layout().slabStruct(), "slab_list") ? "slab_list" : "lru");
    long next = image.word(list);
    long prev = image.word(list + 8);
    image.corruptWord(next + 8, prev);
    image.corruptWord(prev, next);
    image.corruptWord(list, 0xdead_0000_0000_0100L);
    image.corruptWord(list + 8, 0xdead_0000_0000_0122L);
    CacheImage cache = slab.cache();
    long counter = image.member("kmem_cache_node", cache.node(slab.node()), "nr_partial");
    image.corruptWord(counter, image.word(counter) - 1);
    image.corruptWord(image.member(slab, "freelist"), 0);
    setInuse(image, slab, slab.objects());
  }

  private static void setInuse(FakeImage image, SlabImage slab, int inuse) {
    long counters = image.member(slab, "counters");
    image.corruptWord(counters, (image.word(counters) & ~0xffffL) | inuse);
  }

  private static List<SlabFault.Pattern> patterns(SlabSurvey survey) {
    return survey.faults().stream()
        .map(fault -> fault instanceof SlabFault.Pattern pattern ? pattern : null)
        .toList();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theFreeObjectsOfASlabThatTheKernelIsolatedAreNoDamage(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image);
    isolate(image, slab);
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.instants())
        .filteredOn(instant -> instant.what().contains("red zones"))
        .singleElement()
        .satisfies(
            instant -> {
              assertThat(instant.what()).startsWith(slab.freelist().size() + " objects");
              assertThat(instant.why()).contains("isolated");
            });
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void damageInASlabThatTheKernelIsolatedIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image);
    isolate(image, slab);
    int freed = slab.freelist().getFirst();
    int other = slab.freelist().getLast();
    int held = allocated(slab);
    image.corrupt(slab.object(freed) + 16, (byte) 1, (byte) 2);
    image.corrupt(slab.object(other) + OBJECT_SIZE, (byte) 0);
    image.corrupt(slab.object(held) + OBJECT_SIZE, (byte) 0);
    List<SlabFault.Pattern> found = patterns(image.survey());
    assertThat(found)
        .extracting(SlabFault.Pattern::index, SlabFault.Pattern::zone, SlabFault.Pattern::free)
        .containsExactlyInAnyOrder(
            org.assertj.core.groups.Tuple.tuple(freed, SlabFault.Zone.POISON, true),
            org.assertj.core.groups.Tuple.tuple(other, SlabFault.Zone.RIGHT_RED_ZONE, true),
            org.assertj.core.groups.Tuple.tuple(held, SlabFault.Zone.RIGHT_RED_ZONE, false));
  }

  /// list and counters have let go of the object, init_object has not come to it.
  @ParameterizedTest
  @MethodSource("layouts")
  void anObjectThatACpuHandsOutIsNoDamage(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image);
    image.corruptWord(image.member(slab, "freelist"), slab.object(slab.freelist().get(1)));
    setInuse(image, slab, slab.objects() - slab.freelist().size() + 1);
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.instants())
        .singleElement()
        .satisfies(instant -> assertThat(instant.what()).startsWith("an object"));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void oneZoneOfAFreeObjectAroundAnAllocatedOneIsDamage(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image);
    int held = allocated(slab);
    image.fill(slab.object(held) - slab.cache().pad(), 0xbb, slab.cache().pad());
    SlabSurvey survey = image.survey();
    assertThat(patterns(survey))
        .singleElement()
        .satisfies(
            fault -> {
              assertThat(fault.index()).isEqualTo(held);
              assertThat(fault.free()).isFalse();
              assertThat(fault.zone()).isEqualTo(SlabFault.Zone.LEFT_RED_ZONE);
            });
    assertThat(survey.instants()).isEmpty();
  }

  /// Then the counter is the finding, and nothing is said to be legal.
  @ParameterizedTest
  @MethodSource("layouts")
  void freeObjectsThatTheCountersMissAreTheCountersFinding(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image);
    image.corruptWord(image.member(slab, "freelist"), slab.object(slab.freelist().get(2)));
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).singleElement().isInstanceOf(SlabFault.Count.class);
    assertThat(survey.instants()).isEmpty();
  }
}
