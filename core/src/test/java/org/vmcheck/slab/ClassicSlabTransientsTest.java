package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SheafImage;
import org.vmcheck.testing.SlabImage;

/// What a CPU leaves behind that is stopped while it moves objects of the SLAB allocator is a note
/// as long as the lock is held, and damage otherwise.
class ClassicSlabTransientsTest {
  private static final long POISON_NEXT = 0xdead_0000_0000_0100L;
  private static final long POISON_PREV = 0xdead_0000_0000_0122L;

  static Stream<Layout> layouts() {
    return Layout.OLD_SLAB.stream();
  }

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(4)
        .cpus(8)
        .cache(FakeCache.named("victim", 192).partial(12).full(3))
        .build();
  }

  private static long node(FakeImage image, String member) {
    return image.member("kmem_cache_node", image.cache("victim").node(0), member);
  }

  private static void lock(FakeImage image) {
    image.corrupt(node(image, "list_lock"), (byte) 1);
  }

  private static List<SlabImage> partial(FakeImage image) {
    return image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> !slab.freelist().isEmpty() && slab.freelist().size() < slab.objects())
        .toList();
  }

  private static void expect(FakeImage image, int faults, int transients) {
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).hasSize(faults);
    assertThat(survey.transients()).hasSize(transients);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSlabMayBeFullOnThePartialListWhileTheLockIsHeld(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      // cache_alloc_refill took all its objects, and free_objects does not know yet.
      FakeImage image = image(layout);
      SlabImage slab = partial(image).getFirst();
      image.corrupt(image.member(slab, "active"), (byte) slab.objects());
      if (isLocked) {
        lock(image);
      }
      expect(image, isLocked ? 0 : 2, isLocked ? 2 : 0);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void twoFullSlabsOnThePartialListAreDamage(Layout layout) {
    FakeImage image = image(layout);
    for (SlabImage slab : partial(image).subList(0, 2)) {
      image.corrupt(image.member(slab, "active"), (byte) slab.objects());
    }
    lock(image);
    assertThat(image.survey().faults())
        .anySatisfy(
            fault ->
                assertThat(fault)
                    .isInstanceOfSatisfying(
                        SlabFault.Count.class,
                        count -> assertThat(count.counter()).isEqualTo("slab.active")));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aFullSlabThatIsNotFullIsDamageWhoeverHoldsTheLock(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
    image.corrupt(image.member(slab, "active"), (byte) (slab.objects() + 1));
    lock(image);
    assertThat(image.survey().faults()).isNotEmpty();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void countersOfANodeMayBeOneStepBehindWhileTheLockIsHeld(Layout layout) {
    for (String counter : List.of("total_slabs", "free_slabs", "free_objects")) {
      for (int off : new int[] {1, 100}) {
        for (boolean isLocked : List.of(true, false)) {
          FakeImage image = image(layout);
          image.corruptWord(node(image, counter), image.word(node(image, counter)) + off);
          if (isLocked) {
            lock(image);
          }
          boolean isLegal = isLocked && off == 1;
          expect(image, isLegal ? 0 : 1, isLegal ? 1 : 0);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void oneSlabMayBeHalfLinkedWhileTheLockIsHeld(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      FakeImage image = image(layout);
      long head = node(image, "slabs_partial");
      image.corruptWord(image.word(image.word(head)) + 8, head);
      if (isLocked) {
        lock(image);
      }
      expect(image, isLocked ? 0 : 1, isLocked ? 1 : 0);
    }
    FakeImage image = image(layout);
    long head = node(image, "slabs_partial");
    image.corruptWord(image.word(image.word(head)) + 8, 0x6b6b_6b6b_6b6b_6b6bL);
    lock(image);
    expect(image, 1, 0);
  }

  /// Takes the first slab off slabs_partial, as list_del does; returns the address of its link.
  private static long unlink(FakeImage image, long next, long prev) {
    long head = node(image, "slabs_partial");
    long link = image.word(head);
    long second = image.word(link);
    image.corruptWord(head, second).corruptWord(second + 8, head);
    image.corruptWord(link, next).corruptWord(link + 8, prev);
    return link;
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSlabMayBeOffItsListWhileTheLockIsHeld(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      FakeImage image = image(layout);
      unlink(image, POISON_NEXT, POISON_PREV);
      if (isLocked) {
        lock(image);
      }
      // The slab itself; total_slabs and free_objects, which still count it.
      expect(image, isLocked ? 0 : 2, isLocked ? 3 : 1);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSlabThatBelievesItIsOnAListAndIsOnNoneIsLost(Layout layout) {
    FakeImage image = image(layout);
    long link = image.word(node(image, "slabs_partial"));
    unlink(image, image.word(link), image.word(link + 8));
    lock(image);
    assertThat(image.survey().faults()).singleElement().isInstanceOf(SlabFault.Place.class);
  }

  private static SheafImage array(FakeImage image) {
    return image.cache("victim").sheaves().stream()
        .filter(a -> a.place() == SheafImage.Place.CPU_ARRAY && a.objects().size() >= 3)
        .findFirst()
        .orElseThrow();
  }

  private static SlabImage withFree(FakeImage image, int count) {
    return partial(image).stream()
        .filter(slab -> slab.freelist().size() >= count)
        .findFirst()
        .orElseThrow();
  }

  private static void giveBack(FakeImage image, SheafImage array, int first, int count) {
    SlabImage slab = withFree(image, count);
    for (int i = 0; i < count; i++) {
      image.corruptWord(array.entry(first + i), slab.object(slab.freelist().get(i)));
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theFirstEntriesOfAnArrayMayBeFreeInTheirSlabsWhileTheLockIsHeld(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      FakeImage image = image(layout);
      giveBack(image, array(image), 0, 2);
      if (isLocked) {
        lock(image);
      }
      expect(image, isLocked ? 0 : 2, isLocked ? 1 : 0);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anEntryInTheMiddleThatIsFreeInItsSlabIsFreedTwiceWhoeverHoldsTheLock(Layout layout) {
    FakeImage image = image(layout);
    giveBack(image, array(image), 1, 1);
    lock(image);
    assertThat(image.survey().faults())
        .singleElement()
        .isInstanceOfSatisfying(
            SlabFault.Entry.class, entry -> assertThat(entry.isTwiceFree()).isTrue());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aWholeBatchMayBeInItsArrayForAnInstantAfterTheLock(Layout layout) {
    for (int count : new int[] {12, 11}) {
      FakeImage image = image(layout);
      SheafImage array = array(image);
      giveBack(image, array, 0, count);
      image.corrupt(array.address(), (byte) count);
      // The batch is 12.
      expect(image, count == 12 ? 0 : count, count == 12 ? 1 : 0);
    }
  }
}
