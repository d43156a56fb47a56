package org.vmcheck.analysis;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;
import org.vmcheck.testing.SlabImage;

/// Which word of a list is to blame, where the object at which it breaks, or the counter that
/// disagrees with it, is innocent.
class LedAstrayTest {
  @TempDir private Path dir;
  private FakeImage image;

  @BeforeEach
  void build() {
    image =
        FakeKernel.of(Layout.V6_1)
            .seed(3)
            .cpus(2)
            .contents(FakeKernel.Contents.RANDOM)
            .cache(FakeCache.named("victim", 64).partial(12).full(3))
            .build();
  }

  private List<Finding> findings() throws Exception {
    try (Analyzer analyzer = Analyzer.open(image.writeKdump(dir), AnalysisOptions.DEFAULT)) {
      return analyzer.check("test").findings();
    }
  }

  private SlabImage partial(int free) {
    return image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL).stream()
        .filter(slab -> slab.freelist().size() >= free)
        .findFirst()
        .orElseThrow();
  }

  private Finding only() throws Exception {
    List<Finding> findings = findings();
    assertThat(findings).hasSize(1);
    return findings.getFirst();
  }

  private static boolean hasWhatIf(Finding finding) {
    return finding.evidence().stream().anyMatch(Evidence.WhatIf.class::isInstance);
  }

  @Test
  void aFlipThatLeadsToAnAllocatedObjectIsBlamedAndNotItsOwner() throws Exception {
    for (SlabImage slab : image.cache("victim").slabs(SlabImage.Place.NODE_PARTIAL)) {
      List<Integer> list = slab.freelist();
      for (int step = 0; step + 2 < list.size(); step++) {
        long slot = slab.slot(list.get(step));
        for (int bit = 6; bit < 12; bit++) {
          long astray = slab.object(list.get(step + 1)) ^ (1L << bit);
          int index = (int) ((astray - slab.base()) / slab.cache().size());
          if (astray >= slab.base() && index < slab.objects() && !slab.isFree(index)) {
            image.corruptWord(slot, image.encoded(slab, list.get(step), astray));
            image.corruptWord(slab.slot(index), 0x4141_4242_4343_4444L);
            Finding finding = only();
            assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP);
            assertThat(finding.subject().address()).isEqualTo(slot);
            assertThat(hasWhatIf(finding)).isTrue();
            return;
          }
        }
      }
    }
    throw new AssertionError("no flip leads to an allocated object");
  }

  @Test
  void aWriteIntoAFreeObjectIsBlamedOnItsOwnWord() throws Exception {
    SlabImage slab = partial(5);
    long slot = slab.slot(slab.freelist().get(1));
    image.corruptWord(slot, 0x4141_4242_4343_4444L);
    Finding finding = only();
    assertThat(finding.cause()).isEqualTo(Cause.USE_AFTER_FREE_WRITE);
    assertThat(finding.subject().address()).isEqualTo(slot);
    assertThat(hasWhatIf(finding)).as("the rest of the list is found").isTrue();
  }

  @Test
  void aHeadThatWasClearedIsBlamedAndNotTheCounter() throws Exception {
    SlabImage slab = partial(4);
    long head = image.member(slab, "freelist");
    image.corruptWord(head, 0);
    Finding finding = only();
    assertThat(finding.check()).isEqualTo("slab.freelist");
    assertThat(finding.subject().address()).isEqualTo(head);
    assertThat(hasWhatIf(finding)).isTrue();
  }

  @Test
  void aHeadThatSkipsObjectsIsBlamedAndNotTheCounter() throws Exception {
    SlabImage slab = partial(5);
    long head = image.member(slab, "freelist");
    image.corruptWord(head, slab.object(slab.freelist().getLast()));
    assertThat(only().subject().address()).isEqualTo(head);
  }

  @Test
  void aHeadOnAFullSlabIsBlamedAndNotTheCounter() throws Exception {
    SlabImage slab = image.cache("victim").slabs(SlabImage.Place.FULL).getFirst();
    long head = image.member(slab, "freelist");
    image.corruptWord(head, slab.object(1));
    image.corruptWord(slab.slot(1), image.encoded(slab, 1, slab.object(2)));
    image.corruptWord(slab.slot(2), image.encoded(slab, 2, 0));
    Finding finding = only();
    assertThat(finding.cause()).isEqualTo(Cause.METADATA_OVERWRITTEN);
    assertThat(finding.subject().address()).isEqualTo(head);
  }

  @Test
  void aCounterThatIsOffStaysACounter() throws Exception {
    SlabImage slab = partial(4);
    image.corruptWord(
        image.member(slab, "counters"), image.word(image.member(slab, "counters")) + 1);
    Finding finding = only();
    assertThat(finding.cause()).isEqualTo(Cause.COUNTER_MISMATCH);
    assertThat(finding.subject().address()).isEqualTo(image.member(slab, "counters"));
  }

  @Test
  void whatLiesBehindAFlippedBitIsLookedAt() throws Exception {
    SlabImage slab = partial(6);
    long first = slab.slot(slab.freelist().get(0));
    long second = slab.slot(slab.freelist().get(3));
    image.flipBit(first, 40);
    image.flipBit(second, 41);
    assertThat(findings())
        .hasSize(2)
        .allSatisfy(finding -> assertThat(finding.cause()).isEqualTo(Cause.BIT_FLIP))
        .extracting(finding -> finding.subject().address())
        .containsExactlyInAnyOrder(first, second);
  }

  @Test
  void textThatEndsInThePointerCameOverTheBorder() throws Exception {
    SlabImage slab = partial(4);
    int victim =
        slab.freelist().stream()
            .filter(i -> i > 0 && !slab.isFree(i - 1))
            .findFirst()
            .orElseThrow();
    long start = slab.object(victim - 1) + 20;
    long end = slab.slot(victim) + 3;
    byte[] text = "a name that nobody measured, ".repeat(20).getBytes(StandardCharsets.US_ASCII);
    byte[] written = Arrays.copyOf(text, (int) (end - start + 1));
    written[written.length - 1] = 0;
    image.corrupt(start, written);
    Finding finding = only();
    assertThat(finding.cause()).isEqualTo(Cause.OVERFLOW_FROM_NEIGHBOUR);
    assertThat(finding.subject().address()).isEqualTo(slab.slot(victim));
  }

  @Test
  void oneWipedPageIsOneFindingThoughTwoListsBreak() throws Exception {
    SlabImage slab =
        image.cache("victim").slabs(SlabImage.Place.CPU_SLAB).stream()
            .filter(one -> !one.cpuFreelist().isEmpty() && !one.freelist().isEmpty())
            .findFirst()
            .orElseThrow();
    image.fill(slab.base(), 0, 4096 << slab.order());
    assertThat(only().cause()).isEqualTo(Cause.PAGE_WIPED);
  }
}
