package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SheafImage;

/// A pointer of a cache that leads nowhere is one fault at its own address, whatever number of
/// structures it should have led to. The twins are healthy images, and ones whose pages are
/// missing.
class WildPointersTest {
  private static final long WILD = 0x4141_4141_4141_4140L;

  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  static Stream<Layout> withCpuSlabs() {
    return layouts().filter(layout -> layout.has("kmem_cache", "cpu_slab"));
  }

  static Stream<Layout> withSheaves() {
    return layouts().filter(layout -> layout.has("kmem_cache", "cpu_sheaves"));
  }

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(11)
        .cpus(6)
        .cache(FakeCache.named("victim", 240).partial(3).sheaves(12))
        .cache(FakeCache.named("bystander", 240))
        .build();
  }

  private static long member(FakeImage image, String name) {
    return image.member("kmem_cache", image.cache("victim").address(), name);
  }

  private static long nodePointer(FakeImage image) {
    return member(image, image.layout().has("kmem_cache", "per_node") ? "per_node" : "node");
  }

  private static SlabFault.Wild onlyFault(FakeImage image) {
    List<SlabFault> faults = image.survey().faults();
    assertThat(faults).as(image.layout().name()).hasSize(1);
    assertThat(faults.getFirst()).isInstanceOf(SlabFault.Wild.class);
    return (SlabFault.Wild) faults.getFirst();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void sixHealthyCpusHaveNoFault(Layout layout) {
    assertThat(image(layout).survey().faults()).isEmpty();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aWildPointerToANodeIsFoundAtThePointer(Layout layout) {
    for (long value : new long[] {WILD, 0}) {
      FakeImage image = image(layout);
      long at = nodePointer(image);
      // Some layouts keep the barn first in each pair.
      long node = image.cache("victim").node(0);
      while (image.word(at) != node) {
        at += 8;
      }
      image.corruptWord(at, value);
      SlabFault.Wild wild = onlyFault(image);
      assertThat(wild.address()).isEqualTo(at);
      assertThat(wild.raw()).isEqualTo(value);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aNodeOnAPageThatIsNotInTheDumpIsNoDamage(Layout layout) {
    FakeImage image = image(layout);
    image.exclude(image.physical(image.cache("victim").node(0)) >>> 12);
    List<SlabFault> faults = image.survey().faults();
    assertThat(faults)
        .filteredOn(SlabFault.Wild.class::isInstance)
        .isNotEmpty()
        .allMatch(fault -> ((SlabFault.Wild) fault).why() instanceof MemoryRead.Missing);
    assertThat(faults).noneMatch(SlabFault.Count.class::isInstance);
  }

  @ParameterizedTest
  @MethodSource("withCpuSlabs")
  void aWildCpuSlabIsOneFault(Layout layout) {
    for (long value : new long[] {WILD, 0}) {
      FakeImage image = image(layout);
      long at = member(image, "cpu_slab");
      image.corruptWord(at, value);
      SlabFault.Wild wild =
          image.survey().faults().stream()
              .filter(SlabFault.Wild.class::isInstance)
              .map(SlabFault.Wild.class::cast)
              .reduce((a, b) -> null)
              .orElseThrow();
      assertThat(wild.address()).isEqualTo(at);
      assertThat(wild.target()).contains("6 of 6 CPUs");
      assertThat(image.survey().faults()).noneMatch(SlabFault.Unread.class::isInstance);
    }
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void wildCpuSheavesAreOneFault(Layout layout) {
    FakeImage image = image(layout);
    long at = member(image, "cpu_sheaves");
    image.corruptWord(at, WILD);
    SlabFault.Wild wild = onlyFault(image);
    assertThat(wild.address()).isEqualTo(at);
    assertThat(wild.member()).isEqualTo("cpu_sheaves");
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void aSheafThatAllCpusNameIsReadOnce(Layout layout) {
    FakeImage image = image(layout);
    List<SheafImage> mains =
        image.cache("victim").sheaves().stream()
            .filter(sheaf -> sheaf.place() == SheafImage.Place.MAIN)
            .toList();
    SheafImage shared =
        mains.stream().filter(sheaf -> sheaf.objects().size() >= 2).findFirst().orElseThrow();
    Kernel kernel = image.kernel();
    SlabCache cache =
        SlabCaches.of(kernel).caches().stream()
            .filter(c -> c.name().equals("victim"))
            .findFirst()
            .orElseThrow();
    int cpus = kernel.perCpu().cpus().size();
    for (int i = 0; i < cpus; i++) {
      image.corruptWord(
          image.member(
              "slub_percpu_sheaves", kernel.perCpu().address(cache.cpuSheaves(), i), "main"),
          shared.address());
    }
    List<SlabFault> faults = image.survey().faults();
    assertThat(faults).hasSize(cpus - 1).allMatch(SlabFault.Stray.class::isInstance);
  }
}
