package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.NodeSpans;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// Faults in what everything else is found through: lists, caches and their parts. Each is one
/// fault at the word that is wrong, what hangs on it is still looked at, and no work grows with
/// what a dump merely claims. [HealthyImagesTest] is the twin that stays silent.
class BrokenCachesTest {
  private static final long WILD = 0x4141_4141_4141_4141L;

  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  static Stream<Layout> withCounters() {
    return layouts().filter(layout -> layout.has("kmem_cache_node", "nr_slabs"));
  }

  private static FakeKernel kernel(Layout layout) {
    return FakeKernel.of(layout)
        .seed(17)
        .cpus(3)
        .cache(FakeCache.named("before", 104))
        .cache(FakeCache.named("victim", 240).partial(5).full(6).sheaves(12))
        .cache(FakeCache.named("between", 72))
        .cache(FakeCache.named("after", 320));
  }

  private static FakeImage image(Layout layout) {
    return kernel(layout).build();
  }

  private static <F extends SlabFault> F only(SlabSurvey survey, Class<F> kind) {
    assertThat(survey.faults()).singleElement().isInstanceOf(kind);
    return kind.cast(survey.faults().getFirst());
  }

  private static long slabsSeen(SlabSurvey survey, CacheImage cache) {
    return survey.tallies().stream()
        .filter(tally -> tally.cache().address() == cache.address())
        .findFirst()
        .orElseThrow()
        .slabs();
  }

  // ---- lists

