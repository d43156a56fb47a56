package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.kernel.PerCpu;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SheafImage;
import org.vmcheck.testing.SlabImage;

/// What a CPU leaves behind that is stopped while it changes sheaves is a note as long as the lock
/// that guards them is held, or the CPU that they belong to is dead, and damage otherwise.
class SheafTransientsTest {
  static Stream<Layout> layouts() {
    return Layout.ALL.stream().filter(layout -> layout.has("kmem_cache", "cpu_sheaves"));
  }

  private static FakeImage image(Layout layout, SheafImage.Place... needed) {
    for (int seed = 0; seed < 200; seed++) {
      FakeImage image =
          FakeKernel.of(layout)
              .seed(seed)
              .cpus(3)
              .cache(FakeCache.named("victim", 240).partial(8).sheaves(12))
              .build();
      if (Stream.of(needed).allMatch(place -> sheaves(image, place).size() >= 2)) {
        return image;
      }
    }
    throw new AssertionError(List.of(needed));
  }

  private static List<SheafImage> sheaves(FakeImage image, SheafImage.Place place) {
    return image.cache("victim").sheaves().stream()
        .filter(
            sheaf ->
                sheaf.place() == place
                    && (sheaf.objects().size() >= 3 || place == SheafImage.Place.BARN_EMPTY))
        .toList();
  }

