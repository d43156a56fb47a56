package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;

import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.testing.CacheFlag;
import org.vmcheck.testing.CacheImage;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SheafImage;
import org.vmcheck.testing.SlabImage;

/// The bytes that debugging options fix: what kernels leave there by right is no fault, and damage
/// is found beside it.
class DebugPatternsTest {
  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  private static final int OBJECT_SIZE = 104;

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(5)
        .cache(FakeCache.named("victim", OBJECT_SIZE).debug().partial(3).full(2))
        .build();
  }

  private static SlabImage partial(FakeImage image) {
    return image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> slab.freelist().size() >= 3 && slab.freelist().size() < slab.objects())
        .findFirst()
        .orElseThrow();
  }

  private static int allocated(SlabImage slab) {
    return IntStream.range(0, slab.objects())
        .filter(i -> !slab.isFree(i))
        .findFirst()
        .orElseThrow();
  }

  /// What SLUB does after it found an error: no free objects, all in use, on no list.
  private static void isolate(FakeImage image, SlabImage slab) {
    boolean hasList = image.layout().has(image.layout().slabStruct(), "slab_list");
    long list = image.member(slab, hasList ? "slab_list" : "lru");
    long next = image.word(list);
    long prev = image.word(list + 8);
    image.corruptWord(next + 8, prev);
    image.corruptWord(prev, next);
    image.corruptWord(list, 0xdead_0000_0000_0100L);
    image.corruptWord(list + 8, 0xdead_0000_0000_0122L);
    CacheImage cache = slab.cache();
    long counter = image.member("kmem_cache_node", cache.node(slab.node()), "nr_partial");
    image.corruptWord(counter, image.word(counter) - 1);
    image.corruptWord(image.member(slab, "freelist"), 0);
    setInuse(image, slab, slab.objects());
  }

  private static void setInuse(FakeImage image, SlabImage slab, int inuse) {
    long counters = image.member(slab, "counters");
    image.corruptWord(counters, (image.word(counters) & ~0xffffL) | inuse);
  }

  private static List<SlabFault.Pattern> patterns(SlabSurvey survey) {
    return survey.faults().stream()
        .map(fault -> fault instanceof SlabFault.Pattern pattern ? pattern : null)
        .toList();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theFreeObjectsOfASlabThatTheKernelIsolatedAreNoDamage(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image);
    isolate(image, slab);
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.transients())
        .filteredOn(instant -> instant.what().contains("red zones"))
        .singleElement()
        .satisfies(
            instant -> {
              assertThat(instant.what()).startsWith(slab.freelist().size() + " objects");
              assertThat(instant.why()).contains("isolated");
            });
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void damageInASlabThatTheKernelIsolatedIsFound(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image);
    isolate(image, slab);
    int freed = slab.freelist().getFirst();
    int other = slab.freelist().getLast();
    int held = allocated(slab);
    image.corrupt(slab.object(freed) + 16, (byte) 1, (byte) 2);
    image.corrupt(slab.object(other) + OBJECT_SIZE, (byte) 0);
    image.corrupt(slab.object(held) + OBJECT_SIZE, (byte) 0);
    List<SlabFault.Pattern> found = patterns(image.survey());
    assertThat(found)
        .extracting(SlabFault.Pattern::index, SlabFault.Pattern::zone, SlabFault.Pattern::free)
        .containsExactlyInAnyOrder(
            tuple(freed, SlabFault.Zone.POISON, true),
            tuple(other, SlabFault.Zone.RIGHT_RED_ZONE, true),
            tuple(held, SlabFault.Zone.RIGHT_RED_ZONE, false));
  }

  /// List and counters have let go of the object, init_object has not come to it.
  @ParameterizedTest
  @MethodSource("layouts")
  void anObjectThatACpuHandsOutIsNoDamage(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image);
    image.corruptWord(image.member(slab, "freelist"), slab.object(slab.freelist().get(1)));
    setInuse(image, slab, slab.objects() - slab.freelist().size() + 1);
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).isEmpty();
    assertThat(survey.transients())
        .singleElement()
        .satisfies(instant -> assertThat(instant.what()).startsWith("an object"));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void oneZoneOfAFreeObjectAroundAnAllocatedOneIsDamage(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image);
    int held = allocated(slab);
    image.fill(slab.object(held) - slab.cache().pad(), 0xbb, slab.cache().pad());
    SlabSurvey survey = image.survey();
    assertThat(patterns(survey))
        .singleElement()
        .satisfies(
            fault -> {
              assertThat(fault.index()).isEqualTo(held);
              assertThat(fault.free()).isFalse();
              assertThat(fault.zone()).isEqualTo(SlabFault.Zone.LEFT_RED_ZONE);
            });
    assertThat(survey.transients()).isEmpty();
  }

  /// Then the counter is the finding, and nothing is said to be legal.
  @ParameterizedTest
  @MethodSource("layouts")
  void freeObjectsThatTheCountersMissAreTheCountersFinding(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image);
    image.corruptWord(image.member(slab, "freelist"), slab.object(slab.freelist().get(2)));
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).singleElement().isInstanceOf(SlabFault.Count.class);
    assertThat(survey.transients()).isEmpty();
  }

  // ---- object extensions inside the slab (7.0 on)

  static Stream<Layout> withStride() {
    return layouts().filter(layout -> layout.has("slab", "stride"));
  }

  private static void extend(FakeImage image, SlabImage slab, long first, int stride) {
    for (int i = 0; i < slab.objects(); i++) {
      image.corruptWord(first + (long) i * stride, i % 3 == 0 ? 0 : 0xffff_8880_1234_5678L);
    }
    // The lowest flag says that these are extensions and not one cgroup.
    image.corruptWord(image.member(slab, "obj_exts"), first | 1);
    long word = image.member(slab, "counters");
    image.corruptWord(word, (image.word(word) & 0xffff_ffffL) | (long) stride << 32);
  }

  @ParameterizedTest
  @MethodSource("withStride")
  void extensionsInTheTailOfTheSlabAreNoDamage(Layout layout) {
    FakeImage image =
        FakeKernel.of(layout)
            .seed(5)
            .cache(FakeCache.named("victim", 640).debug().order(2).partial(3).full(2))
            .build();
    SlabImage slab = image.cache("victim").slabs().getFirst();
    long tail = slab.base() + (long) slab.objects() * slab.cache().size();
    long end = slab.base() + (4096L << slab.order());
    assertThat(end - tail).isGreaterThan(8L * slab.objects() + 8);
    extend(image, slab, tail, 8);
    assertThat(image.survey().faults()).isEmpty();
    image.corrupt(end - 1, (byte) 0);
    assertThat(patterns(image.survey()))
        .singleElement()
        .satisfies(
            fault -> {
              assertThat(fault.zone()).isEqualTo(SlabFault.Zone.SLAB_TAIL);
              assertThat(fault.address()).isEqualTo(end - 1);
            });
  }

  @ParameterizedTest
  @MethodSource("withStride")
  void extensionsInTheObjectsAreNoDamage(Layout layout) {
    FakeImage image =
        FakeKernel.of(layout)
            .seed(5)
            .cache(FakeCache.named("victim", 24).debug().align(64).partial(3).full(2))
            .build();
    SlabImage slab = image.cache("victim").slabs().getFirst();
    CacheImage cache = slab.cache();
    long first = slab.object(0) + metadataEnd(image, cache);
    long room = slab.object(0) - cache.pad() + cache.size() - first;
    assertThat(room).isGreaterThan(8);
    extend(image, slab, first, cache.size());
    assertThat(image.survey().faults()).isEmpty();
    // The byte behind an extension is padding as before.
    image.corrupt(first + cache.size() + 8, (byte) 0);
    assertThat(patterns(image.survey()))
        .singleElement()
        .satisfies(
            fault -> {
              assertThat(fault.zone()).isEqualTo(SlabFault.Zone.PADDING);
              assertThat(fault.index()).isEqualTo(1);
            });
  }

  /// A vector elsewhere says nothing of this slab's bytes.
  @ParameterizedTest
  @MethodSource("withStride")
  void extensionsElsewhereExcuseNothing(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = image.cache("victim").slabs().getFirst();
    extend(image, slab, image.cache("kmalloc-1024").slabs().getFirst().object(0), 8);
    long padding = slab.object(0) + metadataEnd(image, slab.cache());
    image.corrupt(padding, (byte) 0);
    assertThat(patterns(image.survey()))
        .singleElement()
        .satisfies(fault -> assertThat(fault.zone()).isEqualTo(SlabFault.Zone.PADDING));
  }

  /// Behind the free pointer and the tracks.
  private static long metadataEnd(FakeImage image, CacheImage cache) {
    return cache.offset() + 8 + 2 * image.kernel().struct("track").orElseThrow().size();
  }

  // ---- init_on_free where the requested size is kept

  static Stream<Layout> withKmallocFlag() {
    return layouts().filter(layout -> layout.has("slab"));
  }

  private static final int BUCKET = 96;

  private static FakeImage tracked(Layout layout) {
    return FakeKernel.of(layout)
        .seed(5)
        .initOnFree()
        .cache(
            FakeCache.named("kmalloc-96", BUCKET)
                .flag(CacheFlag.STORE_USER)
                .align(32)
                .outside()
                .noCpuSlabs()
                .partial(3))
        .build();
  }

  private static SlabImage trackedSlab(FakeImage image) {
    return image.cache("kmalloc-96").slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> !slab.freelist().isEmpty())
        .findFirst()
        .orElseThrow();
  }

  @ParameterizedTest
  @MethodSource("withKmallocFlag")
  void onlyTheRequestedBytesOfAFreeObjectAreCleared(Layout layout) {
    FakeImage image = tracked(layout);
    SlabImage slab = trackedSlab(image);
    int freed = slab.freelist().getFirst();
    image.corruptWord(slab.object(freed) + metadataEnd(image, slab.cache()), 40);
    image.fill(slab.object(freed) + 40, 0x77, BUCKET - 40);
    assertThat(image.survey().faults()).isEmpty();
    image.corrupt(slab.object(freed) + 39, (byte) 1);
    assertThat(patterns(image.survey()))
        .singleElement()
        .satisfies(
            fault -> {
              assertThat(fault.zone()).isEqualTo(SlabFault.Zone.ZEROED);
              assertThat(fault.address()).isEqualTo(slab.object(freed) + 39);
              assertThat(fault.end()).isEqualTo(slab.object(freed) + 40);
            });
  }

  @ParameterizedTest
  @MethodSource("withKmallocFlag")
  void withoutARequestedSizeAllOfAFreeObjectIsCleared(Layout layout) {
    FakeImage image = tracked(layout);
    SlabImage slab = trackedSlab(image);
    int freed = slab.freelist().getFirst();
    image.corruptWord(slab.object(freed) + metadataEnd(image, slab.cache()), 0);
    assertThat(image.survey().faults()).isEmpty();
    image.corrupt(slab.object(freed) + BUCKET - 1, (byte) 1);
    assertThat(patterns(image.survey()))
        .singleElement()
        .satisfies(fault -> assertThat(fault.zone()).isEqualTo(SlabFault.Zone.ZEROED));
  }

  // ---- the red zone inside an object of which less was asked for

  private static FakeImage sized(Layout layout, boolean isFilled) {
    FakeImage image =
        FakeKernel.of(layout)
            .seed(5)
            .cache(FakeCache.named("kmalloc-96", BUCKET).debug().align(32).partial(3).full(3))
            .build();
    CacheImage cache = image.cache("kmalloc-96");
    long at = metadataEnd(image, cache);
    for (SlabImage slab : cache.slabs()) {
      for (int i = 0; i < slab.objects(); i++) {
        int asked = 96 - 7 * (i % 5);
        image.corrupt(slab.object(i) + at, (byte) asked, (byte) 0, (byte) 0, (byte) 0);
        if (isFilled && !slab.isFree(i)) {
          image.fill(slab.object(i) + asked, 0xcc, 96 - asked);
        }
      }
    }
    return image;
  }

  @ParameterizedTest
  @MethodSource("withKmallocFlag")
  void bytesThatWereNotAskedForAreARedZoneWhereTheObjectsShowIt(Layout layout) {
    FakeImage image = sized(layout, true);
    SlabImage slab = image.cache("kmalloc-96").slabs(SlabImage.Place.FULL).getFirst();
    assertThat(image.survey().faults()).isEmpty();
    // Of object 4 68 bytes were asked for.
    image.corrupt(slab.object(4) + 68, (byte) 0);
    assertThat(patterns(image.survey()))
        .singleElement()
        .satisfies(
            fault -> {
              assertThat(fault.index()).isEqualTo(4);
              assertThat(fault.zone()).isEqualTo(SlabFault.Zone.RIGHT_RED_ZONE);
              assertThat(fault.address()).isEqualTo(slab.object(4) + 68);
            });
  }

  /// As in 6.1, which keeps the size and fills nothing.
  @ParameterizedTest
  @MethodSource("withKmallocFlag")
  void whereNoObjectShowsARedZoneInsideItThereIsNone(Layout layout) {
    assertThat(sized(layout, false).survey().faults()).isEmpty();
  }

  /// `init_object` writes the zone on the left, then the poison, then the zone on the right, which
  /// begins where what was asked for ends.
  @ParameterizedTest
  @MethodSource("withKmallocFlag")
  void theRedZoneInsideAnObjectThatACpuIsChangingIsNoDamage(Layout layout) {
    for (boolean isFreed : new boolean[] {false, true}) {
      FakeImage image = sized(layout, true);
      CacheImage cache = image.cache("kmalloc-96");
      SlabImage slab = cache.slabs(SlabImage.Place.FULL).getFirst();
      long object = slab.object(4); // 68 bytes
      image.fill(object - cache.pad(), isFreed ? 0xbb : 0xcc, cache.pad());
      image.fill(object, 0x6b, 95);
      image.corrupt(object + 95, (byte) 0xa5);
      image.fill(object + 96, isFreed ? 0xcc : 0xbb, 8);
      image.corruptWord(image.member("kmem_cache_node", cache.node(0), "list_lock"), 1);
      SlabSurvey survey = image.survey();
      assertThat(survey.faults()).isEmpty();
      assertThat(survey.transients()).hasSize(1);
    }
  }

  // ---- objects in sheaves

  static Stream<Layout> withSheaves() {
    return layouts().filter(layout -> layout.has("kmem_cache", "cpu_sheaves"));
  }

  /// With objects that wait for a grace period, which are not cleared yet.
  private static FakeImage withRcuFree(Layout layout) {
    for (int seed = 1; seed < 100; seed++) {
      FakeImage image =
          FakeKernel.of(layout)
              .seed(seed)
              .initOnFree()
              .contents(FakeKernel.Contents.TEXT)
              .cache(FakeCache.named("victim", 240).partial(3).sheaves(12))
              .build();
      List<SheafImage> sheaves = image.cache("victim").sheaves();
      if (hasObjects(sheaves, SheafImage.Place.RCU_FREE)
          && hasObjects(sheaves, SheafImage.Place.MAIN)) {
        return image;
      }
    }
    throw new AssertionError("no seed gives one");
  }

  private static boolean hasObjects(List<SheafImage> sheaves, SheafImage.Place place) {
    return sheaves.stream().anyMatch(sheaf -> sheaf.place() == place && !sheaf.objects().isEmpty());
  }

  @ParameterizedTest
  @MethodSource("withSheaves")
  void aWriteToAnObjectInASheafIsFound(Layout layout) {
    FakeImage image = withRcuFree(layout);
    assertThat(image.survey().faults()).isEmpty();
    long object =
        image.cache("victim").sheaves().stream()
            .filter(sheaf -> sheaf.place() == SheafImage.Place.MAIN && !sheaf.objects().isEmpty())
            .findFirst()
            .orElseThrow()
            .objects()
            .getFirst();
    image.corrupt(object + 9, (byte) 1);
    assertThat(patterns(image.survey()))
        .singleElement()
        .satisfies(
            fault -> {
              assertThat(fault.zone()).isEqualTo(SlabFault.Zone.ZEROED);
              assertThat(fault.address()).isEqualTo(object + 9);
            });
  }

  // ---- where the first and the last wrong byte are

  @ParameterizedTest
  @MethodSource("layouts")
  void theWrongBytesOfAZoneAreCounted(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image);
    long object = slab.object(slab.freelist().getFirst());
    image.corrupt(object + 16, (byte) 1);
    image.corrupt(object + 20, (byte) 2);
    assertThat(patterns(image.survey()))
        .singleElement()
        .satisfies(
            fault -> {
              assertThat(fault.address()).isEqualTo(object + 16);
              assertThat(fault.end()).isEqualTo(object + 21);
              assertThat(fault.wrong()).isEqualTo(2);
              assertThat(fault.expected()).isEqualTo(0x6b);
            });
  }

  /// Linux `include/linux/poison.h`, POISON_END.
  @ParameterizedTest
  @MethodSource("layouts")
  void theLastByteOfAFreeObjectIsAnother(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = partial(image);
    long last = slab.object(slab.freelist().getFirst()) + OBJECT_SIZE - 1;
    image.corrupt(last, (byte) 0x6b);
    assertThat(patterns(image.survey()))
        .singleElement()
        .satisfies(
            fault -> {
              assertThat(fault.zone()).isEqualTo(SlabFault.Zone.POISON);
              assertThat(fault.address()).isEqualTo(last);
              assertThat(fault.end()).isEqualTo(last + 1);
              assertThat(fault.expected()).isEqualTo(0xa5);
            });
  }

  // ---- tracks

  private static long trackWord(
      FakeImage image, SlabImage slab, int object, int which, String member) {
    StructLayout track = image.kernel().struct("track").orElseThrow();
    return slab.object(object)
        + slab.cache().offset()
        + 8
        + which * track.size()
        + track.member(member).orElseThrow().offset();
  }

  private static SlabFault.Pattern onlyTrack(FakeImage image) {
    List<SlabFault.Pattern> found = patterns(image.survey());
    assertThat(found).hasSize(1);
    assertThat(found.getFirst().zone()).isEqualTo(SlabFault.Zone.TRACKING);
    return found.getFirst();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aTrackNamesCode(Layout layout) {
    List<String> kinds = List.of("allocation", "free");
    for (int which = 0; which < kinds.size(); which++) {
      FakeImage image = image(layout);
      SlabImage slab = partial(image);
      int held = allocated(slab);
      long addr = trackWord(image, slab, held, which, "addr");
      image.corruptWord(addr, 0x4141_4141_4141_4141L);
      SlabFault.Pattern fault = onlyTrack(image);
      assertThat(fault.index()).isEqualTo(held);
      assertThat(fault.address()).isEqualTo(addr);
      assertThat(fault.end()).isEqualTo(addr + 8);
      assertThat(fault.why())
          .isEqualTo(
              "the %s track names 0x4141414141414141, which is no code address"
                  .formatted(kinds.get(which)));
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aTrackNamesACpuThatThereIs(Layout layout) {
    long cpus = image(layout).kernel().variable32("nr_cpu_ids").orElseThrow();
    for (long cpu : new long[] {0, cpus - 1, cpus, 0xffff_ffffL}) {
      FakeImage image = image(layout);
      SlabImage slab = partial(image);
      int held = allocated(slab);
      long at = trackWord(image, slab, held, 0, "cpu");
      // Who never filled a track left no address: then its CPU says nothing.
      image.corruptWord(trackWord(image, slab, held, 0, "addr"), 0);
      image.corrupt(at, (byte) cpu, (byte) (cpu >> 8), (byte) (cpu >> 16), (byte) (cpu >> 24));
      assertThat(image.survey().faults()).isEmpty();

      image.corruptWord(
          trackWord(image, slab, held, 0, "addr"), image.kernel().symbol("_stext").orElseThrow());
      if (cpu < cpus) {
        assertThat(image.survey().faults()).isEmpty();
        continue;
      }
      SlabFault.Pattern fault = onlyTrack(image);
      assertThat(fault.address()).isEqualTo(at);
      assertThat(fault.end()).isEqualTo(at + 4);
      assertThat(fault.why())
          .startsWith("the allocation track names cpu %d of %d (".formatted((int) cpu, cpus));
    }
  }

  // ---- zones that a CPU is changing

  /// Bytes of neither kind are damage, also while list_lock is held.
  @ParameterizedTest
  @MethodSource("layouts")
  void aByteOfNeitherKindIsDamageThoughACpuMayChangeTheZones(Layout layout) {
    FakeImage image = image(layout);
    SlabImage slab = image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
    long lock = image.member("kmem_cache_node", slab.cache().node(slab.node()), "list_lock");
    image.corrupt(lock, (byte) 1);
    image.fill(slab.object(0) - slab.cache().pad(), 0xbb, slab.cache().pad());
    assertThat(image.survey().faults()).isEmpty();

    image.corrupt(slab.object(0) + OBJECT_SIZE, (byte) 0x41);
    assertThat(patterns(image.survey()))
        .extracting(SlabFault.Pattern::index)
        .isNotEmpty()
        .containsOnly(0);
  }
}
