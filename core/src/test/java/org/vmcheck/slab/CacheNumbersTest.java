package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.CacheFlag;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.TestData;

/// Numbers of a `kmem_cache` that would lead out of its slabs are found before they are used.
class CacheNumbersTest {
  static List<Layout> layouts() {
    return Layout.ALL;
  }

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(3)
        .cache(FakeCache.named("plain", 200))
        .cache(FakeCache.named("rcu", 232).align(64).rcu(2))
        .cache(FakeCache.named("constructed", 88).constructor())
        .cache(FakeCache.named("tiny", 8))
        .cache(FakeCache.named("debugged", 104).debug())
        .cache(FakeCache.named("tight", 64).align(64).flag(CacheFlag.RED_ZONE).noCpuSlabs())
        .build();
  }

  private static void set(FakeImage image, String cache, String member, int value) {
    long at = image.member("kmem_cache", image.cache(cache).address(), member);
    for (int i = 0; i < 4; i++) {
      image.corrupt(at + i, (byte) (value >>> (8 * i)));
    }
  }

  private static SlabCache cache(FakeImage image, String name) {
    return SlabCaches.of(image.kernel()).caches().stream()
        .filter(cache -> cache.name().equals(name))
        .findFirst()
        .orElseThrow();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void healthyNumbersAreSane(Layout layout) {
    FakeImage image = image(layout);
    assertThat(SlabCaches.of(image.kernel()).caches()).allMatch(SlabCache::isSane);
    assertThat(image.survey().faults()).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(strings = {"healthy", "redzone", "use-after-free"})
  void theNumbersOfRealKernelsAreSane(String name) throws Exception {
    try (Dump dump = Dumps.open(TestData.named(name).dump())) {
      if (KernelFinder.find(dump) instanceof KernelSearch.Found(Kernel kernel)) {
        assertThat(SlabCaches.of(kernel).caches()).isNotEmpty().allMatch(SlabCache::isSane);
      } else {
        throw new AssertionError(name);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anInuseThatLeavesTheObjectIsInsane(Layout layout) {
    FakeImage image = image(layout);
    SlabCache healthy = cache(image, "debugged");
    set(image, "debugged", "inuse", healthy.size());
    if (healthy.redLeftPad() > 0) {
      assertThat(cache(image, "debugged").insanity()).startsWith("inuse is ");
    }
    set(image, "debugged", "inuse", healthy.size() + 8);
    assertThat(cache(image, "debugged").insanity()).startsWith("inuse is ");
    assertThat(image.survey().faults())
        .anyMatch(fault -> fault instanceof SlabFault.Insane insane && insane.cache() != null);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aRedLeftPadOrOffsetThatLeavesTheObjectIsInsane(Layout layout) {
    FakeImage image = image(layout);
    SlabCache healthy = cache(image, "debugged");
    set(image, "debugged", "offset", healthy.size() - 4);
    assertThat(cache(image, "debugged").insanity()).startsWith("offset is ");
    set(image, "debugged", "offset", healthy.offset());
    if (healthy.redLeftPad() > 0) {
      set(image, "debugged", "red_left_pad", healthy.size() - 8);
      assertThat(cache(image, "debugged").isSane()).isFalse();
      image.survey();
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aFlagForWhichObjectsHaveNoRoomLeadsOutOfNoSlab(Layout layout) {
    FakeImage image = image(layout);
    SlabFlags flags = SlabCaches.of(image.kernel()).layout().orElseThrow().flags();
    long at = image.member("kmem_cache", image.cache("plain").address(), "flags");
    image.flipBit(at, Long.numberOfTrailingZeros(flags.storeUser()));
    assertThat(image.survey().faults()).noneMatch(SlabFault.Pattern.class::isInstance);
  }

  // ---- threads

  private static SlabSurvey survey(BooleanSupplier isOver) {
    Kernel kernel = image(Layout.V6_1).kernel();
    return SlabSurvey.run(kernel, MemMap.of(kernel).orElseThrow(), 3, isOver);
  }

  @Test
  void whatEndsAThreadOfThePassEndsThePass() {
    Thread caller = Thread.currentThread();
    // The others start when the caller's own walk is warm, or over.
    BooleanSupplier failing =
        () -> {
          if (Thread.currentThread() != caller) {
            throw new IllegalStateException("worker");
          }
          return true;
        };
    assertThatThrownBy(() -> survey(failing))
        .isInstanceOf(IllegalStateException.class)
        .hasMessage("worker");
  }

  @Test
  void threeThreadsOfAHealthyPassFindNothing() {
    SlabSurvey survey = survey(() -> false);
    assertThat(survey.finished()).isTrue();
    assertThat(survey.faults()).isEmpty();
  }
}