  /// `list_add` right behind the head, whether the node is on the list or not.
  private static void listAdd(FakeImage image, long head, long node) {
    long next = image.word(head);
    image.corruptWord(next + 8, node);
    image.corruptWord(node, next);
    image.corruptWord(node + 8, head);
    image.corruptWord(head, node);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aCacheAddedTwiceMakesTheListOfCachesRunInACircle(Layout layout) {
    FakeImage image = image(layout);
    long head = image.symbol("slab_caches");
    long node = image.member("kmem_cache", image.cache("victim").address(), "list");
    listAdd(image, head, node);
    SlabSurvey survey = image.survey();
    assertThat(only(survey, SlabFault.Links.class).walk().end())
        .isInstanceOf(ListWalk.End.Circle.class);
    assertThat(survey.tallies()).hasSize(image.caches().size());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anOverwrittenNodeIsBlamedAndBothSidesOfItAreRead(Layout layout) {
    for (long wild : new long[] {WILD, 0, 0xffff_8880_0000_0000L}) {
      FakeImage image = image(layout);
      long node = image.member("kmem_cache", image.cache("victim").address(), "list");
      long before = image.word(node + 8);
      long after = image.word(node);
      image.corruptWord(node, wild);
      image.corruptWord(node + 8, wild);
      SlabSurvey survey = image.survey();
      SlabFault.Links links = only(survey, SlabFault.Links.class);
      assertThat(links.address()).isEqualTo(node);
      assertThat(links.walk().end())
          .isEqualTo(new ListWalk.End.Overwritten(before, node, after, wild, wild));
      assertThat(survey.tallies()).hasSize(image.caches().size());
      assertThat(slabsSeen(survey, image.cache("victim")))
          .isEqualTo(image.cache("victim").slabs().size());
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void cachesBetweenTwoOverwrittenNodesAreKnownByTheirSlabs(Layout layout) {
    FakeImage image = image(layout);
    for (String name : List.of("victim", "after")) {
      long node = image.member("kmem_cache", image.cache(name).address(), "list");
      image.corruptWord(node, WILD);
      image.corruptWord(node + 8, WILD);
    }
    SlabSurvey survey = image.survey();
    ListWalk walk = only(survey, SlabFault.Links.class).walk();
    assertThat(walk.isRecovered()).isFalse();
    assertThat(survey.transients())
        .extracting(TransientState::why)
        .contains("slab_caches is broken before it");
  }

  /// A cache that no list leads to has no sum of its slabs: it takes none that another cache
  /// misses.
  @ParameterizedTest
  @MethodSource("withCounters")
  void aWrongSlabOfAnUnlistedCacheIsItsOwnFaultWhereAnotherCacheMissesOne(Layout layout) {
    FakeImage image = image(layout);
    for (String name : List.of("victim", "after")) {
      long node = image.member("kmem_cache", image.cache(name).address(), "list");
      image.corruptWord(node, WILD);
      image.corruptWord(node + 8, WILD);
    }
    SlabImage slab = full(image, "between").getFirst();
    long counters = image.member(slab, "counters");
    image.flipBit(counters, 16);
    long counter = image.member("kmem_cache_node", image.cache("before").node(0), "nr_slabs");
    image.corruptWord(counter, image.word(counter) + 1);

    assertThat(image.survey().faults())
        .filteredOn(SlabFault.Count.class::isInstance)
        .extracting(SlabFault::address)
        .contains(counters, counter);
  }

  /// What the dump left out is no damage: neither the cache, nor its slabs, which name it.
  @ParameterizedTest
  @MethodSource("layouts")
  void aCacheOnAPageThatIsNotInTheDumpIsNoDamage(Layout layout) {
    FakeImage image = image(layout);
    image.exclude(image.physical(image.cache("victim").address()) >>> 12);
    assertThat(image.survey().faults())
        .isNotEmpty()
        .allSatisfy(
            fault -> {
              switch (fault) {
                case SlabFault.Links links ->
                    assertThat(links.walk().end())
                        .isInstanceOfSatisfying(
                            ListWalk.End.Unreadable.class,
                            end -> assertThat(end.why()).isInstanceOf(MemoryRead.Missing.class));
                case SlabFault.Unread unread ->
                    assertThat(unread.why()).isInstanceOf(MemoryRead.Missing.class);
                case SlabFault.Broken broken ->
                    assertThat(broken.list().end()).isInstanceOf(Freelist.End.Unreadable.class);
                default -> assertThat(fault).isInstanceOf(SlabFault.Absent.class);
              }
            });
  }

  // ---- slabs of no known cache

  private static List<SlabImage> full(FakeImage image, String cache) {
    return image.cache(cache).slabs(SlabImage.Place.FULL);
  }

  private static void disown(FakeImage image, SlabImage slab) {
    image.corruptWord(image.member(slab, "slab_cache"), WILD);
  }

  @ParameterizedTest
  @MethodSource("withCounters")
  void aFullSlabOfNoCacheIsOneFault(Layout layout) {
    FakeImage image = image(layout);
    disown(image, full(image, "victim").getFirst());
    SlabFault.Owner owner = only(image.survey(), SlabFault.Owner.class);
    assertThat(owner.cache().name()).isEqualTo("victim");
  }

  @ParameterizedTest
  @MethodSource("withCounters")
  void fullSlabsOfTwoCachesThatLostTheirOwnerAreNoCounters(Layout layout) {
    FakeImage image = image(layout);
    disown(image, full(image, "victim").getFirst());
    disown(image, full(image, "between").getFirst());
    assertThat(image.survey().faults())
        .hasSize(2)
        .allSatisfy(
            fault ->
                assertThat(fault)
                    .isInstanceOfSatisfying(
                        SlabFault.Owner.class,
                        owner -> assertThat(owner.why()).contains("victim").contains("between")));
  }

  @ParameterizedTest
  @MethodSource("withCounters")
  void aCounterThatTheLostSlabsDoNotExplainIsSaid(Layout layout) {
    FakeImage image = image(layout);
    disown(image, full(image, "victim").getFirst());
    long counter = image.member("kmem_cache_node", image.cache("between").node(0), "nr_slabs");
    image.corruptWord(counter, image.word(counter) + 3);
    assertThat(image.survey().faults())
        .anySatisfy(
            fault ->
                assertThat(fault)
                    .isInstanceOfSatisfying(
                        SlabFault.Count.class,
                        count -> assertThat(count.address()).isEqualTo(counter)));
  }

  // ---- parts of a cache

  private static long nodePointer(FakeImage image, String cache, int node) {
    Layout layout = image.layout();
    long address = image.cache(cache).address();
    return layout.has("kmem_cache", "per_node")
        ? image.member("kmem_cache", address, "per_node")
            + 16L * node
            + layout.offset("kmem_cache_per_node_ptrs", "node")
        : image.member("kmem_cache", address, "node") + 8L * node;
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aWildPointerToANodeIsOneFaultAtThePointer(Layout layout) {
    for (int node : new int[] {0, 1}) {
      FakeImage image = kernel(layout).nodes(2).build();
      long pointer = nodePointer(image, "victim", node);
      image.corruptWord(pointer, WILD);
      SlabFault.Wild unread = only(image.survey(), SlabFault.Wild.class);
      assertThat(unread.address()).isEqualTo(pointer);
      assertThat(unread.raw()).isEqualTo(WILD);
      assertThat(unread.member()).contains("[" + node + "]");
    }
  }

  @ParameterizedTest
  @MethodSource("withCounters")
  void aClearedPointerToANodeWithSlabsIsOneFaultAtThePointer(Layout layout) {
    for (int nodes : new int[] {1, 2}) {
      FakeImage image = kernel(layout).nodes(nodes).build();
      long pointer = nodePointer(image, "victim", nodes - 1);
      image.corruptWord(pointer, 0);
      SlabFault.Wild wild = only(image.survey(), SlabFault.Wild.class);
      assertThat(wild.address()).isEqualTo(pointer);
      assertThat(wild.raw()).isZero();
    }
  }

  @ParameterizedTest
  @MethodSource("withCounters")
  void aWrongCounterIsSaidAtItsNode(Layout layout) {
    for (String counter : List.of("nr_slabs", "total_objects")) {
      FakeImage image = kernel(layout).nodes(2).build();
      long at = image.member("kmem_cache_node", image.cache("victim").node(1), counter);
      image.corruptWord(at, image.word(at) + 2);
      assertThat(only(image.survey(), SlabFault.Count.class).address()).isEqualTo(at);
    }
  }

  @ParameterizedTest
  @MethodSource("withCounters")
  void wrongCountersOfTwoNodesDoNotMakeUpForEachOther(Layout layout) {
    FakeImage image = kernel(layout).nodes(2).build();
    List<Long> counters = new ArrayList<>();
    for (int node = 0; node < 2; node++) {
      long at = image.member("kmem_cache_node", image.cache("victim").node(node), "nr_slabs");
      image.corruptWord(at, image.word(at) + (node == 0 ? 1 : -1));
      counters.add(at);
    }
    assertThat(image.survey().faults())
        .extracting(SlabFault::address)
        .containsExactlyInAnyOrderElementsOf(counters);
  }

  /// Where the spans of nodes are not what they seem, all nodes are counted together.
  @ParameterizedTest
  @MethodSource("withCounters")
  void spansThatAreWrongMakeNoCounterWrong(Layout layout) {
    FakeKernel kernel = kernel(layout).nodes(3);
    for (int i = 1; i <= 16; i++) {
      kernel.cache(FakeCache.named("more-" + i, 128).full(3 * i));
    }
    FakeImage image = kernel.build();
    long table = image.symbol("node_data");
    long first = image.word(table + 8);
    image.corruptWord(table + 8, image.word(table + 16));
    image.corruptWord(table + 16, first);
    assertThat(image.survey().faults()).noneMatch(SlabFault.Count.class::isInstance);
  }

  // ---- numbers of a cache

  @ParameterizedTest
  @MethodSource("layouts")
  void cachesOfEveryKindHaveNumbersThatCanBe(Layout layout) {
    FakeKernel kernel = FakeKernel.of(layout).seed(4);
    for (int size : new int[] {1, 7, 8, 9, 24, 63, 64, 192, 1000, 4096, 8192}) {
      kernel
          .cache(FakeCache.named("plain-" + size, size))
          .cache(FakeCache.named("aligned-" + size, size).align(64))
          .cache(FakeCache.named("rcu-" + size, size).rcu(1))
          .cache(FakeCache.named("ctor-" + size, size).constructor())
          .cache(FakeCache.named("zones-" + size, size).redZones().align(32).outside())
          .cache(FakeCache.named("debug-" + size, size).debug());
    }
    SlabSurvey survey = kernel.cpus(1).build().survey();
    assertThat(survey.faults()).isEmpty();
  }

  // ---- bounds of the work

  private static SlabSurvey survey(FakeImage image, int threads, BooleanSupplier isOver) {
    Kernel kernel = image.kernel();
    return SlabSurvey.run(kernel, MemMap.of(kernel).orElseThrow(), threads, isOver);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theDeadlineEndsTheSearchForPlacesToo(Layout layout) {
    FakeImage image = image(layout);
    long counter = image.member("kmem_cache_node", image.cache("victim").node(0), "nr_partial");
    image.corruptWord(counter, image.word(counter) + 1);
    for (boolean isOver : new boolean[] {true, false}) {
      SlabSurvey survey = survey(image, 1, () -> isOver);
      assertThat(survey.finished()).isEqualTo(!isOver);
      assertThat(survey.faults()).hasSize(isOver ? 0 : 1);
    }
  }

  /// One flipped bit of `nr_node_ids`: each cache seems to have a thousand nodes.
  @Test
  void aWrongNumberOfNodesMakesNoWorkOfItsOwn() {
    FakeKernel kernel = FakeKernel.of(Layout.V6_1).seed(17).nodes(2);
    for (int i = 0; i < 1000; i++) {
      kernel.cache(FakeCache.named("cache-" + i, 64).noCpuSlabs().partial(0).full(1));
    }
    FakeImage image = kernel.build();
    image.flipBit(image.symbol("nr_node_ids"), 10);
    assertThat(NodeSpans.of(image.kernel()).orElseThrow().count()).isEqualTo(2);
    assertThat(SlabCaches.of(image.kernel()).wildNodes()).hasSizeLessThan(100_000);
    SlabSurvey survey = assertTimeoutPreemptively(Duration.ofSeconds(60), image::survey);
    assertThat(survey.droppedFaults()).isPositive();
  }

  @Test
  void faultsOfPlacesAreKeptUpToANumber() {
    FakeKernel kernel = FakeKernel.of(Layout.V6_1).seed(2).cpus(512);
    for (int i = 0; i < 45; i++) {
      kernel.cache(FakeCache.named("cache-" + i, 64).noCpuSlabs().partial(1).full(1));
    }
    FakeImage image = kernel.build();
    for (CacheImage cache : image.caches()) {
      long pointer = image.word(image.member("kmem_cache", cache.address(), "cpu_slab"));
      for (int cpu = 0; cpu < 512; cpu++) {
        long area = pointer + image.word(image.symbol("__per_cpu_offset") + 8L * cpu);
        image.corruptWord(image.member("kmem_cache_cpu", area, "slab"), 0);
        image.corruptWord(image.member("kmem_cache_cpu", area, "freelist"), WILD);
      }
    }
    SlabSurvey survey = image.survey();
    assertThat(survey.droppedFaults()).isPositive();
    assertThat(survey.faults().size()).isLessThanOrEqualTo(20_000);
    assertThat(survey.faults().size() + survey.droppedFaults())
        .isGreaterThanOrEqualTo(512L * image.caches().size());
  }

  private static boolean isWalking() {
    return Thread.getAllStackTraces().keySet().stream()
        .anyMatch(thread -> thread.getName().startsWith("slab-walk-"));
  }

  private static void await(CountDownLatch latch) {
    try {
      assertThat(latch.await(10, TimeUnit.SECONDS)).isTrue();
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
    }
  }

  @Test
  void whatGoesWrongInTheFirstThreadEndsTheOthers() {
    FakeImage image = image(Layout.V6_1);
    IllegalStateException wrong = new IllegalStateException("planted");
    CountDownLatch thrown = new CountDownLatch(1);
    BooleanSupplier isOver =
        () -> {
          if (Thread.currentThread().getName().startsWith("slab-walk-")) {
            await(thrown);
          } else if (isWalking()) {
            thrown.countDown();
            throw wrong;
          }
          return false;
        };
    assertThatThrownBy(() -> survey(image, 2, isOver)).isSameAs(wrong);
    assertThat(isWalking()).isFalse();
  }

  /// slab_caches ends at a page that is not in the dump; a slab names as its cache a page that is
  /// not in the dump either, but that the memory map shows to be no page of the cache kmem_cache.
  @Test
  void aWildOwnerIsNoCacheBehindTheMissingPage() {
    FakeKernel kernel = FakeKernel.of(Layout.V6_1).seed(17);
    for (int i = 0; i < 40; i++) {
      kernel.cache(FakeCache.named("cache-" + i, 240).partial(2).full(3));
    }
    FakeImage image = kernel.build();
    List<String> all =
        SlabCaches.of(image.kernel()).caches().stream().map(SlabCache::name).toList();
    CacheImage lost = image.cache(all.get(all.size() / 2));
    image.exclude(image.physical(lost.address()) >>> 12);
    List<CacheImage> known =
        SlabCaches.of(image.kernel()).caches().stream()
            .filter(cache -> cache.name().startsWith("cache-"))
            .map(cache -> image.cache(cache.name()))
            .toList();
    assertThat(known).hasSizeGreaterThan(1);
    SlabImage slab = known.getFirst().slabs(SlabImage.Place.FULL).getFirst();
    SlabImage other = known.getLast().slabs(SlabImage.Place.FULL).getFirst();
    image.exclude(image.physical(other.base()) >>> 12);
    image.corruptWord(image.member(slab, "slab_cache"), other.base() + 64);
    assertThat(image.survey().faults())
        .anySatisfy(fault -> assertThat(fault).isInstanceOf(SlabFault.Owner.class));
  }
}
