package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SheafImage;
import org.vmcheck.testing.SlabImage;

/// One fault in an otherwise healthy kernel, of every generation: it is found, it is the only one,
/// and it is where it was planted. [HealthyImagesTest] is the twin that stays silent.
class PlantedFaultsTest {
  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  static Stream<Layout> withCpuSlabs() {
    return layouts().filter(layout -> layout.has("kmem_cache", "cpu_slab"));
  }

  static Stream<Layout> withCpuPartials() {
    return layouts().filter(layout -> layout.has("kmem_cache_cpu", "partial"));
  }

  static Stream<Layout> withSheaves() {
    return layouts().filter(layout -> layout.has("kmem_cache", "cpu_sheaves"));
  }

  static Stream<Layout> withCounters() {
    return layouts().filter(layout -> layout.has("kmem_cache_node", "nr_slabs"));
  }

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(11)
        .cache(FakeCache.named("victim", 240).partial(3).sheaves(12))
        .cache(FakeCache.named("bystander", 240))
        .build();
  }

  /// A slab with at least this many objects on its own freelist.
  private static SlabImage partial(FakeImage image, int free) {
    return image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> slab.freelist().size() >= free)
        .findFirst()
        .orElseThrow();
  }

  private static SlabImage cpuSlab(FakeImage image) {
    return image.cache("victim").slabs(SlabImage.Place.CPU_SLAB).stream()
        .filter(slab -> slab.cpuFreelist().size() >= 2)
        .findFirst()
        .orElseThrow();
  }

  private static <F extends SlabFault> F onlyFault(FakeImage image, Class<F> kind) {
    List<SlabFault> faults = image.survey().faults();
    assertThat(faults).as(image.layout().name()).hasSize(1);
    assertThat(faults.getFirst()).isInstanceOf(kind);
    return kind.cast(faults.getFirst());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aZeroedFreePointerIsFoundAtItsSlot(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image, 3);
    int holder = slab.freelist().get(1);
    // A plain null pointer ends the list too early, an encoded one decodes to no object.
    image.corruptWord(slab.slot(holder), 0);
    List<SlabFault> faults = image.survey().faults();
    assertThat(faults).hasSize(1);
    if (layout.freePointer() == Layout.FreePointer.PLAIN) {
      SlabFault.Count count = (SlabFault.Count) faults.getFirst();
      assertThat(count.slab().address()).isEqualTo(slab.address());
      assertThat(count.actual() - count.expected()).isEqualTo(2L - slab.freelist().size());
    } else {
      SlabFault.Broken broken = (SlabFault.Broken) faults.getFirst();
      assertThat(broken.list().end())
          .isInstanceOfSatisfying(
              Freelist.End.BadPointer.class,
              end -> {
                assertThat(end.holder()).isEqualTo(holder);
                assertThat(end.slot()).isEqualTo(slab.slot(holder));
              });
      assertThat(broken.list().length()).isEqualTo(2);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aPointerIntoAnotherSlabIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image, 2);
    long elsewhere = image.cache("bystander").slabs().getFirst().object(0);
    int holder = slab.freelist().getFirst();
    image.corruptWord(slab.slot(holder), image.encoded(slab, holder, elsewhere));
    SlabFault.Broken broken = onlyFault(image, SlabFault.Broken.class);
    assertThat(broken.list().end())
        .isInstanceOfSatisfying(
            Freelist.End.BadPointer.class, end -> assertThat(end.decoded()).isEqualTo(elsewhere));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aPointerOffTheStrideIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image, 2);
    int holder = slab.freelist().getFirst();
    image.corruptWord(slab.slot(holder), image.encoded(slab, holder, slab.object(0) + 8));
    onlyFault(image, SlabFault.Broken.class);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anObjectFreedTwiceMakesACycle(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image, 3);
    int holder = slab.freelist().get(2);
    int first = slab.freelist().getFirst();
    image.corruptWord(slab.slot(holder), image.encoded(slab, holder, slab.object(first)));
    SlabFault.Broken broken = onlyFault(image, SlabFault.Broken.class);
    assertThat(broken.list().end())
        .isInstanceOfSatisfying(
            Freelist.End.Cycle.class,
            end -> {
              assertThat(end.holder()).isEqualTo(holder);
              assertThat(end.target()).isEqualTo(first);
              assertThat(end.firstStep()).isZero();
            });
  }

  @ParameterizedTest
  @MethodSource("withCpuSlabs")
  void aBadPointerOnACpusListIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = cpuSlab(image);
    int holder = slab.cpuFreelist().getFirst();
    image.corruptWord(slab.slot(holder), 0x4141_4141_4141_4141L);
    SlabFault.Broken broken = onlyFault(image, SlabFault.Broken.class);
    assertThat(broken.cpu()).isEqualTo(slab.cpu());
  }

  @ParameterizedTest
  @MethodSource("withCpuSlabs")
  void anObjectOnBothListsOfACpuSlabIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = cpuSlab(image);
    int shared = slab.cpuFreelist().getLast();
    // The slab's own list, whatever it held, now begins with an object of the CPU's.
    image.corruptWord(image.member(slab, "freelist"), slab.object(shared));
    assertThat(image.survey().faults())
        .anySatisfy(
            fault ->
                assertThat(fault)
                    .isInstanceOfSatisfying(
                        SlabFault.Broken.class,
                        broken ->
                            assertThat(broken.list().end())
                                .isInstanceOf(Freelist.End.OnOtherList.class)));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aWrongInuseIsACounter(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image, 1);
    image.flipBit(image.member(slab, "counters"), 1);
    SlabFault.Count count = onlyFault(image, SlabFault.Count.class);
    assertThat(count.counter()).isEqualTo("slab.inuse");
    assertThat(count.slab().address()).isEqualTo(slab.address());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aSlabThatBelongsToAnotherCacheIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image, 1);
    image.corruptWord(image.member(slab, "slab_cache"), image.cache("bystander").address());
    SlabFault.Owner owner = onlyFault(image, SlabFault.Owner.class);
    assertThat(owner.slab()).isEqualTo(slab.address());
    assertThat(owner.cache().name()).isEqualTo("victim");
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aWrongNrPartialIsFound(Layout layout) {
    FakeImage image = image(layout);
    CacheImage cache = image.cache("victim");
    long counter = image.member("kmem_cache_node", cache.node(0), "nr_partial");
    image.corruptWord(counter, image.word(counter) + 1);
    assertThat(onlyFault(image, SlabFault.Count.class).address()).isEqualTo(counter);
  }

  @ParameterizedTest
  @MethodSource("withCounters")
  void aWrongNrSlabsIsFound(Layout layout) {
    FakeImage image = image(layout);
    CacheImage cache = image.cache("victim");
    long counter = image.member("kmem_cache_node", cache.node(0), "nr_slabs");
    image.corruptWord(counter, image.word(counter) + 2);
    assertThat(onlyFault(image, SlabFault.Count.class).address()).isEqualTo(counter);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aBrokenLinkOfANodesListIsFoundAndTheRestWalked(Layout layout) {
    FakeImage image = image(layout);
    CacheImage cache = image.cache("victim");
    long head = image.member("kmem_cache_node", cache.node(0), "partial");
    image.corruptWord(image.word(head) + 8, 0xdead_0000_0000_0122L);
    SlabFault.Links links = onlyFault(image, SlabFault.Links.class);
    assertThat(links.walk().isRecovered()).isTrue();
  }

  @ParameterizedTest
  @MethodSource("withCpuSlabs")
  void aCpuSlabThatIsNotFrozenIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = cpuSlab(image);
    image.flipBit(image.member(slab, "counters"), 31);
    SlabFault.Place place = onlyFault(image, SlabFault.Place.class);
    assertThat(place.slab().address()).isEqualTo(slab.address());
  }

  @ParameterizedTest
  @MethodSource("withCpuPartials")
  void aCountOnACpusPartialListThatDoesNotEndAtOneIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = image.cache("victim").slabs(SlabImage.Place.CPU_PARTIAL).getFirst();
    String counter = layout.has(layout.slabStruct(), "slabs") ? "slabs" : "pages";
    image.flipBit(image.member(slab, counter), 2);
    assertThat(onlyFault(image, SlabFault.Count.class).slab()).isNull();
  }

  @ParameterizedTest
  @MethodSource("withCpuPartials")
  void aCpusPartialSlabFrozenUnlikeTheOthersIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = image.cache("victim").slabs(SlabImage.Place.CPU_PARTIAL).getFirst();
    image.flipBit(image.member(slab, "counters"), 31);
    assertThat(onlyFault(image, SlabFault.Place.class).slab().address()).isEqualTo(slab.address());
  }

  // ---- places

  private static long cpuSlabMember(FakeImage image, SlabImage slab, String member) {
    Kernel kernel = image.kernel();
    long pointer = image.word(image.member("kmem_cache", slab.cache().address(), "cpu_slab"));
    int index = kernel.perCpu().cpus().indexOf(slab.cpu());
    return image.member("kmem_cache_cpu", kernel.perCpu().address(pointer, index), member);
  }

  private static String cpuSlabName(Layout layout) {
    return layout.has("kmem_cache_cpu", "slab") ? "slab" : "page";
  }

  @ParameterizedTest
  @MethodSource("withCpuSlabs")
  void aWrongNameOfACpusSlabIsFoundWhereItIsKept(Layout layout) {
    FakeImage healthy = image(layout);
    SlabImage other = healthy.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
    SlabImage stranger = healthy.cache("bystander").slabs(SlabImage.Place.FULL).getFirst();
    long free = healthy.descriptor(0x3);
    for (long wrong :
        new long[] {other.address(), stranger.address(), free, 0x4141_4141_4141_4141L}) {
      FakeImage image = image(layout);
      long word = cpuSlabMember(image, cpuSlab(image), cpuSlabName(layout));
      image.corruptWord(word, wrong);
      SlabFault.Stray stray = onlyFault(image, SlabFault.Stray.class);
      assertThat(stray.address()).isEqualTo(word);
      assertThat(stray.raw()).isEqualTo(wrong);
    }
  }

  @ParameterizedTest
  @MethodSource("withCpuSlabs")
  void aFreelistWithoutASlabBlamesTheCpusWordAndNotTheCache(Layout layout) {
    FakeImage image = image(layout);
    long word = cpuSlabMember(image, cpuSlab(image), "freelist");
    SlabImage full = image.cache("bystander").slabs(SlabImage.Place.FULL).getFirst();
    image.corruptWord(cpuSlabMember(image, cpuSlab(image), cpuSlabName(layout)), 0);
    image.corruptWord(word, full.object(0));
    SlabFault.Stray stray = onlyFault(image, SlabFault.Stray.class);
    assertThat(stray.address()).isEqualTo(word);
    assertThat(stray.raw()).isEqualTo(full.object(0));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aFullSlabOnANodesPartialListIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = TransientStatesTest.linkFull(image, image.cache("victim"), 1).getFirst();
    SlabFault.Place place = onlyFault(image, SlabFault.Place.class);
    assertThat(place.slab().address()).isEqualTo(slab.address());
    assertThat(place.why()).contains("full");
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aNegativeCounterIsAWrongOne(Layout layout) {
    for (long wrong : new long[] {-1, -3, Long.MIN_VALUE}) {
      for (String counter : List.of("nr_partial", "nr_slabs")) {
        if (!layout.has("kmem_cache_node", counter)) {
          continue;
        }
        FakeImage image = image(layout);
        long at = image.member("kmem_cache_node", image.cache("victim").node(0), counter);
        image.corruptWord(at, wrong);
        assertThat(onlyFault(image, SlabFault.Count.class).address()).isEqualTo(at);
      }
    }
  }

  private static String chainCount(Layout layout) {
    return layout.has(layout.slabStruct(), "slabs") ? "slabs" : "pages";
  }

  /// The chain of partial slabs of a CPU, which has several.
  private static List<SlabImage> chain(FakeImage image) {
    List<SlabImage> ofCpu =
        image.cache("victim").slabs(SlabImage.Place.CPU_PARTIAL).stream()
            .filter(slab -> slab.cpu() == 0)
            .toList();
    assertThat(ofCpu).hasSizeGreaterThan(2);
    String counter = chainCount(image.layout());
    return ofCpu.stream()
        .sorted(
            (a, b) ->
                Integer.compare(
                    (int) image.word(image.member(b, counter)),
                    (int) image.word(image.member(a, counter))))
        .toList();
  }

  private static FakeImage imageWithChain(Layout layout) {
    return FakeKernel.of(layout)
        .seed(11)
        .cache(FakeCache.named("victim", 240).partial(3).cpuPartial(4).sheaves(12))
        .cache(FakeCache.named("bystander", 240))
        .build();
  }

  @ParameterizedTest
  @MethodSource("withCpuPartials")
  void anyWrongCountOnACpusPartialListIsFound(Layout layout) {
    int length = chain(imageWithChain(layout)).size();
    for (int i = 0; i < length; i++) {
      for (int wrong : new int[] {0, -1, 100, Integer.MIN_VALUE}) {
        FakeImage image = imageWithChain(layout);
        long at = image.member(chain(image).get(i), chainCount(layout));
        image.corruptWord(at, (image.word(at) & 0xffff_ffff_0000_0000L) | (wrong & 0xffff_ffffL));
        SlabFault.Count count = onlyFault(image, SlabFault.Count.class);
        assertThat(count.address()).isEqualTo(at);
        assertThat(count.expected()).isEqualTo(length - i);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("withCpuPartials")
  void aChainOfACpusPartialSlabsThatIsCutBlamesNext(Layout layout) {
    for (int i : new int[] {0, 1}) {
      FakeImage image = imageWithChain(layout);
      long next = image.member(chain(image).get(i), "next");
      image.corruptWord(next, 0);
      SlabFault.Stray stray = onlyFault(image, SlabFault.Stray.class);
      assertThat(stray.address()).isEqualTo(next);
      assertThat(stray.raw()).isZero();
    }
  }

  @ParameterizedTest
  @MethodSource("withCpuPartials")
  void aChainThatLeavesItsCacheIsFoundAtTheWordThatLeadsAway(Layout layout) {
    FakeImage image = imageWithChain(layout);
    long next = image.member(chain(image).getLast(), "next");
    SlabImage elsewhere = image.cache("bystander").slabs(SlabImage.Place.FULL).getFirst();
    image.corruptWord(next, elsewhere.address());
    SlabFault.Stray stray = onlyFault(image, SlabFault.Stray.class);
    assertThat(stray.address()).isEqualTo(next);
  }

  // ---- descriptors of slabs of several pages

  private static SlabImage several(FakeImage image) {
    return image.cache("several").slabs(SlabImage.Place.FULL).getFirst();
  }

  private static FakeImage imageOfSeveral(Layout layout) {
    return FakeKernel.of(layout)
        .seed(11)
        .cache(FakeCache.named("several", 1000).order(3).full(2))
        .build();
  }

  private static SlabFault.Descriptor onlyDescriptor(FakeImage image, long address) {
    SlabFault.Descriptor fault = onlyFault(image, SlabFault.Descriptor.class);
    assertThat(fault.address()).isEqualTo(address);
    assertThat(fault.raw()).isEqualTo(image.word(address));
    assertThat(fault.cache().name()).isEqualTo("several");
    return fault;
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aHeadWithoutItsFlagIsFound(Layout layout) {
    FakeImage image = imageOfSeveral(layout);
    SlabImage slab = several(image);
    image.flipBit(slab.address(), layout.pageFlag("PG_head").orElseThrow());
    onlyDescriptor(image, slab.address());
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aTailThatDoesNotLeadToItsHeadIsFound(Layout layout) {
    for (int tail : new int[] {1, 2, 7}) {
      for (long change : new long[] {0, 64, 1, 1L << 40}) {
        FakeImage image = imageOfSeveral(layout);
        SlabImage slab = several(image);
        long word =
            image.member(
                "page",
                image.descriptor(slab.pfn() + tail),
                layout.has("page", "compound_head") ? "compound_head" : "compound_info");
        image.corruptWord(word, change == 0 ? 0 : image.word(word) ^ change);
        assertThat(onlyDescriptor(image, word).pfn()).isEqualTo(slab.pfn() + tail);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aTailMarkedAsASlabIsFound(Layout layout) {
    if (layout.slabMark() != Layout.SlabMark.FLAG) {
      return;
    }
    FakeImage image = imageOfSeveral(layout);
    SlabImage slab = several(image);
    long flags = image.descriptor(slab.pfn() + 2);
    image.flipBit(flags, layout.pageFlag("PG_slab").orElseThrow());
    assertThat(onlyDescriptor(image, flags).pfn()).isEqualTo(slab.pfn() + 2);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anOrderThatDoesNotFitIsFoundWhereItIsKnown(Layout layout) {
    FakeImage image = imageOfSeveral(layout);
    int at = MemMap.of(image.kernel()).orElseThrow().shape().orderAt();
    if (at < 0) {
      return;
    }
    image.flipBit(several(image).address() + at, 2);
    onlyDescriptor(image, several(image).address() + at);
  }

  // ---- slabs that are not met as slabs of their cache

  /// A slab of each place that the cache uses, in a kernel whose other cache has other geometry.
  private static FakeImage imageOfTwo(Layout layout) {
    return FakeKernel.of(layout)
        .seed(11)
        .cache(FakeCache.named("victim", 240).partial(3).full(3).sheaves(0))
        .cache(FakeCache.named("bystander", 96).full(3).sheaves(0))
        .build();
  }

  private static List<SlabImage> oneOfEachPlace(FakeImage image) {
    return Stream.of(SlabImage.Place.FULL, SlabImage.Place.NODE_PARTIAL, SlabImage.Place.CPU_SLAB)
        .flatMap(place -> image.cache("victim").slabs(place).stream().limit(1))
        .toList();
  }

  @ParameterizedTest
  @MethodSource("withCounters")
  void aSlabWithoutItsMarkIsFoundAtTheMark(Layout layout) {
    for (SlabImage slab : oneOfEachPlace(imageOfTwo(layout))) {
      FakeImage image = imageOfTwo(layout);
      int at = MemMap.of(image.kernel()).orElseThrow().slabMarkAt();
      long word = slab.address() + at;
      image.corruptWord(
          word, layout.slabMark() == Layout.SlabMark.FLAG ? 0 : image.word(word) | 0xffff_ffffL);
      SlabFault.Descriptor fault = onlyFault(image, SlabFault.Descriptor.class);
      assertThat(fault.address()).isEqualTo(word);
      assertThat(fault.raw()).isEqualTo(image.word(word));
      assertThat(fault.cache().name()).isEqualTo("victim");
    }
  }

  @ParameterizedTest
  @MethodSource("withCounters")
  void aWipedDescriptorIsFoundWhereItIs(Layout layout) {
    for (SlabImage slab : oneOfEachPlace(imageOfTwo(layout))) {
      if (slab.place() == SlabImage.Place.NODE_PARTIAL) {
        continue; // The list is broken there, and said so.
      }
      FakeImage image = imageOfTwo(layout);
      image.fill(slab.address(), 0, layout.size("page"));
      SlabFault.Descriptor fault = onlyFault(image, SlabFault.Descriptor.class);
      assertThat(fault.address()).isEqualTo(slab.address());
      assertThat(fault.cache().name()).isEqualTo("victim");
    }
  }

  @ParameterizedTest
  @MethodSource("withCounters")
  void aFullSlabThatNamesAnotherCacheIsOneFaultAtSlabCache(Layout layout) {
    for (List<String> names :
        List.of(List.of("victim", "bystander"), List.of("bystander", "victim"))) {
      FakeImage image = imageOfTwo(layout);
      SlabImage slab = image.cache(names.getFirst()).slabs(SlabImage.Place.FULL).getFirst();
      long word = image.member(slab, "slab_cache");
      image.corruptWord(word, image.cache(names.getLast()).address());
      SlabFault.Owner owner = onlyFault(image, SlabFault.Owner.class);
      assertThat(owner.address()).isEqualTo(word);
      assertThat(owner.cache().name()).isEqualTo(names.getFirst());
      assertThat(image.survey().tallies())
          .allSatisfy(
              tally ->
                  assertThat(tally.allocated())
                      .isEqualTo(image.allocated().get(tally.cache().name())));
    }
  }

  @ParameterizedTest
  @MethodSource("withCounters")
  void aSlabThatIsNowhereLeavesTheCounter(Layout layout) {
    FakeImage image = imageOfTwo(layout);
    long counter = image.member("kmem_cache_node", image.cache("victim").node(0), "nr_slabs");
    image.corruptWord(counter, image.word(counter) + 1);
    assertThat(onlyFault(image, SlabFault.Count.class).address()).isEqualTo(counter);
  }

  // ---- sheaves

  private static SheafImage sheaf(FakeImage image, SheafImage.Place place) {
    return image.cache("victim").sheaves().stream()
        .filter(sheaf -> sheaf.place() == place && sheaf.objects().size() >= 2)
        .findFirst()
        .orElseThrow();
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void anObjectTwiceInASheafIsFreedTwice(Layout layout) {
    FakeImage image = image(layout);
    SheafImage sheaf = sheaf(image, SheafImage.Place.MAIN);
    image.corruptWord(sheaf.entry(1), sheaf.objects().getFirst());
    SlabFault.Entry entry = onlyFault(image, SlabFault.Entry.class);
    assertThat(entry.isTwiceFree()).isTrue();
    assertThat(entry.raw()).isEqualTo(sheaf.objects().getFirst());
    assertThat(entry.address()).isEqualTo(sheaf.entry(1));
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void anObjectInASheafAndOnItsSlabsListIsFreedTwice(Layout layout) {
    FakeImage image = image(layout);
    SheafImage sheaf = sheaf(image, SheafImage.Place.MAIN);
    SlabImage slab = partial(image, 1);
    long object = slab.object(slab.freelist().getFirst());
    image.corruptWord(sheaf.entry(0), object);
    SlabFault.Entry entry = onlyFault(image, SlabFault.Entry.class);
    assertThat(entry.isTwiceFree()).isTrue();
    assertThat(entry.address()).isEqualTo(sheaf.entry(0));
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void anEntryThatIsNoObjectIsFound(Layout layout) {
    for (long wild : new long[] {0, 0x4141_4141_4141_4141L, 0xdead_0000_0000_0100L}) {
      FakeImage image = image(layout);
      SheafImage sheaf = sheaf(image, SheafImage.Place.MAIN);
      image.corruptWord(sheaf.entry(0), wild);
      SlabFault.Entry entry = onlyFault(image, SlabFault.Entry.class);
      assertThat(entry.slab()).isNull();
      assertThat(entry.isTwiceFree()).isFalse();
    }
    FakeImage image = image(layout);
    SheafImage sheaf = sheaf(image, SheafImage.Place.MAIN);
    image.corruptWord(sheaf.entry(0), sheaf.objects().getFirst() + 8);
    assertThat(onlyFault(image, SlabFault.Entry.class).object()).isEqualTo(-1);
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void aSheafFullerThanCanBeIsFound(Layout layout) {
    FakeImage image = image(layout);
    SheafImage sheaf = sheaf(image, SheafImage.Place.MAIN);
    image.corruptWord(image.member("slab_sheaf", sheaf.address(), "size"), 0x7fff_ffffL);
    SlabFault.Sheaf wrong = onlyFault(image, SlabFault.Sheaf.class);
    assertThat(wrong.address()).isEqualTo(image.member("slab_sheaf", sheaf.address(), "size"));
    assertThat(wrong.raw()).isEqualTo(0x7fff_ffffL);
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void aSheafThatWasZeroedIsNotTakenForTheStaticOne(Layout layout) {
    for (SheafImage.Place place : List.of(SheafImage.Place.MAIN, SheafImage.Place.BARN_EMPTY)) {
      FakeImage image = image(layout);
      SheafImage sheaf =
          image.cache("victim").sheaves().stream()
              .filter(one -> one.place() == place)
              .findFirst()
              .orElse(null);
      if (sheaf == null) {
        continue;
      }
      long cache = image.member("slab_sheaf", sheaf.address(), "cache");
      image.corruptWord(cache, 0);
      image.corrupt(image.member("slab_sheaf", sheaf.address(), "size"), new byte[4]);
      SlabFault.Sheaf wrong = onlyFault(image, SlabFault.Sheaf.class);
      assertThat(wrong.address()).isEqualTo(cache);
      assertThat(wrong.right()).isEqualTo(image.cache("victim").address());
    }
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void aPointerToASheafThatLeadsToNoneIsFoundWhereItIsKept(Layout layout) {
    FakeImage healthy = image(layout);
    long elsewhere = healthy.cache("bystander").slabs().getFirst().object(0);
    for (long wild : new long[] {0x2f72_7375_2f65_6d6fL, elsewhere}) {
      FakeImage image = image(layout);
      Kernel kernel = image.kernel();
      long perCpu =
          image.word(image.member("kmem_cache", image.cache("victim").address(), "cpu_sheaves"));
      long main = image.member("slub_percpu_sheaves", kernel.perCpu().address(perCpu, 0), "main");
      image.corruptWord(main, wild);
      SlabFault.Sheaf wrong = onlyFault(image, SlabFault.Sheaf.class);
      assertThat(wrong.address()).isEqualTo(main);
      assertThat(wrong.raw()).isEqualTo(wild);
    }
  }

  /// A full sheaf of the barn that is a CPU's spare too: the word that is named leads there.
  @ParameterizedTest
  @MethodSource("withSheaves")
  void aSheafInTwoPlacesIsToldByTheWordThatLeadsToIt(Layout layout) {
    FakeImage image = image(layout);
    Optional<SheafImage> inBarn =
        image.cache("victim").sheaves().stream()
            .filter(one -> one.place() == SheafImage.Place.BARN_FULL)
            .findFirst();
    assumeThat(inBarn).isPresent(); // not every layout's sample has one
    SheafImage full = inBarn.orElseThrow();
    long perCpu =
        image.word(image.member("kmem_cache", image.cache("victim").address(), "cpu_sheaves"));
    long copy = image.kernel().perCpu().address(perCpu, 0);
    image.corruptWord(image.member("slub_percpu_sheaves", copy, "spare"), full.address());

    SlabFault.Stray stray =
        image.survey().faults().stream()
            .filter(SlabFault.Stray.class::isInstance)
            .map(SlabFault.Stray.class::cast)
            .findFirst()
            .orElseThrow();
    assertThat(stray.raw()).isEqualTo(full.address());
    assertThat(image.word(stray.address())).isEqualTo(stray.raw());
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void aWrongNrFullOfABarnIsFound(Layout layout) {
    FakeImage image = image(layout);
    long barn = image.cache("victim").barn(0);
    image.flipBit(image.member("node_barn", barn, "nr_full"), 3);
    assertThat(onlyFault(image, SlabFault.Count.class).counter()).isEqualTo("node_barn.nr_full");
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void aSheafOfAnotherCacheIsFound(Layout layout) {
    FakeImage image = image(layout);
    SheafImage sheaf = sheaf(image, SheafImage.Place.MAIN);
    image.corruptWord(
        image.member("slab_sheaf", sheaf.address(), "cache"), image.cache("bystander").address());
    SlabFault.Sheaf wrong = onlyFault(image, SlabFault.Sheaf.class);
    assertThat(wrong.address()).isEqualTo(image.member("slab_sheaf", sheaf.address(), "cache"));
    assertThat(wrong.right()).isEqualTo(image.cache("victim").address());
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void aSlabWhoseCacheIsWildIsOneFaultThoughSheavesPointIntoIt(Layout layout) {
    FakeImage image = image(layout);
    long object = sheaf(image, SheafImage.Place.MAIN).objects().getFirst();
    SlabImage slab =
        image.cache("victim").slabs().stream()
            .filter(s -> object >= s.base() && object < s.base() + (4096L << s.order()))
            .findFirst()
            .orElseThrow();
    image.corruptWord(image.member(slab, "slab_cache"), 0x4141_4141_4141_4141L);
    assertThat(image.survey().faults())
        .filteredOn(fault -> fault instanceof SlabFault.Entry)
        .isEmpty();
    assertThat(image.survey().faults())
        .anyMatch(
            fault -> fault instanceof SlabFault.Owner owner && owner.slab() == slab.address());
  }

  /// Four pages hold as many objects as the cache puts in a slab; the number is that of the smaller
  /// slabs that it makes when memory is short. [HealthyImagesTest] has such slabs.
  @ParameterizedTest
  @MethodSource("layouts")
  void aNumberOfObjectsThatOnlyFitsASmallerSlabIsTheFault(Layout layout) {
    FakeImage image =
        FakeKernel.of(layout)
            .seed(7)
            .cache(FakeCache.named("large", 1024).order(2).partial(3).full(2))
            .build();
    SlabImage slab =
        image.cache("large").slabs(SlabImage.Place.NODE_PARTIAL).stream()
            .filter(one -> one.objects() == 16)
            .findFirst()
            .orElseThrow();
    image.corrupt(image.member(slab, "counters") + 2, (byte) 4);
    assertThat(onlyFault(image, SlabFault.Count.class).counter()).isEqualTo("slab.objects");
  }
}
