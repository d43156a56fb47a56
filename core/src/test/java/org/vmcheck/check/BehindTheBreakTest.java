package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// What is said of a list behind the word that breaks it.
class BehindTheBreakTest {
  private static final long ODD = 0x4141_4242_4343_4445L;

  private static FakeImage image() {
    return FakeKernel.of(Layout.V6_1)
        .seed(3)
        .cache(FakeCache.named("victim", 64).partial(12).full(2).sheaves(0))
        .build();
  }

  private static List<Finding> findings(FakeImage image) {
    CheckContext context =
        new CheckContext(
            image.dump(), new KernelSearch.Found(image.kernel()), 1, false, () -> false);
    return new SlabFreelistCheck().run(context).findingsIfRan();
  }

  private static SlabImage partial(FakeImage image, int free) {
    return image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> slab.freelist().size() >= free)
        .findFirst()
        .orElseThrow();
  }

  /// Each flipped bit is put back and the list is followed on, to the eighth and no further.
  @ParameterizedTest
  @CsvSource({"1, 1", "2, 2", "7, 7", "8, 8", "9, 8", "11, 8"})
  void flippedBitsAreFollowedToTheEighth(int flipped, int told) {
    FakeImage image = image();
    SlabImage slab = partial(image, flipped + 2);
    for (int i = 0; i < flipped; i++) {
      image.flipBit(slab.slot(slab.freelist().get(i)), 41);
    }

    List<Finding> findings = findings(image);

    assertThat(findings).hasSize(told).allMatch(finding -> finding.cause() == Cause.BIT_FLIP);
    for (int i = 0; i < told; i++) {
      assertThat(findings.get(i).subject().address()).isEqualTo(slab.slot(slab.freelist().get(i)));
    }
  }

  /// One object that is on no list may be anything; two that lead to each other are a chain.
  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3})
  void chainOfTwoBehindTheBreakTells(int behind) {
    FakeImage image = image();
    SlabImage slab = partial(image, 6);
    List<Integer> list = slab.freelist();
    image.corruptWord(slab.slot(list.get(list.size() - 1 - behind)), ODD);

    List<Finding> findings = findings(image);

    assertThat(findings).hasSize(1);
    List<Evidence> rest =
        findings.getFirst().evidence().stream().filter(Evidence.WhatIf.class::isInstance).toList();
    assertThat(rest).hasSize(behind >= 2 ? 1 : 0);
    if (behind >= 2) {
      assertThat(rest.getFirst())
          .isInstanceOfSatisfying(
              Evidence.WhatIf.class,
              one -> assertThat(one.change()).isEqualTo("the rest of the list"));
      assertThat(rest.getFirst().sentence())
          .contains("the only chain of " + behind + " objects on no list begins");
    }
  }

  /// The numbers of objects before and behind the break are the list's own.
  @Test
  void objectsBeforeAndBehindAreCounted() {
    FakeImage image = image();
    SlabImage slab = partial(image, 6);
    List<Integer> list = slab.freelist();
    image.corruptWord(slab.slot(list.get(2)), ODD);
    int behind = list.size() - 3;

    List<Evidence> evidence = findings(image).getFirst().evidence();

    assertThat(evidence)
        .filteredOn(Evidence.ChainBroken.class::isInstance)
        .extracting(Evidence::sentence)
        .allSatisfy(
            sentence ->
                assertThat(sentence)
                    .startsWith("after 3 objects the free pointer leads to 0x")
                    .endsWith("which is not an object of the slab"));
    assertThat(evidence)
        .filteredOn(Evidence.CountMismatch.class::isInstance)
        .extracting(Evidence::sentence)
        .containsExactly(
            "by the slab's counters %d free objects are behind the break; %d of the objects on no list still hold free pointers"
                .formatted(behind, behind));
  }

  /// A list that a flip broke and that is too short besides: the counters are wrong too.
  @Test
  void lengthThatDisagreesBehindAFlipIsSaid() {
    FakeImage image = image();
    SlabImage slab = partial(image, 6);
    List<Integer> list = slab.freelist();
    image.flipBit(slab.slot(list.get(1)), 41);
    // The list ends two objects early.
    image.corruptWord(
        slab.slot(list.get(list.size() - 3)), image.encoded(slab, list.get(list.size() - 3), 0));

    List<Finding> findings = findings(image);

    assertThat(findings).extracting(Finding::cause).contains(Cause.BIT_FLIP);
    assertThat(findings.getFirst().evidence())
        .extracting(Evidence::sentence)
        .anySatisfy(
            sentence ->
                assertThat(sentence)
                    .startsWith(
                        "with the bits flipped back the list has %d objects, the counters say %d: "
                            .formatted(list.size() - 2, list.size())));
  }
}
