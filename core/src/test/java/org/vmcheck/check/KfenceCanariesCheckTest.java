package org.vmcheck.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.search.KernelSearch;
import org.vmcheck.slab.KfenceObjects;
import org.vmcheck.slab.KfenceObjects.KfenceObject;
import org.vmcheck.slab.KfenceObjects.State;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;

/// The bytes around KFENCE's objects: right in healthy pools of both layouts of the metadata, wrong
/// after a write over a border, and not claimed where they cannot be looked at.
class KfenceCanariesCheckTest {
  private static final int OBJECTS = 63;

  /// KFENCE is in no older kernel; the newest keep its metadata behind a pointer.
  static Stream<Layout> layouts() {
    return Stream.of(Layout.V6_1, Layout.V6_6, Layout.V7_1);
  }

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout).seed(3).kfenceWithMetadata(OBJECTS).build();
  }

  private static CheckOutcome outcome(FakeImage image) {
    return new KfenceCanariesCheck()
        .run(
            new CheckContext(
                image.dump(), new KernelSearch.Found(image.kernel()), 1, false, () -> false));
  }

  private static CheckOutcome.Ran run(FakeImage image) {
    return (CheckOutcome.Ran) outcome(image);
  }

  private static KfenceObject object(FakeImage image, State state, boolean isRight) {
    return KfenceObjects.of(image.kernel()).objects().stream()
        .filter(one -> one.state() == state && (one.address() > one.page()) == isRight)
        .findFirst()
        .orElseThrow();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void ahealthyPoolIsCountedAndSilent(Layout layout) {
    CheckOutcome.Ran ran = run(image(layout));

    assertThat(ran.findings()).isEmpty();
    assertThat(ran.notes()).isEmpty();
    // 0, 5, 10, ... were never used.
    assertThat(ran.coverage().lookedAt()).isEqualTo(Map.of("KFENCE objects", 50L));
    assertThat(ran.answer())
        .isEqualTo("the bytes around 50 objects are right; 13 of 63 were never used");
    assertThat(ran.facts()).containsEntry("objects", "63").containsEntry("never used", "13");
    assertThat(ran.facts()).containsKeys("allocated", "freed");
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aWriteBehindAnObjectNamesItAndWhoAllocatedIt(Layout layout) {
    FakeImage image = image(layout);
    KfenceObject object = object(image, State.ALLOCATED, false);
    long end = object.address() + object.size();
    image.corrupt(end, (byte) 'o', (byte) 'v', (byte) 'e', (byte) 'r');

    CheckOutcome.Ran ran = run(image);

    assertThat(ran.findings()).hasSize(1);
    Finding finding = ran.findings().getFirst();
    assertThat(finding.cause()).isEqualTo(Cause.REDZONE_OVERWRITTEN);
    assertThat(finding.subject().address()).isEqualTo(end);
    assertThat(finding.subject().object()).isEqualTo(object.address());
    assertThat(finding.claim())
        .contains("behind KFENCE object #" + object.index(), "it is allocated");
    assertThat(finding.evidence())
        .extracting(Evidence::sentence)
        .anyMatch(text -> text.contains("0 bytes behind the end of the object"))
        .anyMatch(
            text ->
                text.contains("allocated by task " + (100 + object.index()) + " on cpu 0")
                    && text.contains("kmem_cache_alloc+0x21 < vfs_read+0x11"));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void aByteBeforeAFreedObjectIsFoundToo(Layout layout) {
    FakeImage image = image(layout);
    KfenceObject object = object(image, State.FREED, true);
    image.corrupt(object.address() - 1, (byte) 0);

    Finding finding = run(image).findings().getFirst();

    assertThat(finding.claim()).contains("before KFENCE object #", "it is freed");
    assertThat(finding.evidence())
        .extracting(Evidence::sentence)
        .anyMatch(text -> text.startsWith("the object was freed by task "));
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void theObjectHandedOutLastMayHaveNoPatternYet(Layout layout) {
    FakeImage image = image(layout);
    Kernel kernel = image.kernel();
    KfenceObject newest =
        KfenceObjects.of(kernel).objects().stream()
            .filter(one -> one.state() == State.ALLOCATED)
            .reduce((one, two) -> two)
            .orElseThrow();
    image.fill(newest.page(), 0, 4096);

    assertThat(run(image).findings()).isEmpty();
    assertThat(run(image).notes()).hasSize(1);

    // What an older one lacks, no CPU was about to set.
    image.fill(object(image, State.ALLOCATED, false).page(), 0, 4096);
    assertThat(run(image).findings()).hasSize(1);
  }

  @Test
  void anOverflowOfTheObjectHandedOutLastIsNoPatternThatLacks() {
    FakeImage image = image(Layout.V6_1);
    KfenceObject newest =
        KfenceObjects.of(image.kernel()).objects().stream()
            .filter(one -> one.state() == State.ALLOCATED && one.address() == one.page())
            .reduce((one, two) -> two)
            .orElseThrow();
    image.corrupt(newest.address() + newest.size(), (byte) 'x');
    assertThat(run(image).findings()).hasSize(1);
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void metadataThatTheKernelCannotHaveWrittenIsAFinding(Layout layout) {
    FakeImage image = image(layout);
    KfenceObject object = object(image, State.ALLOCATED, false);
    image.corruptWord(object.metadata() + 48, 0x4141414141414141L);

    CheckOutcome.Ran ran = run(image);

    assertThat(ran.findings()).hasSize(1);
    assertThat(ran.findings().getFirst().cause()).isEqualTo(Cause.METADATA_OVERWRITTEN);
    assertThat(ran.facts()).containsEntry("objects", "63");
  }

  @Test
  void aPoolWithoutMetadataIsSaidNotToHaveBeenLookedAt() {
    CheckOutcome outcome = outcome(FakeKernel.of(Layout.V6_1).seed(3).kfence(OBJECTS).build());

    assertThat(outcome).isInstanceOf(CheckOutcome.NothingToLookAt.class);
    assertThat(((CheckOutcome.NothingToLookAt) outcome).why())
        .startsWith("the KFENCE pool at 0x")
        .contains("was not looked at: no symbol kfence_metadata");
  }

  @Test
  void aKernelWithoutAPoolHasNothingToLookAt() {
    CheckOutcome outcome = outcome(FakeKernel.of(Layout.V6_1).seed(3).build());

    assertThat(((CheckOutcome.NothingToLookAt) outcome).why())
        .isEqualTo("the kernel has no KFENCE pool");
  }

  @Test
  void pagesThatAreNotInTheDumpAreCounted() {
    FakeImage image = image(Layout.V6_1);
    KfenceObject object = object(image, State.ALLOCATED, false);
    image.exclude(image.physical(object.page()) >>> 12);

    CheckOutcome.Ran ran = run(image);

    assertThat(ran.findings()).isEmpty();
    assertThat(ran.answer()).endsWith("the pages of others cannot be read");
    assertThat(ran.coverage().notRead().values()).containsExactly(1L);
  }
}
