package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.ObjectAnswer;
import org.vmcheck.finding.SlabListing;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SheafImage;
import org.vmcheck.testing.SlabImage;

/// What is told of slabs and objects is what was built, for every allocator.
class SlabQuestionsTest {
  static Stream<Layout> layouts() {
    return Stream.concat(Layout.ALL.stream(), oldSlab());
  }

  static Stream<Layout> oldSlab() {
    return Layout.OLD_SLAB.stream();
  }

  static Stream<Layout> withSheaves() {
    return Layout.ALL.stream().filter(layout -> layout.has("kmem_cache", "cpu_sheaves"));
  }

  private static FakeKernel kernel(Layout layout) {
    return FakeKernel.of(layout)
        .seed(11)
        .nodes(2)
        .cpus(3)
        .cache(FakeCache.named("victim", 240).partial(3).full(2).sheaves(12))
        .cache(FakeCache.named("in-object", 1024).partial(2).full(2))
        .cache(FakeCache.named("big", 6000).constructor().partial(2).full(2));
  }

  private static Analyzer open(FakeImage image, Path directory) throws IOException {
    return Analyzer.open(image.writeKdump(directory), AnalysisOptions.DEFAULT);
  }

  /// Where each object is that a CPU or a node keeps ready, and the word that holds its address.
  private static Map<Long, SheafImage> inArrays(CacheImage cache) {
    Map<Long, SheafImage> holders = new HashMap<>();
    cache.sheaves().forEach(a -> a.objects().forEach(object -> holders.put(object, a)));
    return holders;
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void everyObjectHasTheStateThatItWasBuiltWith(Layout layout, @TempDir Path directory)
      throws Exception {
    FakeImage image = kernel(layout).build();
    try (Analyzer analyzer = open(image, directory)) {
      for (String name : List.of("victim", "in-object", "big")) {
        CacheImage cache = image.cache(name);
        Map<Long, SheafImage> holders = inArrays(cache);
        List<SlabListing> listings = new ArrayList<>();
        analyzer.slabs(name, true, listings::add);
        assertThat(listings).hasSameSizeAs(cache.slabs());
        for (SlabListing listing : listings) {
          SlabImage slab =
              cache.slabs().stream()
                  .filter(s -> s.address() == listing.slab())
                  .findFirst()
                  .orElseThrow();
          assertThat(listing.total()).isEqualTo(slab.objects());
          assertThat(listing.inuse()).isEqualTo(slab.objects() - slab.freelist().size());
          assertThat(listing.caution()).isEmpty();
          assertThat(listing.objects()).hasSize(slab.objects());
          for (SlabListing.Slot slot : listing.objects()) {
            assertThat(slot.address()).isEqualTo(slab.object(slot.index()));
            SheafImage holder = holders.get(slot.address());
            SlabListing.State expected =
                slab.isFree(slot.index())
                    ? SlabListing.State.FREE
                    : holder == null
                        ? SlabListing.State.ALLOCATED
                        : holder.place() == SheafImage.Place.RCU_FREE
                            ? SlabListing.State.WAITING
                            : SlabListing.State.FREE;
            assertThat(slot.state()).as("%s", slot).isEqualTo(expected);
            assertThat(slot.list().isEmpty()).isEqualTo(expected == SlabListing.State.ALLOCATED);
          }
        }
      }
    }
  }

  private static SlabImage partial(FakeImage image, String cache) {
    return image.cache(cache).slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> slab.freelist().size() >= 2 && slab.freelist().size() < slab.objects())
        .findFirst()
        .orElseThrow();
  }

  private static long firstFreeIndex(FakeImage image, SlabImage slab) {
    return image.word(image.member(slab, "freelist")) + slab.objects() - slab.freelist().size();
  }

  @ParameterizedTest
  @MethodSource("oldSlab")
  void anObjectOfSlabIsFreeByAnIndexOrInAnArrayCacheOrAllocated(
      Layout layout, @TempDir Path directory) throws Exception {
    FakeImage image = kernel(layout).build();
    CacheImage cache = image.cache("victim");
    SlabImage slab = partial(image, "victim");
    try (Analyzer analyzer = open(image, directory)) {
      ObjectAnswer free = analyzer.object(slab.object(slab.freelist().get(1)) + 8);
      assertThat(free.state()).isEqualTo("free, on array of free indices");
      assertThat(free.pointedBy()).isEqualTo(firstFreeIndex(image, slab) + 1);
      assertThat(free.slot()).isEqualTo(Evidence.UNKNOWN);
      assertThat(free.offset()).isEqualTo(8);
      assertThat(free.index()).isEqualTo(slab.freelist().get(1));
      assertThat(free.place()).isEqualTo("node partial list of node " + slab.node());
      for (SheafImage array : cache.sheaves()) {
        if (!array.objects().isEmpty()) {
          ObjectAnswer kept = analyzer.object(array.objects().getLast());
          assertThat(kept.state())
              .isEqualTo(
                  "free, in the "
                      + switch (array.place()) {
                        case CPU_ARRAY -> "array_cache of cpu " + array.cpu();
                        case SHARED_ARRAY -> "shared array_cache of node " + array.cpu();
                        default -> "alien_cache of node 0 for node 1";
                      });
          assertThat(kept.pointedBy()).isEqualTo(array.entry(array.objects().size() - 1));
          assertThat(kept.place()).startsWith("node full list of node ");
        }
      }
      int held = 0;
      while (slab.isFree(held)) {
        held++;
      }
      ObjectAnswer allocated = analyzer.object(slab.object(held));
      assertThat(allocated.state()).isEqualTo("allocated");
      assertThat(allocated.pointedBy()).isEqualTo(Evidence.UNKNOWN);
    }
  }

