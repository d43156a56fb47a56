package org.vmcheck.attribution;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.Freelist;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// One broken freelist of one kernel, and each sentence that is said of it.
class FreelistDiagnosisTest {
  private static final long ODD = 0x4141_4242_4343_4445L;

  private final FakeImage image =
      FakeKernel.of(Layout.V6_1)
          .seed(3)
          .cache(FakeCache.named("victim", 256).partial(12).full(2).sheaves(0))
          .cache(FakeCache.named("other", 192).partial(4).sheaves(0))
          .build();
  private final SlabImage slab =
      image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
          .filter(one -> one.freelist().size() >= 6)
          .findFirst()
          .orElseThrow();
  private final List<Integer> order = slab.freelist();

  private long slot(int position) {
    return slab.slot(order.get(position));
  }

  private long object(int position) {
    return slab.object(order.get(position));
  }

  private void link(int position, long next) {
    image.corruptWord(slot(position), image.encoded(slab, order.get(position), next));
  }

  /// The list as the survey would hand it on, on this slab or, as a CPU's, from one of its objects.
  private List<Diagnosis> diagnose(int cpu) {
    Kernel kernel = image.kernel();
    org.vmcheck.slab.Slab view =
        SlabSurvey.views(kernel, MemMap.of(kernel).orElseThrow(), List.of(slab.pfn()))
            .getFirst()
            .slab();
    FreelistDecoder decoder = decoder(kernel);
    Freelist none = new Freelist(0, new Freelist.End.Closed());
    SlabFault.Broken asked = new SlabFault.Broken(view, cpu, view.freelist(), none);
    Freelist list = BrokenList.of(kernel, decoder, asked).measured().list();
    return FreelistDiagnosis.of(
        kernel, decoder, new SlabFault.Broken(view, cpu, view.freelist(), list));
  }

  private FreelistDecoder decoder(Kernel kernel) {
    return SlabSurvey.run(kernel, MemMap.of(kernel).orElseThrow(), 1, () -> false).vote().decoder();
  }

  private Diagnosis only() {
    List<Diagnosis> all = diagnose(-1);
    assertThat(all).hasSize(1);
    return all.getFirst();
  }

  private static List<String> sentences(List<Evidence> evidence) {
    return evidence.stream().map(Evidence::sentence).toList();
  }

