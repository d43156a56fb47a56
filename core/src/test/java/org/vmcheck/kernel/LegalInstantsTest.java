package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// States in which a CPU may have been stopped are notes as long as the lock that guards them is
/// held, and findings otherwise; and what no list shows is looked at too.
class LegalInstantsTest {
  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(5)
        .cpus(2)
        .cache(FakeCache.named("victim", 240).partial(6).full(4))
        .build();
  }

  private static void lock(FakeImage image, CacheImage cache) {
    image.corruptWord(image.member("kmem_cache_node", cache.node(0), "list_lock"), 1);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void nrPartialMayBeOneOffWhileTheLockIsHeld(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      long counter = image.member("kmem_cache_node", cache.node(0), "nr_partial");
      image.corruptWord(counter, image.word(counter) + 1);
      if (isLocked) {
        lock(image, cache);
      }
      SlabSurvey survey = image.survey();
      assertThat(survey.faults()).hasSize(isLocked ? 0 : 1);
      assertThat(survey.instants()).hasSize(isLocked ? 1 : 0);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void nrPartialMayNotBeTwoOff(Layout layout) {
    FakeImage image = image(layout);
    CacheImage cache = image.cache("victim");
    long counter = image.member("kmem_cache_node", cache.node(0), "nr_partial");
    image.corruptWord(counter, image.word(counter) + 2);
    lock(image, cache);
    assertThat(image.survey().faults())
        .singleElement()
        .isInstanceOfSatisfying(
            SlabFault.Count.class,
            count -> assertThat(count.counter()).isEqualTo("kmem_cache_node.nr_partial"));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void oneSlabMayBeHalfLinkedWhileTheLockIsHeld(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      // list_del has set the prev of the node behind and not yet the next of the node before.
      long head = image.member("kmem_cache_node", cache.node(0), "partial");
      long second = image.word(image.word(head));
      image.corruptWord(second + 8, head);
      if (isLocked) {
        lock(image, cache);
      }
      SlabSurvey survey = image.survey();
      assertThat(survey.faults()).hasSize(isLocked ? 0 : 1);
      assertThat(survey.instants()).hasSize(isLocked ? 1 : 0);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aWildLinkIsDamageWhoeverHoldsTheLock(Layout layout) {
    FakeImage image = image(layout);
    CacheImage cache = image.cache("victim");
    long head = image.member("kmem_cache_node", cache.node(0), "partial");
    image.corruptWord(image.word(image.word(head)) + 8, 0x6b6b6b6b6b6b6b6bL);
    lock(image, cache);
    assertThat(image.survey().faults()).singleElement().isInstanceOf(SlabFault.Links.class);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void slabsThatNoListKeepsAreLostWhenTheyAreMoreThanTheCpus(Layout layout) {
    for (int lost : new int[] {1, 2, 3, 5}) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      unlink(image, cache, lost);
      SlabSurvey survey = image.survey();
      if (lost <= 2) {
        assertThat(survey.faults()).isEmpty();
        assertThat(survey.instants())
            .singleElement()
            .extracting("what")
            .asString()
            .contains("no list");
      } else {
        assertThat(survey.faults())
            .singleElement()
            .isInstanceOfSatisfying(
                SlabFault.Place.class,
                place -> assertThat(place.why()).startsWith(lost + " slabs"));
      }
    }
  }

  /// Takes the first slabs off the node's list, as cleanly as the kernel does.
  private static void unlink(FakeImage image, CacheImage cache, int count) {
    long head = image.member("kmem_cache_node", cache.node(0), "partial");
    long counter = image.member("kmem_cache_node", cache.node(0), "nr_partial");
    for (int i = 0; i < count; i++) {
      long second = image.word(image.word(head));
      image.corruptWord(head, second);
      image.corruptWord(second + 8, head);
    }
    image.corruptWord(counter, image.word(counter) - count);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void everyObjectsSlotIsRead(Layout layout) {
    SlabSurvey survey = image(layout).survey();
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.slots()).isEqualTo(survey.objects());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aMissingPageOfAFullSlabIsSeen(Layout layout) {
    FakeImage image = image(layout);
    SlabImage full = image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
    image.exclude(full.pfn());
    SlabSurvey survey = image.survey();
    assertThat(survey.faults())
        .singleElement()
        .isInstanceOfSatisfying(
            SlabFault.Absent.class,
            absent -> assertThat(absent.slab().pfn()).isEqualTo(full.pfn()));
    assertThat(survey.unreadableSlabPages()).containsEntry("excluded", 1L);
    assertThat(survey.slots()).isLessThan(survey.objects());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aFullListOfADebugCacheIsFollowed(Layout layout) {
    FakeImage image =
        FakeKernel.of(layout).seed(5).cache(FakeCache.named("victim", 240).debug().full(3)).build();
    assertThat(image.survey().faults()).isEmpty();
    CacheImage cache = image.cache("victim");
    if (!layout.has("kmem_cache_node", "full")) {
      return;
    }
    long head = image.member("kmem_cache_node", cache.node(0), "full");
    assertThat(image.word(head)).as("the image keeps full slabs on the list").isNotEqualTo(head);
    image.corruptWord(image.word(head), 0x4141414141414141L);
    assertThat(image.survey().faults())
        .singleElement()
        .isInstanceOfSatisfying(
            SlabFault.Links.class,
            links -> assertThat(links.list()).isEqualTo("full list of node 0"));
  }
}
