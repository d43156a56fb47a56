package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.analysis.AnalysisOptions;
import org.vmcheck.analysis.Analyzer;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Finding;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.TestData;

/// Fingerprints of known faults, written down: catalogues and comparisons of years join dumps by
/// them, so that one that changes is a change of the product and stands in the changelog.
class GoldenFingerprintsTest {
  private static final Map<String, String> OF_TESTDATA =
      Map.of(
          "bit-flip", "slab.freelist/bit-flip/vmcheck_lab_192/offset 96",
          "double-free", "slab.freelist/double-free/kmalloc-512/offset 256",
          "redzone", "slab.poison/redzone-overwritten/vmcheck_lab_124/right red zone",
          "use-after-free", "slab.freelist/use-after-free-write/vmcheck_lab_1024/offset 512");

  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  /// Those where a slab that was taken off a list by hand looks like any other.
  static Stream<Layout> withoutMarkOfPartialSlabs() {
    return layouts().filter(layout -> layout.frozen() != Layout.Frozen.ONLY_CPU_SLAB);
  }

  static Stream<Layout> withCpuSlabs() {
    return layouts().filter(layout -> layout.has("kmem_cache", "cpu_slab"));
  }

  @Test
  void ofTheDumpsInTestdata() throws Exception {
    for (Map.Entry<String, String> golden : OF_TESTDATA.entrySet()) {
      try (Analyzer analyzer =
          Analyzer.open(TestData.named(golden.getKey()).dump(), AnalysisOptions.DEFAULT)) {
        assertThat(analyzer.check("test").findings())
            .extracting(Finding::fingerprint)
            .as(golden.getKey())
            .containsExactly(golden.getValue());
      }
    }
  }

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(5)
        .cpus(2)
        .cache(FakeCache.named("victim", 240).partial(8).full(4))
        .cache(FakeCache.named("bystander", 128).partial(6))
        .build();
  }

  private static List<String> fingerprints(FakeImage image) {
    CheckContext context =
        new CheckContext(
            image.dump(), new KernelSearch.Found(image.kernel()), 1, false, () -> false);
    return Stream.of(new SlabFreelistCheck(), new SlabCountsCheck(), new SlabListsCheck())
        .map(check -> check.run(context))
        .filter(CheckOutcome.Ran.class::isInstance)
        .flatMap(outcome -> ((CheckOutcome.Ran) outcome).findings().stream())
        .map(Finding::fingerprint)
        .toList();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void ofACounterOfANode(Layout layout) {
    FakeImage image = image(layout);
    long counter = image.member("kmem_cache_node", image.cache("victim").node(0), "nr_partial");
    image.corruptWord(counter, image.word(counter) + 3);

    assertThat(fingerprints(image))
        .containsExactly("slab.counts/counter-mismatch/victim/kmem_cache_node.nr_partial");
  }

  /// However many they are: one fault has one name.
  @ParameterizedTest
  @MethodSource("withoutMarkOfPartialSlabs")
  void ofSlabsOnNoList(Layout layout) {
    for (int lost : new int[] {3, 5}) {
      FakeImage image = image(layout);
      unlink(image, image.cache("victim"), lost);

      assertThat(fingerprints(image))
          .as("%d slabs", lost)
          .containsExactly("slab.lists/metadata-overwritten/victim/on no list");
    }
  }

  @ParameterizedTest
  @MethodSource("withCpuSlabs")
  void ofACpusSlabThatIsNotFrozen(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab =
        image.cache("victim").slabs(SlabImage.Place.CPU_SLAB).stream().findFirst().orElseThrow();
    image.flipBit(image.member(slab, "counters"), 31);

    assertThat(fingerprints(image))
        .containsExactly("slab.lists/metadata-overwritten/victim/frozen");
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
}