  private static void expect(FakeImage image, int faults, int transients) {
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).hasSize(faults);
    assertThat(survey.transients()).hasSize(transients);
  }

  private static long barn(FakeImage image, String member) {
    return image.member("node_barn", image.cache("victim").barn(0), member);
  }

  private static void lockBarn(FakeImage image) {
    image.corrupt(barn(image, "lock"), (byte) 1);
  }

  private static long cpu(FakeImage image, int cpu, String member) {
    long pointer =
        image.word(image.member("kmem_cache", image.cache("victim").address(), "cpu_sheaves"));
    return image.member(
        "slub_percpu_sheaves", image.kernel().perCpu().address(pointer, cpu), member);
  }

  private static void lockCpu(FakeImage image, int cpu) {
    image.corrupt(cpu(image, cpu, "lock"), (byte) 1);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aBarnsCountersMayBeOneOffWhileItsLockIsHeld(Layout layout) {
    for (String counter : List.of("nr_full", "nr_empty")) {
      for (int off : new int[] {1, 2}) {
        for (boolean isLocked : List.of(true, false)) {
          FakeImage image = image(layout, SheafImage.Place.BARN_FULL, SheafImage.Place.BARN_EMPTY);
          long at = barn(image, counter);
          image.corrupt(at, (byte) (image.word(at) + off));
          if (isLocked) {
            lockBarn(image);
          }
          boolean isLegal = isLocked && off == 1;
          expect(image, isLegal ? 0 : 1, isLegal ? 1 : 0);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void oneSheafMayBeHalfLinkedWhileTheBarnsLockIsHeld(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      FakeImage image = image(layout, SheafImage.Place.BARN_FULL);
      long head = barn(image, "sheaves_full");
      image.corruptWord(image.word(image.word(head)) + 8, head);
      if (isLocked) {
        lockBarn(image);
      }
      expect(image, isLocked ? 0 : 1, isLocked ? 1 : 0);
    }
    FakeImage image = image(layout, SheafImage.Place.BARN_FULL);
    image.corruptWord(
        image.word(image.word(barn(image, "sheaves_full"))) + 8, 0x6b6b_6b6b_6b6b_6b6bL);
    lockBarn(image);
    expect(image, 1, 0);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void rcuFreeMayBeFullWhileTheCpusLockIsHeld(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      // A full sheaf of the barn stands in for the CPU's rcu_free.
      FakeImage image = image(layout, SheafImage.Place.BARN_FULL);
      long head = barn(image, "sheaves_full");
      long link = image.word(head);
      long second = image.word(link);
      image.corruptWord(head, second).corruptWord(second + 8, head);
      image.corrupt(barn(image, "nr_full"), (byte) (image.word(barn(image, "nr_full")) - 1));
      image.corruptWord(cpu(image, 0, "rcu_free"), link);
      if (isLocked) {
        lockCpu(image, 0);
      }
      expect(image, isLocked ? 0 : 1, isLocked ? 1 : 0);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSheafMayBeInTheBarnAndStillMainWhileTheCpusLockIsHeld(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      FakeImage image = image(layout, SheafImage.Place.BARN_FULL);
      SheafImage full = sheaves(image, SheafImage.Place.BARN_FULL).getFirst();
      image.corruptWord(cpu(image, 0, "main"), full.address());
      if (isLocked) {
        lockCpu(image, 0);
      }
      // Without the lock it is one fault: the sheaf is in two places, and not each of its objects.
      expect(image, isLocked ? 0 : 1, isLocked ? 1 : 0);
    }
  }

  /// Makes entries of a sheaf name objects that are free in their slab.
  private static void free(FakeImage image, SheafImage sheaf, int first, int count) {
    SlabImage slab =
        image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
            .filter(s -> s.freelist().size() >= count)
            .findFirst()
            .orElseThrow();
    for (int i = 0; i < count; i++) {
      image.corruptWord(sheaf.entry(first + i), slab.object(slab.freelist().get(i)));
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theLastEntryOfMainMayBeStaleWhileTheCpusLockIsHeld(Layout layout) {
    for (int back : new int[] {1, 2}) {
      for (boolean isLocked : List.of(true, false)) {
        FakeImage image = image(layout, SheafImage.Place.MAIN);
        SheafImage main = sheaves(image, SheafImage.Place.MAIN).getFirst();
        free(image, main, main.objects().size() - back, 1);
        if (isLocked) {
          lockCpu(image, main.cpu());
        }
        boolean isLegal = isLocked && back == 1;
        expect(image, isLegal ? 0 : 1, isLegal ? 1 : 0);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theSheafOfADeadCpuMayBeFreeInItsSlabsAlready(Layout layout) {
    for (boolean isDead : List.of(true, false)) {
      FakeImage image = image(layout, SheafImage.Place.MAIN);
      SheafImage main = sheaves(image, SheafImage.Place.MAIN).getLast();
      free(image, main, 0, 3);
      if (isDead) {
        kill(image, main.cpu());
      }
      expect(image, isDead ? 0 : 3, isDead ? 1 : 0);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void twoSheavesOfDeadCpusWithFreeObjectsAreDamage(Layout layout) {
    FakeImage image = image(layout, SheafImage.Place.MAIN);
    SheafImage one = sheaves(image, SheafImage.Place.MAIN).getFirst();
    SheafImage other = sheaves(image, SheafImage.Place.MAIN).getLast();
    List<SlabImage> slabs =
        image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
            .filter(s -> !s.freelist().isEmpty())
            .toList();
    image.corruptWord(one.entry(0), slabs.get(0).object(slabs.get(0).freelist().getFirst()));
    image.corruptWord(other.entry(0), slabs.get(1).object(slabs.get(1).freelist().getFirst()));
    kill(image, one.cpu());
    kill(image, other.cpu());
    expect(image, 2, 0);
  }

  private static void kill(FakeImage image, int cpu) {
    image.corruptWord(
        image.symbol("__cpu_online_mask"),
        image.word(image.symbol("__cpu_online_mask")) & ~(1L << cpu));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void locksAloneAreNothingToTell(Layout layout) {
    FakeImage image = image(layout);
    PerCpu perCpu = image.kernel().perCpu();
    for (CacheImage cache : image.caches()) {
      long pointer = image.word(image.member("kmem_cache", cache.address(), "cpu_sheaves"));
      for (int cpu = 0; cpu < 3 && pointer != 0; cpu++) {
        image.corrupt(
            image.member("slub_percpu_sheaves", perCpu.address(pointer, cpu), "lock"), (byte) 1);
      }
    }
    lockBarn(image);
    expect(image, 0, 0);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSheafOfTwoCpusIsDamageWhoeverHoldsTheLock(Layout layout) {
    FakeImage image = image(layout, SheafImage.Place.MAIN);
    SheafImage main = sheaves(image, SheafImage.Place.MAIN).getFirst();
    image.corruptWord(cpu(image, main.cpu() == 0 ? 1 : 0, "main"), main.address());
    lockCpu(image, main.cpu());
    assertThat(image.survey().faults()).isNotEmpty();
  }
}
