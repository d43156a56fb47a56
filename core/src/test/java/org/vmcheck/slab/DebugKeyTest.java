package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// Caches created with debugging flags in a kernel whose static key `slub_debug_enabled` is off:
/// their objects start at the first byte of the slab, and no byte of them is fixed.
class DebugKeyTest {
  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  private static FakeImage image(Layout layout, int counter) {
    return image(FakeKernel.of(layout), counter);
  }

  private static FakeImage image(FakeKernel kernel, int counter) {
    return kernel
        .seed(8)
        .debugKey(counter)
        .contents(FakeKernel.Contents.RANDOM)
        .cache(FakeCache.named("tracked", 120).debug().partial(3).sheaves(0))
        .cache(FakeCache.named("fenced", 104).align(64).redZones().partial(3).sheaves(0))
        .cache(FakeCache.named("usual", 120).partial(2))
        .build();
  }

  private static SlabImage partial(FakeImage image, String cache) {
    return image.cache(cache).slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> slab.freelist().size() >= 3)
        .findFirst()
        .orElseThrow();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void whileTheKeyIsOffNoByteIsFixedAndNothingIsFound(Layout layout) {
    FakeImage image = image(layout, 0);
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.transients()).isEmpty();
    assertThat(survey.patternObjects()).isZero();
    for (SlabSurvey.Tally tally : survey.tallies()) {
      long held =
          image.cache(tally.cache().name()).slabs().stream()
              .mapToLong(slab -> slab.objects() - slab.freelist().size())
              .sum();
      assertThat(tally.inuse()).as(tally.cache().name()).isEqualTo(held);
    }
  }

  /// `init_on_free` asks for the flag SLAB_POISON and not for the key: such caches are not cleared.
  @ParameterizedTest
  @MethodSource("layouts")
  void whatIsNotClearedForItsFlagIsNotDamaged(Layout layout) {
    assertThat(image(FakeKernel.of(layout).initOnFree(), 0).survey().faults()).isEmpty();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void whileTheKeyIsOffABrokenListIsFoundAtItsWord(Layout layout) {
    FakeImage image = image(layout, 0);
    SlabImage slab = partial(image, "fenced");
    int holder = slab.freelist().get(1);
    image.corruptWord(slab.slot(holder), 0x4141_4242_4343_4444L);
    assertThat(image.survey().faults())
        .singleElement()
        .isInstanceOfSatisfying(
            SlabFault.Broken.class,
            broken -> assertThat(broken.list().end().slot()).isEqualTo(slab.slot(holder)));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void whileTheKeyIsOnAllBytesAreLookedAt(Layout layout) {
    FakeImage image = image(layout, 1);
    assertThat(image.survey().faults()).isEmpty();
    for (String cache : new String[] {"tracked", "fenced"}) {
      FakeImage damaged = image(layout, 1);
      SlabImage slab = partial(damaged, cache);
      damaged.corrupt(slab.object(slab.freelist().getFirst()) - 1, (byte) 0);
      assertThat(damaged.survey().faults()).singleElement().isInstanceOf(SlabFault.Pattern.class);
    }
  }
}
