package org.vmcheck.slab;

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

/// Slabs that SLUB took out of use after it found them corrupt are no fault, however many and
/// wherever they are; nor is the object whose red zones a CPU is changing.
class OutOfUseSlabsTest {
  private static final int OBJECT_SIZE = 104;

  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  private static FakeImage image(Layout layout) {
    return image(layout, FakeCache.named("victim", OBJECT_SIZE).debug().partial(6).full(3));
  }

  private static FakeImage image(Layout layout, FakeCache victim) {
    return FakeKernel.of(layout).seed(5).cpus(2).cache(victim).build();
  }

  private static List<SlabImage> partials(FakeImage image) {
    return image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> slab.freelist().size() >= 3 && slab.freelist().size() < slab.objects())
        .toList();
  }

  private static int held(SlabImage slab) {
    return IntStream.range(1, slab.objects())
        .filter(i -> !slab.isFree(i))
        .findFirst()
        .orElseThrow();
  }

  private static void setInuse(FakeImage image, SlabImage slab, int inuse) {
    long counters = image.member(slab, "counters");
    image.corruptWord(counters, (image.word(counters) & ~0xffffL) | inuse);
  }

  private static void unlink(FakeImage image, SlabImage slab) {
    unlinkFull(image, slab);
    long counter = image.member("kmem_cache_node", slab.cache().node(0), "nr_partial");
    image.corruptWord(counter, image.word(counter) - 1);
  }

  /// From whatever list it is on; that of full slabs is not counted.
  private static void unlinkFull(FakeImage image, SlabImage slab) {
    String struct = image.layout().slabStruct();
    long list = image.member(slab, image.layout().has(struct, "slab_list") ? "slab_list" : "lru");
    if (image.word(list) != 0xdead_0000_0000_0100L) {
      image.corruptWord(image.word(list) + 8, image.word(list + 8));
      image.corruptWord(image.word(list + 8), image.word(list));
    }
  }

  /// "Marking all objects used": what `alloc_debug_processing` does with a slab that is corrupt.
  private static void takeOutOfUse(FakeImage image, SlabImage slab, boolean isFrozen) {
    image.corruptWord(image.member(slab, "freelist"), 0);
    setInuse(image, slab, slab.objects());
    if (isFrozen) {
      image.flipBit(image.member(slab, "counters"), 31);
    }
  }

  private static void lock(FakeImage image, CacheImage cache) {
    image.corruptWord(image.member("kmem_cache_node", cache.node(0), "list_lock"), 1);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void slabsThatTheKernelTookOutOfUseAreNotDamagedByIt(Layout layout) {
    FakeImage image = image(layout);
    List<SlabImage> slabs = partials(image);
    assertThat(slabs).hasSizeGreaterThan(2); // more than there are CPUs
    for (SlabImage slab : slabs) {
      takeOutOfUse(image, slab, true);
      unlink(image, slab);
    }
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.transients())
        .hasSize(slabs.size())
        .allMatch(instant -> instant.why().contains("isolated"));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aFreelistThatWasClearedMayStayOnTheNodesList(Layout layout) {
    FakeImage image = image(layout);
    takeOutOfUse(image, partials(image).getFirst(), false);
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.transients()).hasSize(1);
  }

  /// A full slab on the node's partial list, or more frozen ones than CPUs, that hold no free
  /// objects: nobody took these out of use.
  @ParameterizedTest
  @MethodSource("layouts")
  void slabsWithoutFreeObjectsAreJudgedAsBefore(Layout layout) {
    FakeImage image = image(layout);
    List<SlabImage> full = image.cache("victim").slabs(SlabImage.Place.FULL);
    assertThat(full).hasSizeGreaterThan(2);
    for (SlabImage slab : full) {
      unlinkFull(image, slab);
      image.flipBit(image.member(slab, "counters"), 31);
    }
    assertThat(image.survey().faults())
        .singleElement()
        .isInstanceOfSatisfying(
            SlabFault.Place.class, place -> assertThat(place.why()).contains("frozen"));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void damageToSlabsOutOfUseIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partials(image).getFirst();
    takeOutOfUse(image, slab, true);
    unlink(image, slab);
    int held = held(slab);
    image.corrupt(slab.object(held) + OBJECT_SIZE + 1, (byte) 3);
    assertThat(image.survey().faults())
        .singleElement()
        .isInstanceOfSatisfying(
            SlabFault.Pattern.class, fault -> assertThat(fault.index()).isEqualTo(held));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void oneZoneOfEachKindIsChangedUnderTheLockAndElseDamage(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      FakeImage image = image(layout);
      SlabImage slab = partials(image).getFirst();
      image.fill(slab.object(held(slab)) - slab.cache().pad(), 0xbb, slab.cache().pad());
      if (isLocked) {
        lock(image, slab.cache());
      }
      SlabSurvey survey = image.survey();
      assertThat(survey.faults()).hasSize(isLocked ? 0 : 1);
      assertThat(survey.transients()).hasSize(isLocked ? 1 : 0);
    }
  }

  /// `alloc_single_from_new_slab` (6.1 on) makes the zones of the first object before it takes
  /// list_lock: the slab is on no list and in no counter.
  @ParameterizedTest
  @MethodSource("layouts")
  void theFirstObjectOfANewSlabMayBeHalfwayWithoutTheLock(Layout layout) {
    if (!layout.has("kmem_cache_node", "nr_slabs")) {
      return;
    }
    for (boolean isNew : List.of(true, false)) {
      FakeImage image = null;
      SlabImage slab = null;
      for (int seed = 1; slab == null; seed++) {
        assertThat(seed).isLessThan(200);
        image =
            FakeKernel.of(layout)
                .seed(seed)
                .cpus(2)
                .cache(FakeCache.named("victim", 1100).debug().partial(6).full(3))
                .build();
        slab =
            image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
                .filter(one -> one.freelist().size() == one.objects() - 1)
                .findFirst()
                .orElse(null);
      }
      if (isNew) {
        unlink(image, slab);
        for (String counter : List.of("nr_slabs", "total_objects")) {
          long at = image.member("kmem_cache_node", slab.cache().node(0), counter);
          image.corruptWord(at, image.word(at) - (counter.equals("nr_slabs") ? 1 : slab.objects()));
        }
        String struct = layout.slabStruct();
        long list = image.member(slab, layout.has(struct, "slab_list") ? "slab_list" : "lru");
        boolean isOverLru = list - slab.address() == layout.offset("page", "lru");
        image.corruptWord(list, isOverLru ? 0 : 0xdead_0000_0000_0122L);
        image.corruptWord(list + 8, isOverLru ? 0xdead_0000_0000_0122L : 0);
        int mark = layout.pageFlag("PG_workingset").orElse(-1);
        if (mark >= 0) {
          long flags = slab.address() + layout.offset("page", "flags");
          image.corruptWord(flags, image.word(flags) & ~(1L << mark));
        }
      }
      int index = 0;
      while (slab.isFree(index)) {
        index++;
      }
      image.fill(slab.object(index) + 1100, 0xbb, 4);
      SlabSurvey survey = image.survey();
      assertThat(survey.faults()).hasSize(isNew ? 0 : 1);
    }
  }
}
