package org.vmcheck.desk;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashSet;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.finding.LeaksAnswer;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.TestData;

/// Objects that nothing leads to: counted on real kernels word by word, planted on built ones.
class LeakSearchTest {
  private static LeaksAnswer leaks(Kernel kernel, int examples) {
    return new LeakSearch(new Places(kernel)).search(examples, 2, (_, _, _) -> {});
  }

  private static Set<Long> lost(LeaksAnswer answer) {
    Set<Long> lost = new HashSet<>();
    answer.caches().forEach(cache -> cache.sites().forEach(site -> lost.addAll(site.examples())));
    return lost;
  }

  /// A healthy kernel forgets few objects, and on purpose: sysctl tables that stay for good.
  @ParameterizedTest
  @ValueSource(strings = {"healthy", "debian-5.10"})
  void realKernelsLoseNextToNothing(String name) throws Exception {
    try (RealKernel real = RealKernel.of(TestData.named(name))) {
      LeaksAnswer answer = leaks(real.kernel(), 100);

      assertThat(answer.objects()).isGreaterThan(10_000);
      assertThat(answer.unreferenced()).isLessThan(10);
      assertThat(lost(answer)).hasSize((int) answer.unreferenced());
      Set<Long> words = words(real.kernel());
      for (long object : lost(answer)) {
        // Nothing leads to its first byte, or to any other.
        for (int at = 0; at < 32; at++) {
          assertThat(words).doesNotContain(object + at);
        }
      }
    }
  }

  /// Every word of the pages of the kernel, without those in free objects and in the page's own.
  private static Set<Long> words(Kernel kernel) {
    MemMap memMap = MemMap.of(kernel).orElseThrow();
    Set<Long> free = new HashSet<>();
    SlabSurvey.eachView(
        kernel,
        memMap,
        0,
        memMap.endPfn(),
        _ -> true,
        view -> {
          Slab slab = view.slab();
          for (int i = 0; i < slab.walkableObjects(); i++) {
            if (view.listOf(i) != null) {
              for (int at = 0; at < slab.cache().size(); at += 8) {
                free.add(slab.base() + (long) i * slab.cache().size() + at);
              }
            }
          }
          return true;
        });
    Set<Long> words = new HashSet<>();
    PhysicalMemory memory = kernel.memory().physical();
    for (long pfn = memory.nextStored(0); pfn >= 0; pfn = memory.nextStored(pfn + 1)) {
      PageState.Kind kind = memMap.state(pfn).kind();
      if (kind == PageState.Kind.ANONYMOUS
          || kind == PageState.Kind.PAGE_CACHE
          || kind == PageState.Kind.BUDDY
          || kind == PageState.Kind.PAGE_TABLE
          || !(memory.read(pfn) instanceof PageRead.Present(MemorySegment bytes))) {
        continue;
      }
      long start = kernel.memory().directMapPage(pfn);
      for (int at = 0; at < bytes.byteSize(); at += 8) {
        long word = bytes.get(ValueLayout.JAVA_LONG_UNALIGNED, at);
        // A word that leads to where it lies is the object's own.
        if (word < 0 && !free.contains(start + at) && Math.abs(word - start - at) > 96) {
          words.add(word);
        }
      }
    }
    return words;
  }

  static Stream<Layout> layouts() {
    return Stream.of(Layout.V5_3, Layout.V6_1, Layout.V7_1);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void onlyAPointerOfAnotherThatIsInUseCounts(Layout layout) {
    FakeImage image =
        FakeKernel.of(layout)
            .seed(4)
            .cache(FakeCache.named("lab", 256).full(1).partial(1).sheaves(0))
            .build();
    SlabImage full =
        image.cache("lab").slabs().stream()
            .filter(LeakSearchTest::isFull)
            .findFirst()
            .orElseThrow();
    SlabImage partial = image.cache("lab").slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    int used = 0;
    while (partial.isFree(used)) {
      used++;
    }
    int free = partial.freelist().getLast();
    assertThat(lost(leaks(image.kernel(), 1000)))
        .contains(full.object(0), full.object(1), full.object(2), full.object(3));

    // A pointer past the start counts, one in a free object or in the object itself does not.
    image.corruptWord(partial.object(used) + 16, full.object(0) + 0x48);
    image.corruptWord(partial.object(free) + 16, full.object(1));
    image.corruptWord(full.object(2) + 16, full.object(2));

    assertThat(lost(leaks(image.kernel(), 1000)))
        .doesNotContain(full.object(0))
        .contains(full.object(1), full.object(2), full.object(3))
        .doesNotContain(partial.object(free));
  }

  private static boolean isFull(SlabImage slab) {
    for (int i = 0; i < slab.objects(); i++) {
      if (slab.isFree(i)) {
        return false;
      }
    }
    return true;
  }

  @Test
  void whereTracksAreKeptTheyAreClassedByWhoAllocatedThem() {
    FakeImage image =
        FakeKernel.of(Layout.V6_1)
            .seed(4)
            .cache(FakeCache.named("tracked", 120).debug().full(1).sheaves(0))
            .build();
    LeaksAnswer.LeakedCache cache =
        leaks(image.kernel(), 3).caches().stream()
            .filter(one -> one.cache().equals("tracked"))
            .findFirst()
            .orElseThrow();

    assertThat(cache.isTracked()).isTrue();
    assertThat(cache.unreferenced()).isPositive();
    assertThat(cache.sites().getFirst().words()).startsWith("allocated by kmem_cache_alloc+0x");
    assertThat(cache.sites().getFirst().examples()).hasSizeLessThanOrEqualTo(3);
  }

  @Test
  void aSlabWithABrokenListIsNotJudged() {
    FakeImage image =
        FakeKernel.of(Layout.V6_1)
            .seed(4)
            .cache(FakeCache.named("lab", 256).partial(1).sheaves(0))
            .build();
    long before = leaks(image.kernel(), 1).notJudged();
    SlabImage slab = image.cache("lab").slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    image.corruptWord(slab.slot(slab.freelist().getFirst()), 0x4141414141414141L);

    LeaksAnswer answer = leaks(image.kernel(), 1000);
    assertThat(answer.notJudged()).isEqualTo(before + slab.objects());
    assertThat(lost(answer)).doesNotContain(slab.object(0));
  }
}
