package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.TestData;

/// What is said of damage in caches with slub_debug. [ImageAnalysisTest] is the twin that stays
/// silent: its kernels have such caches too.
class DebugCacheFindingsTest {
  @TempDir private Path dir;

  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(8)
        .cache(FakeCache.named("tracked", 120).debug().partial(2).sheaves(0))
        .cache(FakeCache.named("fenced", 120).redZones().partial(2).sheaves(0))
        .build();
  }

  private Finding onlyFinding(FakeImage image) throws Exception {
    try (Analyzer analyzer = Analyzer.open(image.writeKdump(dir), AnalysisOptions.DEFAULT)) {
      List<Finding> findings = analyzer.check("test").findings();
      assertThat(findings).hasSize(1);
      return findings.getFirst();
    }
  }

  private static List<String> history(Finding finding) {
    return finding.evidence().stream()
        .map(Evidence::sentence)
        .filter(text -> text.startsWith("the object "))
        .toList();
  }

  private static SlabImage partial(CacheImage cache) {
    return cache.slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
  }

  private static int free(SlabImage slab) {
    return slab.freelist().getFirst();
  }

  private static int allocated(SlabImage slab) {
    return Stream.iterate(1, i -> i + 1).filter(i -> !slab.isFree(i)).findFirst().orElseThrow();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void whoFreedAnObjectIsSaidBySymbol(Layout layout) throws Exception {
    FakeImage image = image(layout);
    SlabImage slab = partial(image.cache("tracked"));
    image.corrupt(slab.object(free(slab)) + 16, (byte) 'X');

    Finding finding = onlyFinding(image);

    assertThat(finding.cause()).isEqualTo(Cause.POISON_OVERWRITTEN);
    assertThat(history(finding)).hasSize(2);
    assertThat(history(finding).getFirst())
        .startsWith("the object was last allocated by kmem_cache_alloc+0x21, task ");
    assertThat(history(finding).getLast())
        .startsWith("the object was last freed by kmem_cache_free+0x21, task ");
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anObjectThatWasNeverFreedHasNoFree(Layout layout) throws Exception {
    FakeImage image = image(layout);
    SlabImage slab = partial(image.cache("tracked"));
    image.corrupt(slab.object(allocated(slab)) + 120, (byte) 'X');

    Finding finding = onlyFinding(image);

    assertThat(finding.cause()).isEqualTo(Cause.REDZONE_OVERWRITTEN);
    assertThat(history(finding)).hasSize(1).first().asString().contains("last allocated by");
  }

  @Test
  void aWriteBeforeAnObjectNamesTheOwnerOfTheOneBeforeIt() throws Exception {
    FakeImage image = image(Layout.V6_1);
    SlabImage slab = partial(image.cache("tracked"));
    image.corrupt(slab.object(allocated(slab)) - 1, (byte) 'X');

    assertThat(history(onlyFinding(image)))
        .anyMatch(text -> text.startsWith("the object before it was last allocated by "));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aCacheWithoutTracksTellsNone(Layout layout) throws Exception {
    FakeImage image = image(layout);
    SlabImage slab = partial(image.cache("fenced"));
    image.corrupt(slab.object(allocated(slab)) + 120, (byte) 'X');

    assertThat(history(onlyFinding(image))).isEmpty();
  }

  @Test
  void theObjectCommandTellsIt() throws Exception {
    FakeImage image = image(Layout.V6_1);
    SlabImage slab = partial(image.cache("tracked"));
    SlabImage without = partial(image.cache("fenced"));
    try (Analyzer analyzer = Analyzer.open(image.writeKdump(dir), AnalysisOptions.DEFAULT)) {
      assertThat(analyzer.object(slab.object(free(slab))).history())
          .hasSize(2)
          .anyMatch(text -> text.startsWith("last freed by kmem_cache_free+0x21"));
      assertThat(analyzer.object(without.object(0)).history()).isEmpty();
    }
  }

  @Test
  void theTailOfASlabIsNoObject() throws Exception {
    FakeImage image = image(Layout.V6_1);
    CacheImage cache = image.cache("tracked");
    SlabImage slab = partial(cache);
    image.corrupt(slab.base() + (long) slab.objects() * cache.size(), (byte) 'X');

    Finding finding = onlyFinding(image);

    assertThat(finding.claim())
        .isEqualTo(
            "the tail of the slab at 0x%x of cache tracked is overwritten".formatted(slab.base()));
    assertThat(finding.subject().object()).isEqualTo(Evidence.UNKNOWN);
    assertThat(history(finding))
        .isNotEmpty()
        .allMatch(text -> text.startsWith("the object before it was last "));
  }

  @Test
  void aRealRedZoneNamesItsAllocatorAndWhenItWas() throws Exception {
    try (Analyzer analyzer =
        Analyzer.open(TestData.named("redzone").dump(), AnalysisOptions.DEFAULT)) {
      List<Finding> findings = analyzer.check("test").findings();
      assertThat(findings).hasSize(1);
      assertThat(history(findings.getFirst()))
          .isNotEmpty()
          .allMatch(
              text ->
                  text.matches(
                      "the object was last (allocated|freed) by [a-z]\\w+\\+0x[0-9a-f]+"
                          + "( \\[\\w+\\])?, task \\d+ on cpu [01]"
                          + ", \\d+ jiffies before the dump"));
    }
  }

  /// Findings name a cache; another of the same name may be broken.
  @ParameterizedTest
  @MethodSource("layouts")
  void aBrokenCacheOfTheSameNameDoesNoHarm(Layout layout) throws Exception {
    FakeImage image =
        FakeKernel.of(layout)
            .seed(8)
            .cache(FakeCache.named("before", 120).partial(1).full(1))
            .cache(FakeCache.named("tracked", 104).debug().order(1).partial(2).full(2).sheaves(0))
            .cache(FakeCache.named("behind", 120).partial(1).full(1))
            .build();
    CacheImage tracked = image.cache("tracked");
    long name = image.word(image.member("kmem_cache", tracked.address(), "name"));
    for (String other : List.of("before", "behind")) {
      long address = image.cache(other).address();
      image.corruptWord(image.member("kmem_cache", address, "name"), name);
      image.corrupt(image.member("kmem_cache", address, "size"), new byte[4]);
    }
    SlabImage slab = tracked.slabs(SlabImage.Place.FULL).getFirst();
    image.corrupt(slab.base() + (long) slab.objects() * tracked.size(), (byte) 0);
    try (Analyzer analyzer = Analyzer.open(image.writeKdump(dir), AnalysisOptions.DEFAULT)) {
      assertThat(analyzer.check("test").findings())
          .extracting(Finding::cause)
          .contains(Cause.POISON_OVERWRITTEN);
    }
  }
}
