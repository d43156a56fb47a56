package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListPoison;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// States in which a CPU may have been stopped are notes as long as the lock that guards them is
/// held, and findings otherwise; and what no list shows is looked at too.
class TransientStatesTest {
  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  private static FakeImage image(Layout layout) {
    return image(layout, 5);
  }

  private static FakeImage image(Layout layout, int seed) {
    return FakeKernel.of(layout)
        .seed(seed)
        .cpus(2)
        .cache(FakeCache.named("victim", 240).partial(6).full(4))
        .cache(FakeCache.named("bystander", 128).partial(6))
        .build();
  }

  private static Optional<SlabImage> ofCpu0(FakeImage image, String cache) {
    return image.cache(cache).slabs(SlabImage.Place.CPU_SLAB).stream()
        .filter(one -> one.cpu() == 0 && !one.cpuFreelist().isEmpty())
        .findFirst();
  }

  private static void lock(FakeImage image, CacheImage cache) {
    image.corruptWord(image.member("kmem_cache_node", cache.node(0), "list_lock"), 1);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void nrPartialMayBeOneOffWhileTheLockIsHeld(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      long counter = image.member("kmem_cache_node", cache.node(0), "nr_partial");
      image.corruptWord(counter, image.word(counter) + 1);
      if (isLocked) {
        lock(image, cache);
      }
      SlabSurvey survey = image.survey();
      assertThat(survey.faults()).hasSize(isLocked ? 0 : 1);
      assertThat(survey.transients()).hasSize(isLocked ? 1 : 0);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void nrPartialMayNotBeTwoOff(Layout layout) {
    FakeImage image = image(layout);
    CacheImage cache = image.cache("victim");
    long counter = image.member("kmem_cache_node", cache.node(0), "nr_partial");
    image.corruptWord(counter, image.word(counter) + 2);
    lock(image, cache);
    assertThat(image.survey().faults())
        .singleElement()
        .isInstanceOfSatisfying(
            SlabFault.Count.class,
            count -> assertThat(count.counter()).isEqualTo("kmem_cache_node.nr_partial"));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void oneSlabMayBeHalfLinkedWhileTheLockIsHeld(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      // list_del has set the prev of the node behind and not yet the next of the node before.
      long head = image.member("kmem_cache_node", cache.node(0), "partial");
      long second = image.word(image.word(head));
      image.corruptWord(second + 8, head);
      if (isLocked) {
        lock(image, cache);
      }
      SlabSurvey survey = image.survey();
      assertThat(survey.faults()).hasSize(isLocked ? 0 : 1);
      assertThat(survey.transients()).hasSize(isLocked ? 1 : 0);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aWildLinkIsDamageWhoeverHoldsTheLock(Layout layout) {
    FakeImage image = image(layout);
    CacheImage cache = image.cache("victim");
    long head = image.member("kmem_cache_node", cache.node(0), "partial");
    image.corruptWord(image.word(image.word(head)) + 8, 0x6b6b6b6b6b6b6b6bL);
    lock(image, cache);
    assertThat(image.survey().faults()).singleElement().isInstanceOf(SlabFault.Links.class);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void slabsThatNoListKeepsAreLostWhenTheyAreMoreThanTheCpus(Layout layout) {
    for (int lost : new int[] {1, 2, 3, 5}) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      List<SlabImage> slabs = unlink(image, cache, lost);
      if (marksPartial(layout)) {
        slabs.forEach(slab -> unmark(image, slab));
      }
      SlabSurvey survey = image.survey();
      // With the mark a CPU can be seen to have taken them all; without, one a CPU is the limit.
      if (lost <= 2 || marksPartial(layout)) {
        assertThat(survey.faults()).isEmpty();
        assertThat(survey.transients())
            .singleElement()
            .extracting("what")
            .asString()
            .contains("no list");
      } else {
        assertThat(survey.faults())
            .singleElement()
            .isInstanceOfSatisfying(
                SlabFault.Place.class,
                place -> assertThat(place.why()).startsWith(lost + " slabs"));
      }
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSlabMarkedAsOnANodesListAndOnNoneIsLost(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      unlink(image, cache, 1);
      if (isLocked) {
        lock(image, cache);
      }
      SlabSurvey survey = image.survey();
      boolean isLost = marksPartial(layout) && !isLocked;
      assertThat(survey.faults()).hasSize(isLost ? 1 : 0);
      assertThat(survey.transients()).hasSize(isLost ? 0 : 1);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aChainOfFrozenSlabsOnItsWayToTheNodeIsNoLoss(Layout layout) {
    if (marksPartial(layout) || !layout.has("kmem_cache_cpu", "partial")) {
      return;
    }
    FakeImage image =
        FakeKernel.of(layout)
            .seed(5)
            .cpus(2)
            .cache(FakeCache.named("victim", 240).partial(6).cpuPartial(4))
            .build();
    int carried = image.cache("victim").slabs(SlabImage.Place.CPU_PARTIAL).size();
    assertThat(carried).isGreaterThan(2);
    // __unfreeze_partials has taken both chains off and waits for list_lock.
    long cpuSlab =
        image.word(image.member("kmem_cache", image.cache("victim").address(), "cpu_slab"));
    for (int cpu = 0; cpu < 2; cpu++) {
      long address = image.kernel().perCpu().address(cpuSlab, cpu);
      image.corruptWord(image.member("kmem_cache_cpu", address, "partial"), 0);
    }
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.transients())
        .singleElement()
        .extracting("what")
        .asString()
        .startsWith(carried + " slabs");
  }

  private static boolean marksPartial(Layout layout) {
    return layout.frozen() == Layout.Frozen.ONLY_CPU_SLAB;
  }

  /// Takes off what only slabs on a node's list carry.
  private static void unmark(FakeImage image, SlabImage slab) {
    SlabImage full = slab.cache().slabs(SlabImage.Place.FULL).getFirst();
    image.corruptWord(slab.address(), image.word(full.address()));
  }

  /// Takes the first slabs off the node's list, as cleanly as the kernel does.
  private static List<SlabImage> unlink(FakeImage image, CacheImage cache, int count) {
    List<SlabImage> taken = new ArrayList<>();
    long head = image.member("kmem_cache_node", cache.node(0), "partial");
    long counter = image.member("kmem_cache_node", cache.node(0), "nr_partial");
    for (int i = 0; i < count; i++) {
      long first = image.word(head);
      long second = image.word(first);
      image.corruptWord(head, second);
      image.corruptWord(second + 8, head);
      cache.slabs().stream()
          .filter(slab -> slab.address() < first && first < slab.address() + 64)
          .forEach(taken::add);
    }
    image.corruptWord(counter, image.word(counter) - count);
    assertThat(taken).hasSize(count);
    return taken;
  }

  /// Puts full slabs at the head of the node's partial list and counts them.
  static List<SlabImage> linkFull(FakeImage image, CacheImage cache, int count) {
    List<SlabImage> full = cache.slabs(SlabImage.Place.FULL).subList(0, count);
    String list =
        image.layout().has(image.layout().slabStruct(), "slab_list") ? "slab_list" : "lru";
    long head = image.member("kmem_cache_node", cache.node(0), "partial");
    for (SlabImage slab : full) {
      long link = image.member(slab, list);
      long first = image.word(head);
      image.corruptWord(link, first);
      image.corruptWord(link + 8, head);
      image.corruptWord(first + 8, link);
      image.corruptWord(head, link);
    }
    count(image, cache, "nr_partial", count);
    return full;
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void oneSlabWhoseFreelistWasTakenMayBeOnTheListWhileTheLockIsHeld(Layout layout) {
    for (int count : new int[] {1, 2}) {
      FakeImage image = image(layout);
      linkFull(image, image.cache("victim"), count);
      lock(image, image.cache("victim"));
      SlabSurvey survey = image.survey();
      assertThat(survey.faults()).hasSize(count == 1 ? 0 : 2);
      assertThat(survey.transients()).hasSize(count == 1 ? 1 : 0);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aCpuThatLetsGoOfItsSlabHasAFreelistAndNoSlab(Layout layout) {
    if (!layout.has("kmem_cache", "cpu_slab")) {
      return;
    }
    for (boolean isTwice : List.of(false, true)) {
      FakeImage image =
          IntStream.range(5, 50)
              .mapToObj(seed -> image(layout, seed))
              .filter(one -> ofCpu0(one, "victim").isPresent())
              .filter(one -> ofCpu0(one, "bystander").isPresent())
              .findFirst()
              .orElseThrow();
      long held = image.allocated().get("victim");
      for (String name : isTwice ? List.of("victim", "bystander") : List.of("victim")) {
        SlabImage slab = ofCpu0(image, name).orElseThrow();
        Kernel kernel = image.kernel();
        long pointer = image.word(image.member("kmem_cache", slab.cache().address(), "cpu_slab"));
        long address = kernel.perCpu().address(pointer, kernel.perCpu().cpus().indexOf(0));
        image.corruptWord(
            image.member(
                "kmem_cache_cpu", address, layout.has("kmem_cache_cpu", "slab") ? "slab" : "page"),
            0);
      }
      SlabSurvey survey = image.survey();
      // A CPU does one at a time.
      assertThat(survey.faults()).hasSize(isTwice ? 1 : 0);
      assertThat(survey.transients())
          .singleElement()
          .extracting("what")
          .asString()
          .contains("a freelist and no slab");
      assertThat(survey.tallies())
          .filteredOn(tally -> tally.cache().name().equals("victim"))
          .singleElement()
          .satisfies(tally -> assertThat(tally.allocated()).isEqualTo(held));
    }
  }

  private static void count(FakeImage image, CacheImage cache, String counter, long more) {
    long at = image.member("kmem_cache_node", cache.node(0), counter);
    image.corruptWord(at, image.word(at) + more);
  }

  /// What allocate_slab has done when it is stopped in the middle: a full slab that no list keeps,
  /// with a freelist whose second object is not linked yet.
  private static SlabImage underConstruction(FakeImage image) {
    SlabImage slab = image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
    image.corruptWord(image.member(slab, "freelist"), slab.object(0));
    image.corruptWord(slab.slot(0), image.encoded(slab, 0, slab.object(1)));
    image.corruptWord(slab.slot(1), 0x4141414141414141L);
    return slab;
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSlabUnderConstructionIsInNoCounter(Layout layout) {
    if (!layout.has("kmem_cache_node", "nr_slabs")) {
      return;
    }
    for (boolean isCounted : List.of(false, true)) {
      FakeImage image =
          FakeKernel.of(layout)
              .seed(5)
              .cpus(2)
              .cache(FakeCache.named("victim", 240).partial(6).full(4).sheaves(0))
              .build();
      CacheImage cache = image.cache("victim");
      SlabImage slab = underConstruction(image);
      if (!isCounted) {
        count(image, cache, "nr_slabs", -1);
        count(image, cache, "total_objects", -slab.objects());
      }
      SlabSurvey survey = image.survey();
      if (isCounted) {
        assertThat(survey.faults()).isNotEmpty();
        assertThat(survey.transients()).isEmpty();
      } else {
        assertThat(survey.faults()).isEmpty();
        assertThat(survey.transients())
            .singleElement()
            .extracting("why")
            .asString()
            .contains("builds a slab");
      }
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aWrongCounterOfSlabsIsDamageWhereNoneIsOnItsWay(Layout layout) {
    if (!layout.has("kmem_cache_node", "nr_slabs")) {
      return;
    }
    for (long more : new long[] {-1, 1}) {
      FakeImage image = image(layout);
      count(image, image.cache("victim"), "nr_slabs", more);
      assertThat(image.survey().faults())
          .singleElement()
          .isInstanceOfSatisfying(
              SlabFault.Count.class,
              count -> assertThat(count.counter()).isEqualTo("kmem_cache_node.nr_slabs"));
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSlabWithoutACacheIsBuiltOrIsTheOneThatACacheMisses(Layout layout) {
    if (!layout.has("kmem_cache_node", "nr_slabs")) {
      return;
    }
    for (boolean isCounted : List.of(false, true)) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      SlabImage slab = cache.slabs(SlabImage.Place.FULL).getFirst();
      image.corruptWord(image.member(slab, "slab_cache"), 0);
      if (!isCounted) {
        build(image, cache, slab);
      }
      SlabSurvey survey = image.survey();
      if (isCounted) {
        assertThat(survey.faults())
            .singleElement()
            .isInstanceOfSatisfying(
                SlabFault.Owner.class,
                owner -> assertThat(owner.cache().name()).isEqualTo("victim"));
      } else {
        assertThat(survey.faults()).isEmpty();
        assertThat(survey.transients()).hasSize(1);
      }
    }
  }

  /// Takes a slab back to where `allocate_slab` has its page and has named no cache yet.
  private static void build(FakeImage image, CacheImage cache, SlabImage slab) {
    count(image, cache, "nr_slabs", -1);
    count(image, cache, "total_objects", -slab.objects());
    long counters = image.member(slab, "counters");
    image.corruptWord(counters, image.word(counters) >>> 32 << 32 | (long) slab.objects() << 16);
    image.corruptWord(image.member(slab, "freelist"), 0);
    long lru = slab.address() + image.layout().offset("page", "lru");
    image.corruptWord(lru, ListPoison.NEXT);
    image.corruptWord(lru + 8, ListPoison.NEXT + 0x22);
  }

  /// What the page allocator leaves in `lru.next`: from 5.13 on `clear_page_pfmemalloc` clears it
  /// and `set_page_pfmemalloc` marks a page of the reserves in it; before, `list_del` poisoned it.
  @ParameterizedTest
  @MethodSource("layouts")
  void aSlabIsBuiltWhateverThePageAllocatorLeavesInTheFirstLink(Layout layout) {
    if (!layout.has("kmem_cache_node", "nr_slabs")) {
      return;
    }
    for (long next : new long[] {0, 2, ListPoison.NEXT}) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      SlabImage slab = cache.slabs(SlabImage.Place.FULL).getFirst();
      image.corruptWord(image.member(slab, "slab_cache"), 0);
      build(image, cache, slab);
      image.corruptWord(slab.address() + image.layout().offset("page", "lru"), next);
      SlabSurvey survey = image.survey();
      assertThat(survey.faults()).as("lru.next %x", next).isEmpty();
      assertThat(survey.transients()).hasSize(1);
    }
  }

  /// `account_slab` may sleep for memory before the slab has its cache: then tasks build slabs, not
  /// only CPUs.
  @ParameterizedTest
  @MethodSource("layouts")
  void moreSlabsThanCpusMayBeBuilt(Layout layout) {
    if (!layout.has("kmem_cache_node", "nr_slabs")) {
      return;
    }
    FakeImage image = image(layout);
    CacheImage cache = image.cache("victim");
    List<SlabImage> full = cache.slabs(SlabImage.Place.FULL);
    assertThat(full).hasSizeGreaterThan(3);
    for (SlabImage slab : full) {
      image.corruptWord(image.member(slab, "slab_cache"), 0);
      build(image, cache, slab);
    }
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.transients()).hasSize(full.size());
  }

  /// A page of another use has more to it than one that was just allocated.
  @ParameterizedTest
  @MethodSource("layouts")
  void aForeignPageWithTheMarkOfASlabIsNotBuilt(Layout layout) {
    if (!layout.has("kmem_cache_node", "nr_slabs")) {
      return;
    }
    for (String use : List.of("flags", "_refcount", "private", "lru")) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      SlabImage slab = cache.slabs(SlabImage.Place.FULL).getFirst();
      image.corruptWord(image.member(slab, "slab_cache"), 0);
      build(image, cache, slab);
      // Of `lru` the second link: the first has other uses, some kernels' slab_cache too.
      long at = slab.address() + image.layout().offset("page", use) + (use.equals("lru") ? 8 : 0);
      long word = image.word(at);
      image.corruptWord(
          at,
          switch (use) {
            case "flags" -> word | 1L << image.layout().pageFlag("PG_lru").orElseThrow();
            case "_refcount" -> word + 1;
            case "private" -> word + 7;
            default -> cache.node(0);
          });
      assertThat(image.survey().faults())
          .as(use)
          .singleElement()
          .isInstanceOf(SlabFault.Owner.class);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void slabsThatAreMovedInBulkAreOnNoListWhileTheLockIsHeld(Layout layout) {
    for (boolean isLocked : List.of(true, false)) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      List<SlabImage> moved = unlink(image, cache, 2);
      count(image, cache, "nr_partial", 2);
      if (marksPartial(layout)) {
        moved.forEach(slab -> unmark(image, slab));
      }
      if (isLocked) {
        lock(image, cache);
      }
      SlabSurvey survey = image.survey();
      assertThat(survey.faults()).hasSize(isLocked ? 0 : 1);
      assertThat(survey.transients()).hasSize(isLocked ? 2 : 1);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void fullSlabsFrozenForNoCpuAreFewOrDamage(Layout layout) {
    for (int frozen : new int[] {1, 3}) {
      FakeImage image = image(layout);
      for (SlabImage slab : image.cache("victim").slabs(SlabImage.Place.FULL).subList(0, frozen)) {
        image.flipBit(image.member(slab, "counters"), 31);
      }
      SlabSurvey survey = image.survey();
      assertThat(survey.faults()).hasSize(frozen <= 2 ? 0 : 1);
      assertThat(survey.transients()).hasSize(frozen <= 2 ? 1 : 0);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aFreelistThatEndsAtAPageThatTheHardwareGaveUpIsNoDamage(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    image.exclude(slab.pfn());
    assertThat(image.survey().faults()).isNotEmpty();
    OptionalInt bit = layout.pageFlag("PG_hwpoison");
    if (bit.isEmpty()) {
      return;
    }
    image.flipBit(slab.address(), bit.getAsInt());
    assertThat(image.survey().faults()).isEmpty();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void slabsOfADestroyedCacheAreNoDamage(Layout layout) {
    for (boolean isDeleted : List.of(true, false)) {
      FakeImage image = image(layout);
      CacheImage cache = image.cache("victim");
      long list = image.member("kmem_cache", cache.address(), "list");
      image.corruptWord(image.word(list) + 8, image.word(list + 8));
      image.corruptWord(image.word(list + 8), image.word(list));
      if (isDeleted) {
        image.corruptWord(list, ListPoison.NEXT);
        image.corruptWord(list + 8, 0xdead000000000122L);
      }
      SlabSurvey survey = image.survey();
      if (isDeleted) {
        assertThat(survey.faults()).isEmpty();
        assertThat(survey.transients())
            .singleElement()
            .extracting("why")
            .asString()
            .contains("kmem_cache_destroy");
      } else {
        assertThat(survey.faults()).isNotEmpty();
      }
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void everyObjectsSlotIsRead(Layout layout) {
    SlabSurvey survey = image(layout).survey();
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.slots()).isEqualTo(survey.objects());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aMissingPageOfAFullSlabIsSeen(Layout layout) {
    FakeImage image = image(layout);
    SlabImage full = image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
    image.exclude(full.pfn());
    SlabSurvey survey = image.survey();
    assertThat(survey.faults())
        .singleElement()
        .isInstanceOfSatisfying(
            SlabFault.Absent.class,
            absent -> assertThat(absent.slab().pfn()).isEqualTo(full.pfn()));
    assertThat(survey.unreadableSlabPages()).containsEntry("excluded", 1L);
    assertThat(survey.slots()).isLessThan(survey.objects());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aFullListOfADebugCacheIsFollowed(Layout layout) {
    FakeImage image =
        FakeKernel.of(layout).seed(5).cache(FakeCache.named("victim", 240).debug().full(3)).build();
    assertThat(image.survey().faults()).isEmpty();
    CacheImage cache = image.cache("victim");
    if (!layout.has("kmem_cache_node", "full")) {
      return;
    }
    long head = image.member("kmem_cache_node", cache.node(0), "full");
    assertThat(image.word(head)).as("the image keeps full slabs on the list").isNotEqualTo(head);
    image.corruptWord(image.word(head), 0x4141414141414141L);
    assertThat(image.survey().faults())
        .singleElement()
        .isInstanceOfSatisfying(
            SlabFault.Links.class,
            links -> assertThat(links.list()).isEqualTo("full list of node 0"));
  }

  /// early_kmem_cache_node_alloc: inc_slabs_node(kmem_cache_node, node, ...) although the page is
  /// of another node ("SLUB: Unable to allocate memory from node 1").
  @ParameterizedTest
  @MethodSource("layouts")
  void aNodeWithoutMemoryAtBootCountsASlabOfAnother(Layout layout) {
    if (!layout.has("kmem_cache_node", "nr_slabs")) {
      return;
    }
    FakeImage image =
        FakeKernel.of(layout)
            .seed(17)
            .nodes(2)
            .cache(FakeCache.named("victim", 240).partial(5).full(6))
            .build();
    CacheImage cache = image.cache("kmem_cache_node");
    int objects = cache.slabs().getFirst().objects();
    for (int node = 0; node < 2; node++) {
      int sign = node == 0 ? -1 : 1;
      long at = image.member("kmem_cache_node", cache.node(node), "nr_slabs");
      image.corruptWord(at, image.word(at) + sign);
      at = image.member("kmem_cache_node", cache.node(node), "total_objects");
      image.corruptWord(at, image.word(at) + (long) sign * objects);
    }
    assertThat(image.survey().faults()).isEmpty();
  }
}