  @ParameterizedTest
  @MethodSource("oldSlab")
  void whatABrokenArrayOfIndicesDoesNotTellIsNotCalledAllocated(
      Layout layout, @TempDir Path directory) throws Exception {
    FakeImage image = kernel(layout).build();
    SlabImage slab = partial(image, "victim");
    image.corrupt(firstFreeIndex(image, slab) + 1, (byte) 0xee);
    try (Analyzer analyzer = open(image, directory)) {
      assertThat(analyzer.object(slab.object(slab.freelist().get(0))).state()).startsWith("free");
      assertThat(analyzer.object(slab.object(slab.freelist().get(1))).state())
          .isEqualTo(
              "cannot be told: array of free indices breaks after object "
                  + slab.freelist().get(0));
    }
  }

  @ParameterizedTest
  @MethodSource("oldSlab")
  void aDamagedDescriptorOfSlabStillGetsAnAnswer(Layout layout, @TempDir Path directory)
      throws Exception {
    for (String member : List.of("active", "freelist")) {
      FakeImage image = kernel(layout).build();
      SlabImage slab = partial(image, "victim");
      image.corrupt(image.member(slab, member) + 3, (byte) 0x7f);
      try (Analyzer analyzer = open(image, directory)) {
        assertThat(analyzer.object(slab.object(0)).state())
            .isEqualTo("cannot be told: the head of array of free indices is invalid");
      }
    }
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void anObjectInASheafIsFreeAndTheSheafIsNamed(Layout layout, @TempDir Path directory)
      throws Exception {
    Set<SheafImage.Place> told = EnumSet.noneOf(SheafImage.Place.class);
    for (int seed = 11; seed < 15; seed++) {
      FakeImage image = kernel(layout).seed(seed).build();
      try (Analyzer analyzer = open(image, directory)) {
        for (SheafImage sheaf : image.cache("victim").sheaves()) {
          if (sheaf.objects().isEmpty()) {
            continue;
          }
          told.add(sheaf.place());
          ObjectAnswer answer = analyzer.object(sheaf.objects().getFirst());
          assertThat(answer.state())
              .isEqualTo(
                  switch (sheaf.place()) {
                    case MAIN -> "free, in the main sheaf of cpu " + sheaf.cpu();
                    case SPARE -> "free, in the spare sheaf of cpu " + sheaf.cpu();
                    case RCU_FREE ->
                        "waiting for a grace period, in the rcu_free sheaf of cpu " + sheaf.cpu();
                    default ->
                        "free, in the sheaf on sheaves_full of the barn of node " + sheaf.cpu();
                  });
          assertThat(answer.pointedBy()).isEqualTo(sheaf.entry(0));
          assertThat(answer.slot()).isEqualTo(Evidence.UNKNOWN);
        }
      }
    }
    assertThat(told).contains(SheafImage.Place.MAIN, SheafImage.Place.RCU_FREE);
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void thePictureOfABrokenListShowsWhatSheavesHold(Layout layout, @TempDir Path directory)
      throws Exception {
    FakeImage image = kernel(layout).build();
    CacheImage cache = image.cache("victim");
    Map<Long, SheafImage> holders = inArrays(cache);
    // A slab of which sheaves hold some objects gets a head that is invalid.
    SlabImage slab =
        cache.slabs(SlabImage.Place.FULL).stream()
            .filter(
                s -> holders.keySet().stream().anyMatch(o -> o >= s.base() && o < s.base() + 4096))
            .findFirst()
            .orElseThrow();
    image.corruptWord(image.member(slab, "freelist"), 0x4141_4141_4141_4141L);
    try (Analyzer analyzer = open(image, directory)) {
      Evidence.SlabPicture picture =
          analyzer.check("test").findings().stream()
              .flatMap(finding -> finding.evidence().stream())
              .filter(Evidence.SlabPicture.class::isInstance)
              .map(Evidence.SlabPicture.class::cast)
              .findFirst()
              .orElseThrow();
      for (int i = 0; i < slab.objects(); i++) {
        SheafImage holder = holders.get(slab.object(i));
        assertThat(picture.cells().charAt(i))
            .isEqualTo(
                holder == null || holder.place() == SheafImage.Place.RCU_FREE
                    ? Evidence.SlabPicture.ALLOCATED
                    : Evidence.SlabPicture.ELSEWHERE);
      }
    }
  }
}