  @Test
  void aFlippedBitIsToldWithItsPlaceAndWhatClosesWithoutIt() {
    image.flipBit(slot(2), 41);

    Diagnosis found = only();

    assertThat(found.cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(found.word().slot()).isEqualTo(slot(2));
    assertThat(found.word().holder()).isEqualTo(order.get(2));
    assertThat(found.word().raw()).isEqualTo(image.word(slot(2)));
    assertThat(found.against()).isEmpty();
    List<String> said = sentences(found.evidence());
    assertThat(said.get(0))
        .isEqualTo(
            "with the bit flipped back the freelist would close, with the length that the slab's"
                + " counters say");
    assertThat(said.get(1))
        .isEqualTo(
            "bit 41 (bit 1 of the byte at physical 0x%x) of the word at 0x%x differs from the word that leads to object %d of the slab, 0x%x"
                .formatted(image.physical(slot(2)) + 5, slot(2), order.get(3), object(3)));
    assertThat(found.evidence().get(1))
        .isEqualTo(
            new Evidence.WordAt(
                slot(2),
                image.physical(slot(2)),
                image.word(slot(2)),
                image.word(slot(2)) ^ 1L << 41,
                said.get(1)));
  }

  @Test
  void twoFlippedBitsArePutBackTogetherAndThreeAreNot() {
    image.flipBit(slot(2), 41);
    image.flipBit(slot(2), 50);
    Diagnosis two = only();
    assertThat(two.cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(sentences(two.evidence()).getFirst()).startsWith("with the bits flipped back");
    assertThat(sentences(two.evidence()).get(1))
        .startsWith("bit 41 (bit 1 of the byte at physical 0x")
        .contains(" and 50 (bit 2 of the byte at physical 0x");

    image.flipBit(slot(2), 58);
    assertThat(only().cause()).isNotEqualTo(Cause.BIT_FLIP);
  }

  /// What two stores of four bytes do, no memory module does.
  @Test
  void theSameBitSetInBothHalvesIsAStore() {
    long word = image.word(slot(2));
    for (int bit = 3; bit < 31; bit++) {
      long both = 1L << bit | 1L << (bit + 32);
      if ((word & both) == 0) {
        image.corruptWord(slot(2), word | both);
        Diagnosis set = only();
        assertThat(set.cause()).isEqualTo(Cause.USE_AFTER_FREE_WRITE);
        assertThat(sentences(set.evidence()))
            .contains(
                "the same bit is set in both halves of the word at 0x%x: two stores of 4 bytes that set a bit do that, and no memory module does"
                    .formatted(slot(2)));
        break;
      }
    }
    for (int bit = 3; bit < 31; bit++) {
      long both = 1L << bit | 1L << (bit + 32);
      if ((word & both) == both) {
        // Cleared, they are two bits as any.
        image.corruptWord(slot(2), word & ~both);
        assertThat(only().cause()).isEqualTo(Cause.BIT_FLIP);
        break;
      }
    }
    assertThat(new Flip(0, 1L << 3 | 1L << 35).isSetInBothHalves(1L << 3 | 1L << 35)).isTrue();
    assertThat(new Flip(0, 1L << 3 | 1L << 35).isSetInBothHalves(1L << 3)).isFalse();
    assertThat(new Flip(0, 1L << 3 | 1L << 36).isSetInBothHalves(-1)).isFalse();
    assertThat(new Flip(0, 1L << 3).isSetInBothHalves(-1)).isFalse();
    assertThat(new Flip(0, 1L << 3).isOneBit()).isTrue();
    assertThat(new Flip(0, 3).count()).isEqualTo(2);
  }

  @Test
  void aWildWordIsToldWithWhatItLooksLikeAndWhatWasBehindIt() {
    image.corruptWord(slot(2), ODD);

    Diagnosis found = only();

    assertThat(found.cause()).isEqualTo(Cause.USE_AFTER_FREE_WRITE);
    List<String> said = sentences(found.evidence());
    int behind = order.size() - 3;
    assertThat(said)
        .contains(
            "if the pointer led to object %d of the slab, 0x%x, where the only chain of %d objects on no list begins, the freelist would close with the length that the slab's counters say"
                .formatted(order.get(3), object(3), behind),
            "by the slab's counters %d free objects are behind the break; %d of the objects on no list still hold free pointers"
                .formatted(behind, behind));
    assertThat(said)
        .anySatisfy(
            one ->
                assertThat(one)
                    .startsWith("after 3 objects the free pointer leads to 0x")
                    .endsWith(", which is not an object of the slab"));
    assertThat(said)
        .anySatisfy(
            one ->
                assertThat(one)
                    .isEqualTo(
                        "the word at 0x%x is 0x4141424243434445 (text \"EDCCBBAA\")"
                            .formatted(slot(2))));
    Evidence.ChainBroken chain =
        found.evidence().stream()
            .filter(Evidence.ChainBroken.class::isInstance)
            .map(Evidence.ChainBroken.class::cast)
            .findFirst()
            .orElseThrow();
    assertThat(chain.from()).isEqualTo(object(2));
    assertThat(chain.step()).isEqualTo(3);
    assertThat(chain.to()).isEqualTo(found.word().decoded());
  }

  @Test
  void withoutAChainBehindTheBreakThatIsSaid() {
    image.corruptWord(slot(1), ODD);
    image.corruptWord(slot(3), ODD + 2);

    List<String> said = sentences(diagnose(-1).getFirst().evidence());

    assertThat(said)
        .contains(
            "no single chain of %d lost objects lies behind the break: another word of the list may be bad too"
                .formatted(order.size() - 2));
    assertThat(said).noneMatch(one -> one.contains("the only chain of"));
  }

  /// Nothing counts a CPU's own list.
  @Test
  void ofACpusListNoLengthIsSaid() {
    image.corruptWord(slot(2), ODD);
    Diagnosis found = diagnose(0).getFirst();
    assertThat(sentences(found.evidence()))
        .noneMatch(one -> one.contains("counters") || one.contains("chain of"));

    image.corruptWord(slot(2), image.encoded(slab, order.get(2), object(3)));
    image.flipBit(slot(2), 41);
    assertThat(sentences(diagnose(0).getFirst().evidence()).getFirst())
        .isEqualTo("with the bit flipped back the freelist would close");
  }

  @Test
  void aCircleIsADoubleFreeOfTheObjectItComesBackTo() {
    link(4, object(1));

    Diagnosis found = only();

    assertThat(found.cause()).isEqualTo(Cause.DOUBLE_FREE);
    assertThat(found.word().slot()).isEqualTo(slot(1));
    assertThat(sentences(found.evidence()))
        .contains(
            "after 5 objects the list comes back to object %d, which it met at step 1"
                .formatted(order.get(1)),
            "the pointer to it is the free pointer of object %d, 0x%016x at 0x%x"
                .formatted(order.get(4), image.word(slot(4)), slot(4)),
            "5 different objects are on the list, the counters say that %d are free"
                .formatted(order.size()),
            "the free pointer of object %d, at 0x%x, is 0x%016x and leads to object %d"
                .formatted(order.get(1), slot(1), image.word(slot(1)), order.get(2)));
  }

  /// Nothing counts a CPU's own list: no length speaks against the circle.
  @Test
  void aCircleOfACpusListIsADoubleFreeToo() {
    link(4, object(1));

    Diagnosis found = diagnose(0).getFirst();

    assertThat(found.cause()).isEqualTo(Cause.DOUBLE_FREE);
    assertThat(found.word().slot()).isEqualTo(slot(1));
    assertThat(sentences(found.evidence()))
        .contains(
            "after 5 objects the list comes back to object %d, which it met at step 1"
                .formatted(order.get(1)))
        .noneMatch(one -> one.contains("counters"));
  }

  /// The word of the object that both lists have is blamed: a second free writes there.
  @Test
  void anObjectThatIsOnTheCpusListTooIsNamedWithItsPointer() {
    link(2, object(4));
    Kernel kernel = image.kernel();
    org.vmcheck.slab.Slab view =
        SlabSurvey.views(kernel, MemMap.of(kernel).orElseThrow(), List.of(slab.pfn()))
            .getFirst()
            .slab();
    Freelist.End end =
        new Freelist.End.OnOtherList(
            order.get(2), slot(2), image.word(slot(2)), object(4), order.get(4));

    Diagnosis found =
        FreelistDiagnosis.of(
                kernel,
                decoder(kernel),
                new SlabFault.Broken(view, -1, view.freelist(), new Freelist(3, end)))
            .getFirst();

    assertThat(found.cause()).isEqualTo(Cause.FREELIST_CROSSLINKED);
    assertThat(found.word())
        .isEqualTo(new BadWord(order.get(4), slot(4), image.word(slot(4)), object(5)));
    assertThat(sentences(found.evidence()))
        .containsExactly(
            "the list leads to object %d, which is on the CPU's freelist already"
                .formatted(order.get(4)),
            "the pointer to it is the free pointer of object %d, 0x%016x at 0x%x"
                .formatted(order.get(2), image.word(slot(2)), slot(2)),
            "the free pointer of object %d, at 0x%x, is 0x%016x and leads to object %d"
                .formatted(order.get(4), slot(4), image.word(slot(4)), order.get(5)));
  }

  @Test
  void aLengthThatDisagreesOnceTheBitIsPutBackIsSaid() {
    image.flipBit(slot(2), 41);
    long counters = image.member(slab, "counters");
    image.corruptWord(counters, image.word(counters) - 1); // inuse is its lowest half-word.

    Diagnosis found = diagnose(-1).getFirst();

    assertThat(found.cause()).isEqualTo(Cause.BIT_FLIP);
    assertThat(sentences(found.evidence()))
        .contains(
            "with the bits flipped back the list has %d objects, the counters say %d: inuse is wrong too, or objects were lost"
                .formatted(order.size(), order.size() + 1));
  }

  /// One object alone is no chain; two are.
  @Test
  void ofOneLostObjectNoChainIsSaid() {
    int last = order.size() - 1;
    image.corruptWord(slot(last - 1), ODD);
    assertThat(sentences(diagnose(-1).getFirst().evidence()))
        .anyMatch(one -> one.startsWith("by the slab's counters 1 free object is behind the break"))
        .noneMatch(one -> one.contains("the only chain of"));

    link(last - 1, object(last));
    image.corruptWord(slot(last - 2), ODD);
    assertThat(sentences(diagnose(-1).getFirst().evidence()))
        .anyMatch(one -> one.contains("where the only chain of 2 objects on no list begins"))
        .anyMatch(
            one -> one.startsWith("by the slab's counters 2 free objects are behind the break"));
  }

  /// All objects that the counters tell of were met before the break: nothing is said to be lost.
  @Test
  void behindABreakAtTheEndNothingIsLost() {
    image.corruptWord(slot(order.size() - 1), ODD);

    assertThat(sentences(diagnose(-1).getFirst().evidence()))
        .noneMatch(one -> one.contains("behind the break") || one.contains("the only chain of"));
  }

  @Test
  void aPointerIntoAnotherSlabNamesItsCache() {
    SlabImage other = image.cache("other").slabs().getFirst();
    link(2, other.object(1));
    Diagnosis found = only();
    assertThat(found.cause()).isEqualTo(Cause.FREELIST_CROSSLINKED);
    assertThat(sentences(found.evidence()))
        .contains("0x%x is an object of cache other".formatted(other.object(1)));

    SlabImage same =
        image.cache("victim").slabs().stream()
            .filter(one -> one.pfn() != slab.pfn())
            .findFirst()
            .orElseThrow();
    link(2, same.object(1));
    assertThat(sentences(only().evidence()))
        .contains("0x%x is an object of another slab of the same cache".formatted(same.object(1)));

    // Into the midst of an object, and into this very slab, it is none.
    link(2, other.object(1) + 8);
    assertThat(only().cause()).isNotEqualTo(Cause.FREELIST_CROSSLINKED);
    link(2, object(3) + 8);
    assertThat(only().cause()).isNotEqualTo(Cause.FREELIST_CROSSLINKED);
  }

  @Test
  void aWordEncodedWithAnotherCachesSecretNamesIt() {
    SlabImage other = image.cache("other").slabs().getFirst();
    long swapped = Long.reverseBytes(slot(2));
    image.corruptWord(slot(2), object(3) ^ swapped ^ secret("other"));
    assertThat(image.encoded(slab, order.get(2), object(3)))
        .isEqualTo(object(3) ^ swapped ^ secret("victim"));
    Diagnosis found = only();
    assertThat(found.cause()).isEqualTo(Cause.FREELIST_CROSSLINKED);
    assertThat(sentences(found.evidence()))
        .contains(
            "with the secret of cache other the word at 0x%x leads to an object of this slab: the object was freed into the wrong cache"
                .formatted(slot(2)));

    image.corruptWord(slot(2), other.object(2) ^ swapped ^ secret("other"));
    assertThat(sentences(only().evidence()))
        .contains("the word at 0x%x was encoded with the secret of cache other".formatted(slot(2)));
  }

  private long secret(String cache) {
    return image.word(image.member("kmem_cache", image.cache(cache).address(), "random"));
  }

  @Test
  void severalFlipsOfOneListAreToldOneByOne() {
    image.flipBit(slot(0), 41);
    image.flipBit(slot(3), 42);
    List<Diagnosis> all = diagnose(-1);
    assertThat(all).extracting(Diagnosis::cause).containsExactly(Cause.BIT_FLIP, Cause.BIT_FLIP);
    assertThat(all).extracting(one -> one.word().slot()).containsExactly(slot(0), slot(3));
  }

  @Test
  void whatIsNotInTheDumpIsNoFaultOfTheKernel() {
    image.exclude(image.physical(slot(0)) >>> 12);
    Diagnosis found = only();
    assertThat(found.cause().isArtefact()).isTrue();
    assertThat(sentences(found.evidence()))
        .containsExactly("the slab page that holds the object is excluded");
    assertThat(found.evidence().getFirst())
        .isInstanceOfSatisfying(
            Evidence.PageLooksLike.class,
            page -> assertThat(page.pfn()).isEqualTo(image.physical(slot(0)) >>> 12));
  }

  @Test
  void theTargetsAreTheEndAndWhatTheListDidNotMeet() {
    link(2, object(0));
    Kernel kernel = image.kernel();
    org.vmcheck.slab.Slab view =
        SlabSurvey.views(kernel, MemMap.of(kernel).orElseThrow(), List.of(slab.pfn()))
            .getFirst()
            .slab();
    Freelist none = new Freelist(0, new Freelist.End.Closed());
    BrokenList list =
        BrokenList.of(
                kernel, decoder(kernel), new SlabFault.Broken(view, -1, view.freelist(), none))
            .measured();

    List<Long> expected = new ArrayList<>(List.of(0L));
    for (int i = 0; i < slab.objects(); i++) {
      if (!order.subList(0, 3).contains(i)) {
        expected.add(slab.object(i));
      }
    }
    assertThat(list.targets()).isEqualTo(expected);
    assertThat(list.order()).isEqualTo(order.subList(0, 3));
    assertThat(list.free()).isEqualTo(order.size());
    assertThat(list.head())
        .isEqualTo(new BadWord(Freelist.HEAD, list.headSlot(), object(0), object(0)));
    assertThat(list.head().isHead()).isTrue();
    assertThat(list.head().name()).isEqualTo("the head");
    assertThat(list.wordOf(order.get(1)))
        .isEqualTo(new BadWord(order.get(1), slot(1), image.word(slot(1)), object(2)));
    assertThat(list.wordOf(order.get(1)).isHead()).isFalse();
    assertThat(list.closes(object(3))).isTrue();
    assertThat(list.closes(object(4))).isFalse();
    assertThat(list.closes(0)).isFalse();
    assertThat(list.rest(object(3)).length()).isEqualTo(order.size() - 3);
    assertThat(list.isRepaired(slot(2))).isFalse();
    BrokenList mended = list.with(slot(2), image.encoded(slab, order.get(2), object(3)));
    assertThat(mended.isRepaired(slot(2))).isTrue();
    assertThat(mended.list().isClosed()).isTrue();
    assertThat(mended.list().length()).isEqualTo(order.size());
    assertThat(list.encode(object(3), list.head())).isEqualTo(object(3));
    assertThat(Flip.nearest(list, list.wordOf(order.get(2)), _ -> false))
        .isEqualTo(Optional.empty());
  }
}
