package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Finding;
import org.vmcheck.search.KernelFinder;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabFlags;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;
import org.vmcheck.testing.TestData;

/// One wrong word in a cache, a list or a counter: one finding, at that word. The healthy twins
/// stay silent.
class CacheMembersTest {
  static Stream<Layout> layouts() {
    return Layout.ALL.stream();
  }

  static Stream<Layout> withReciprocals() {
    return layouts().filter(layout -> layout.has("kmem_cache", "reciprocal_size"));
  }

  static Stream<Layout> withSecrets() {
    return layouts().filter(layout -> layout.has("kmem_cache", "random"));
  }

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(11)
        .cache(FakeCache.named("victim", 232).partial(4))
        .cache(FakeCache.named("bystander", 232))
        .cache(FakeCache.named("wide", 192).align(64))
        .cache(FakeCache.named("odd", 37))
        .cache(FakeCache.named("made", 100).constructor())
        .cache(FakeCache.named("debugged", 72).debug())
        .cache(FakeCache.named("fenced", 64).redZones())
        .cache(FakeCache.named("roomy", 100).align(64))
        .build();
  }

  /// A kernel whose victim has one list, of three objects or more.
  private static FakeImage withOneList(Layout layout) {
    for (int seed = 11; ; seed++) {
      FakeImage image =
          FakeKernel.of(layout)
              .seed(seed)
              .cache(FakeCache.named("victim", 240).partial(1).sheaves(0).noCpuSlabs())
              .cache(FakeCache.named("bystander", 240).partial(3))
              .build();
      if (image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).getFirst().freelist().size()
          >= 3) {
        return image;
      }
    }
  }

  private static CheckContext context(FakeImage image) {
    return new CheckContext(
        image.dump(), new KernelSearch.Found(image.kernel()), 1, false, () -> false);
  }

  private static List<Finding> findings(CheckContext context) {
    return Stream.of(
            new SlabFreelistCheck(),
            new SlabCountsCheck(),
            new SlabListsCheck(),
            new SlabPoisonCheck())
        .map(check -> check.run(context))
        .filter(CheckOutcome.Ran.class::isInstance)
        .map(CheckOutcome.Ran.class::cast)
        .flatMap(ran -> ran.findings().stream())
        .toList();
  }

  private static Finding only(FakeImage image, long address, Cause cause) {
    List<Finding> findings = findings(context(image));
    assertThat(findings).as(image.layout().name()).hasSize(1);
    assertThat(findings.getFirst().subject().address()).isEqualTo(address);
    assertThat(findings.getFirst().cause()).isEqualTo(cause);
    return findings.getFirst();
  }

  private static long member(FakeImage image, String cache, String name) {
    return image.member("kmem_cache", image.cache(cache).address(), name);
  }

  private static FakeImage put32(FakeImage image, long address, long value) {
    return image.corrupt(
        address, (byte) value, (byte) (value >>> 8), (byte) (value >>> 16), (byte) (value >>> 24));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aHealthyCacheHasNoWrongMember(Layout layout) {
    assertThat(findings(context(image(layout)))).isEmpty();
    assertThat(findings(context(FakeKernel.of(layout).seed(7).build()))).isEmpty();
  }

  @Test
  void noCacheOfARealDumpHasAWrongMember() throws Exception {
    for (TestData data : TestData.all()) {
      try (Dump dump = Dumps.open(data.dump())) {
        KernelSearch search = KernelFinder.find(dump);
        CheckContext context = new CheckContext(dump, search, 1, false, () -> false);
        if (context.kernel().isPresent()) {
          assertThat(context.wrongMembers()).as(data.toString()).isEmpty();
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aFlippedBitOfANumberIsFoundAtIt(Layout layout) {
    for (String name : List.of("size", "object_size", "oo", "min", "offset")) {
      FakeImage image = image(layout);
      long address = member(image, "victim", name);
      // Far above what any of them holds.
      image.flipBit(address, 29);
      List<Finding> found = findings(context(image));
      assertThat(found)
          .as(layout.name() + " " + name)
          .anySatisfy(
              finding -> {
                assertThat(finding.subject().address()).isEqualTo(address);
                assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
              });
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aFlippedCountOfObjectsIsToldByMinAndSize(Layout layout) {
    FakeImage image = image(layout);
    long address = member(image, "victim", "oo");
    image.flipBit(address, 2);
    assertThat(findings(context(image)))
        .filteredOn(finding -> finding.cause() == Cause.BIT_FLIP)
        .extracting(finding -> finding.subject().address())
        .containsExactly(address);
  }

  @ParameterizedTest
  @MethodSource("withReciprocals")
  void aWrongReciprocalIsFound(Layout layout) {
    FakeImage image = image(layout);
    long address = member(image, "victim", "reciprocal_size");
    image.flipBit(address, 17);
    only(image, address, Cause.BIT_FLIP);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anAlignmentThatIsNoPowerOfTwoIsFound(Layout layout) {
    FakeImage image = image(layout);
    long address = member(image, "wide", "align");
    image.flipBit(address, 4);
    only(image, address, Cause.BIT_FLIP);
    image = image(layout);
    put32(image, address, 0);
    assertThat(findings(context(image)))
        .singleElement()
        .satisfies(one -> assertThat(one.subject().address()).isEqualTo(address));
  }

  /// A driver may ask for any alignment: 24 becomes (232 + 23) & -24 = 232.
  @ParameterizedTest
  @MethodSource("layouts")
  void anOddAlignmentThatTheSizeWasRoundedWithIsLegal(Layout layout) {
    FakeImage image = image(layout);
    put32(image, member(image, "victim", "align"), 24);
    assertThat(findings(context(image))).isEmpty();
  }

  /// The kernel raises object_size first; the symbol of the mutex is not in these images.
  @ParameterizedTest
  @MethodSource("layouts")
  void aCacheThatIsBeingMergedIsLegal(Layout layout) {
    FakeImage image = image(layout);
    put32(image, member(image, "roomy", "object_size"), 112);
    put32(image, member(image, "roomy", "refcount"), 2);
    assertThat(findings(context(image))).isEmpty();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anInuseBelowTheObjectIsFound(Layout layout) {
    FakeImage image = image(layout);
    long address = member(image, "victim", "inuse");
    image.flipBit(address, 6);
    only(image, address, Cause.BIT_FLIP);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aNameThatPointsNowhereIsFound(Layout layout) {
    FakeImage image = image(layout);
    long address = member(image, "bystander", "name");
    image.flipBit(address, 46);
    only(image, address, Cause.BIT_FLIP);
    image = image(layout);
    image.corruptWord(address, 0);
    only(image, address, Cause.METADATA_OVERWRITTEN);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aConstructorThatIsNoCodeIsFound(Layout layout) {
    FakeImage image = image(layout);
    long address = member(image, "made", "ctor");
    image.flipBit(address, 40);
    only(image, address, Cause.BIT_FLIP);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aCacheThatIsDestroyedCountsNothing(Layout layout) {
    FakeImage image = image(layout);
    put32(image, member(image, "bystander", "refcount"), 0);
    assertThat(findings(context(image))).isEmpty();
    put32(image, member(image, "bystander", "refcount"), -5);
    only(image, member(image, "bystander", "refcount"), Cause.BIT_FLIP);
  }

  /// Debugging options that a flipped bit turned on are one finding and not one an object.
  @ParameterizedTest
  @MethodSource("layouts")
  void aFlagThatTheObjectsHaveNoRoomForIsFound(Layout layout) {
    SlabFlags flags = SlabCaches.of(image(layout).kernel()).layout().orElseThrow().flags();
    for (long mask : List.of(flags.redZone(), flags.poison(), flags.storeUser())) {
      FakeImage image = image(layout);
      long address = member(image, "victim", "flags");
      image.flipBit(address, Long.numberOfTrailingZeros(mask));
      only(image, address, Cause.BIT_FLIP);
    }
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aWrongInuseOfADebugCacheIsNotAFindingAnObject(Layout layout) {
    FakeImage image = image(layout);
    long address = member(image, "debugged", "inuse");
    image.flipBit(address, 3);
    assertThat(findings(context(image)))
        .singleElement()
        .satisfies(one -> assertThat(one.subject().address()).isEqualTo(address));
  }

  /// Without the flag the records of users are taken for padding.
  @ParameterizedTest
  @MethodSource("layouts")
  void aLostFlagIsOneFindingAndTheTwinWithOneBadObjectAnother(Layout layout) {
    FakeImage image = image(layout);
    long address = member(image, "debugged", "flags");
    SlabFlags flags = SlabCaches.of(image.kernel()).layout().orElseThrow().flags();
    image.flipBit(address, Long.numberOfTrailingZeros(flags.storeUser()));
    assertThat(findings(context(image)))
        .filteredOn(one -> one.check().equals("slab.poison"))
        .singleElement()
        .satisfies(one -> assertThat(one.subject().address()).isEqualTo(address));

    FakeImage twin = image(layout);
    long payloadEnd = twin.cache("debugged").slabs().getFirst().object(1) + 72;
    twin.corrupt(payloadEnd, (byte) 0x41);
    assertThat(findings(context(twin)))
        .singleElement()
        .satisfies(one -> assertThat(one.cause()).isEqualTo(Cause.REDZONE_OVERWRITTEN));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aLostRedZoneFlagIsToldByInuse(Layout layout) {
    FakeImage image = image(layout);
    long address = member(image, "fenced", "flags");
    SlabFlags flags = SlabCaches.of(image.kernel()).layout().orElseThrow().flags();
    image.flipBit(address, Long.numberOfTrailingZeros(flags.redZone()));
    assertThat(findings(context(image)))
        .anySatisfy(
            one -> {
              assertThat(one.subject().address()).isEqualTo(address);
              assertThat(one.cause()).isEqualTo(Cause.BIT_FLIP);
            });
  }

  @ParameterizedTest
  @MethodSource("withSecrets")
  void aSecretIsToldByOneListAlone(Layout layout) {
    FakeImage image = withOneList(layout);
    SlabImage slab = image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    assertThat(slab.freelist()).hasSizeGreaterThanOrEqualTo(3);
    long address = member(image, "victim", "random");
    image.corruptWord(address, 0x2e6d_6f64_6e61_7221L);
    only(image, address, Cause.METADATA_OVERWRITTEN);
  }

  /// The twin: the same list with a word overwritten is still a write to that word.
  @ParameterizedTest
  @MethodSource("withSecrets")
  void aBadPointerInTheOnlyListIsNoSecret(Layout layout) {
    FakeImage image = withOneList(layout);
    SlabImage slab = image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).getFirst();
    long slot = slab.slot(slab.freelist().getFirst());
    image.corruptWord(slot, 0x2e6d_6f64_6e61_7221L);
    assertThat(findings(context(image)))
        .singleElement()
        .satisfies(one -> assertThat(one.subject().address()).isEqualTo(slot));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theLinkOfACacheIsFoundAtItsWord(Layout layout) {
    FakeImage image = image(layout);
    long link = member(image, "bystander", "list") + 8;
    image.flipBit(link, 21);
    only(image, link, Cause.BIT_FLIP);
    image = image(layout);
    image.corruptWord(link, 0x6b6b_6b6b_6b6b_6b6bL);
    only(image, link, Cause.LIST_BROKEN);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aHeadThatLeadsToItselfIsToldByTheCount(Layout layout) {
    FakeImage image = image(layout);
    long head = image.member("kmem_cache_node", image.cache("victim").node(0), "partial");
    image.corruptWord(head, head);
    Finding finding = only(image, head, Cause.LIST_BROKEN);
    assertThat(finding.claim()).contains("the word next at 0x%x".formatted(head));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aHighBitOfACounterIsAFlip(Layout layout) {
    FakeImage image = image(layout);
    long counter = image.member("kmem_cache_node", image.cache("victim").node(0), "nr_partial");
    image.flipBit(counter, 33);
    only(image, counter, Cause.BIT_FLIP);
  }
}
