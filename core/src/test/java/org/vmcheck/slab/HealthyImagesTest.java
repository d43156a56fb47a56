package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.CacheFlag;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;

/// Kernels of every generation, healthy: nothing may be found, and the numbers must be those that
/// were built. A false alarm is the worst bug there is.
class HealthyImagesTest {
  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  private static FakeKernel kernel(Layout layout) {
    return FakeKernel.of(layout);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void everySlabAndEveryHeldObjectIsCounted(Layout layout) {
    assertHealthy(kernel(layout).seed(7).build());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theSameThroughFilesOfBothFormats(Layout layout, @TempDir Path directory) throws IOException {
    FakeImage image = kernel(layout).seed(8).build();
    try (Dump dump = Dumps.open(image.writeKdump(directory))) {
      assertHealthy(image, survey(dump));
    }
    try (Dump dump = Dumps.open(image.writeElf(directory))) {
      assertHealthy(image, survey(dump));
    }
  }

  /// No kallsyms keys before 6.1, no note in the file: everything is found in memory. Types cannot
  /// be had from a kernel without BTF, and the reason says so.
  @ParameterizedTest
  @MethodSource("layouts")
  void aGenuineKernelIsFoundByWhatItsMemoryHolds(Layout layout) {
    for (FakeKernel config :
        List.of(kernel(layout).genuine(), kernel(layout).genuine().noVmcoreinfoInFile())) {
      FakeImage image = config.build();
      if (layout.hasBtf()) {
        assertHealthy(image);
      } else {
        assertThat(image.kernel().symbols()).isPresent();
        assertThat(SlabCaches.of(image.kernel()).layout()).isEmpty();
        assertThat(image.kernel().missing()).anySatisfy(why -> assertThat(why).contains("BTF"));
      }
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void fiveLevelTablesWithAnEncryptionBitAreWalked(Layout layout) {
    assertHealthy(kernel(layout).fiveLevels().sme(51).build());
    assertHealthy(kernel(layout).sme(47).build());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void nodesCpusAndHolesAreFollowed(Layout layout) {
    assertHealthy(
        kernel(layout)
            .nodes(4)
            .cpus(6)
            .offlineCpus(3)
            .ram(0x10_0000, 0x200, 0)
            .ram(0x80_0000, 0x10, 3)
            .build());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void fiveHundredAndTwelveCpusAreFollowed(Layout layout) {
    assertHealthy(kernel(layout).cpus(512).build());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theImageMayLieAnywhere(Layout layout) {
    assertHealthy(kernel(layout).imagePhysical(2L << 20).kernelOffset(0).build());
    assertHealthy(kernel(layout).imagePhysical(96L << 20).kernelOffset(0x1e00_0000).build());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void pagesOfTheKfencePoolAreNoSlabs(Layout layout) {
    for (int objects : new int[] {63, 255, 1023}) {
      FakeImage image = kernel(layout).kfence(objects).build();
      SlabSurvey survey = image.survey();
      assertHealthy(image, survey);
      assertThat(survey.kfencePages()).isEqualTo(objects);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aPageGivenUpAfterAMemoryErrorIsNoFault(Layout layout) {
    FakeImage image = kernel(layout).hwPoison().build();
    assertHealthy(image);
    MemMap memMap = MemMap.of(image.kernel()).orElseThrow();
    List<PageState.Kind> kinds =
        IntStream.range(0x100, 0x1700).mapToObj(pfn -> memMap.state(pfn).kind()).toList();
    assertThat(kinds).contains(PageState.Kind.HWPOISON, PageState.Kind.SLAB, PageState.Kind.BUDDY);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void emptySlabsThatWaitForAGracePeriodAreCountedApart(Layout layout) {
    FakeImage image = kernel(layout).cache(FakeCache.named("filp", 232).rcu(3)).build();
    SlabSurvey survey = image.survey();
    assertHealthy(image, survey);
    assertThat(survey.pendingSlabs()).isEqualTo(3);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void debugPatternsOfFreeAndHeldObjectsAreInOrder(Layout layout) {
    assertHealthy(
        kernel(layout)
            .cache(FakeCache.named("with-everything", 104).debug())
            .cache(FakeCache.named("kmalloc-rnd", 256).debug().align(16))
            .cache(FakeCache.named("red-zones", 64).redZones().outside())
            .cache(FakeCache.named("odd", 13).flag(CacheFlag.HWCACHE_ALIGN))
            .build());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void freeObjectsAreZeroUnderInitOnFree(Layout layout) {
    assertHealthy(kernel(layout).initOnFree().build());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void slabsOfTheFallbackOrderAreRecognised(Layout layout) {
    assertHealthy(
        kernel(layout)
            .cache(FakeCache.named("fragmented", 600).order(3).fallbackSlabs(2))
            .cache(FakeCache.named("kmalloc-64", 64).order(2).fallbackSlabs(1))
            .build());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void slabsBelowOneMebibyteAreRead(Layout layout) {
    FakeImage image =
        kernel(layout)
            .lowMemoryReserved(false)
            .cache(
                FakeCache.named("dma-kmalloc-512", 512)
                    .order(1)
                    .lowCpuSlab(0x70)
                    .lowPartial(0x20, 0x46))
            .build();
    assertHealthy(image);
    MemMap memMap = MemMap.of(image.kernel()).orElseThrow();
    assertThat(memMap.state(0x71).kind()).isEqualTo(PageState.Kind.SLAB);
    assertThat(memMap.state(0x71).headPfn()).isEqualTo(0x70);
  }

  /// The kernel of the report behind this project, before the damage: crash named the slab
  /// ffffd77680001c00.
  @Test
  void theAddressesOfTheSeedsReportComeOut() {
    FakeImage image =
        FakeKernel.of(Layout.V5_3_PLAIN)
            .sme(47)
            .pageOffsetBase(0xffff_8964_c000_0000L)
            .vmemmapBase(0xffff_d776_8000_0000L)
            .cache(FakeCache.named("dma-kmalloc-512", 512).order(3).lowCpuSlab(0x70))
            .build();
    assertHealthy(image);
    assertThat(image.cache("dma-kmalloc-512").slabs().getFirst().address())
        .isEqualTo(0xffff_d776_8000_1c00L);
    assertThat(image.directMap(0x72600)).isEqualTo(0xffff_8964_c007_2600L);
  }

  @Test
  void cachesOfMemoryControlGroupsAreCachesOfTheirOwn() {
    for (Layout layout : List.of(Layout.V4_14, Layout.V4_18_RHEL8, Layout.V5_3)) {
      FakeImage image =
          kernel(layout)
              .cache(FakeCache.named("dentry", 192).memcgChildren(3).aliases(4))
              .cache(FakeCache.named("inode_cache", 600).memcgChildren(1))
              .build();
      assertHealthy(image);
      assertThat(image.caches()).hasSize(8);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void whateverObjectsHoldIsNoFault(Layout layout) {
    for (FakeKernel.Contents contents : FakeKernel.Contents.values()) {
      assertHealthy(kernel(layout).contents(contents).seed(3).build());
    }
  }

  /// The twenty healthy layouts times seeds, as far as layouts go.
  @Tag("slow")
  @ParameterizedTest
  @MethodSource("layouts")
  void twentySeedsOfEachLayout(Layout layout) {
    for (int seed = 100; seed < 120; seed++) {
      assertHealthy(kernel(layout).seed(seed).cpus(1 + seed % 5).nodes(1 + seed % 3).build());
    }
  }

  private static SlabSurvey survey(Dump dump) {
    Kernel kernel = ((KernelSearch.Found) KernelFinder.find(dump)).kernel();
    return SlabSurvey.run(kernel, MemMap.of(kernel).orElseThrow(), 2, () -> false);
  }

  private static void assertHealthy(FakeImage image) {
    assertHealthy(image, image.survey());
  }

  private static void assertHealthy(FakeImage image, SlabSurvey survey) {
    assertThat(survey.faults()).as(image.layout().name()).isEmpty();
    assertThat(survey.finished()).isTrue();
    assertThat(survey.unreadableDescriptors()).isZero();
    Map<String, Long> held = new TreeMap<>();
    Map<String, Long> slots = new TreeMap<>();
    for (SlabSurvey.Tally tally : survey.tallies()) {
      held.put(tally.cache().name(), tally.allocated());
      slots.put(tally.cache().name(), tally.objects());
    }
    assertThat(held).isEqualTo(image.allocated());
    image.caches().forEach(cache -> assertThat(slots.get(cache.name())).isEqualTo(cache.total()));
  }
}
