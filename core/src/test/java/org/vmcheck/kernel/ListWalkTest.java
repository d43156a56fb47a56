package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;

/// Walks along `slab_caches` of an image, damaged as kernels damage lists.
class ListWalkTest {
  private static final int BOUND = 1 << 24;

  static List<Layout> layouts() {
    return List.of(Layout.ALL.getFirst(), Layout.V6_1, Layout.ALL.getLast());
  }

  private final FakeImage image = image(Layout.V6_1);
  private final long head = image.symbol("slab_caches");

  private static FakeImage image(Layout layout) {
    return FakeKernel.of(layout)
        .seed(5)
        .cache(FakeCache.named("one", 64))
        .cache(FakeCache.named("two", 128))
        .cache(FakeCache.named("three", 256))
        .build();
  }

  private ListWalk walk() {
    return ListWalk.walk(image.kernel().memory(), head, BOUND);
  }

  /// The nodes in order, as they were built.
  private List<Long> nodes() {
    List<Long> nodes = new ArrayList<>();
    for (long at = image.word(head); at != head; at = image.word(at)) {
      nodes.add(at);
    }
    return nodes;
  }

  /// What `list_add` stores, on the list or not.
  private void add(long node, long prev, long next) {
    image.corruptWord(next + 8, node);
    image.corruptWord(node, next);
    image.corruptWord(node + 8, prev);
    image.corruptWord(prev, node);
  }

  @Test
  void aWholeListIsClosed() {
    assertThat(walk().isClosed()).isTrue();
    assertThat(walk().nodes()).isEqualTo(nodes()).hasSizeGreaterThan(4);
  }

  @Test
  void aListWhoseOrderChangedIsStillClosed() {
    long moved = nodes().get(1);
    image.corruptWord(nodes().get(0), nodes().get(2));
    image.corruptWord(image.word(moved) + 8, image.word(moved + 8));
    add(moved, head, image.word(head));
    assertThat(walk().isClosed()).isTrue();
    assertThat(walk().nodes().getFirst()).isEqualTo(moved);
  }

  @Test
  void aNodeAddedTwiceAtTheHeadClosesACircle() {
    List<Long> nodes = nodes();
    long twice = nodes.get(2);
    add(twice, head, image.word(head));
    ListWalk walk = walk();
    assertThat(walk.end()).isEqualTo(new ListWalk.End.Circle(nodes.get(1), "next", twice));
    assertThat(walk.nodes()).containsExactlyInAnyOrderElementsOf(nodes);
    assertThat(walk.isRecovered()).isFalse();
  }

  @Test
  void aNodeAddedTwiceAtTheTailClosesACircleBackwards() {
    List<Long> nodes = nodes();
    long twice = nodes.get(2);
    add(twice, image.word(head + 8), head);
    ListWalk walk = walk();
    assertThat(walk.end()).isEqualTo(new ListWalk.End.Circle(nodes.get(3), "prev", twice));
    assertThat(walk.nodes()).containsExactlyInAnyOrderElementsOf(nodes);
    assertThat(walk.bad().orElseThrow().address()).isEqualTo(nodes.get(3) + 8);
  }

  @Test
  void theFirstNodeAddedTwiceLeadsToItself() {
    List<Long> nodes = nodes();
    long first = nodes.getFirst();
    add(first, head, image.word(head));
    ListWalk walk = walk();
    assertThat(walk.end()).isEqualTo(new ListWalk.End.Circle(first, "next", first));
    assertThat(walk.nodes()).containsExactlyInAnyOrderElementsOf(nodes);
  }

  @Test
  void aCircleBehindAWrongLinkEndsTheWalk() {
    List<Long> nodes = nodes();
    long scratch = image.cache("three").slabs().getFirst().object(0);
    image.corruptWord(nodes.get(1), scratch);
    image.corruptWord(scratch, scratch + 64);
    image.corruptWord(scratch + 64, scratch + 128);
    image.corruptWord(scratch + 128, scratch + 64);
    ListWalk walk = walk();
    assertThat(walk.nodes()).isEqualTo(nodes);
    assertThat(walk.bad().orElseThrow())
        .isEqualTo(new ListWalk.BadLink(nodes.get(1), "next", scratch, nodes.get(2), 2));
  }

  @ParameterizedTest
  @ValueSource(longs = {0, 0x4141_4141_4141_4141L, 0xdead_0000_0000_0100L})
  void aNodeWithBothWordsOverwrittenIsKeptWithBothHalves(long wild) {
    List<Long> nodes = nodes();
    for (int i = 0; i < nodes.size(); i++) {
      long node = nodes.get(i);
      long next = image.word(node);
      long prev = image.word(node + 8);
      image.corruptWord(node, wild).corruptWord(node + 8, wild);
      ListWalk walk = walk();
      assertThat(walk.nodes()).isEqualTo(nodes);
      assertThat(walk.end()).isEqualTo(new ListWalk.End.Overwritten(prev, node, next, wild, wild));
      assertThat(walk.bad().orElseThrow())
          .isEqualTo(new ListWalk.BadLink(node, "next", wild, next, i + 1));
      image.corruptWord(node, next).corruptWord(node + 8, prev);
    }
    assertThat(walk().isClosed()).isTrue();
  }

  @Test
  void betweenTwoOverwrittenNodesBothEndsAreKept() {
    List<Long> nodes = nodes();
    for (int i : new int[] {1, 3}) {
      image.corruptWord(nodes.get(i), 0x4141L).corruptWord(nodes.get(i) + 8, 0x4242L);
    }
    ListWalk walk = walk();
    assertThat(walk.nodes()).startsWith(nodes.getFirst()).endsWith(nodes.getLast());
    assertThat(walk.nodes()).doesNotContain(nodes.get(2)).isSubsetOf(nodes);
    assertThat(walk.isRecovered()).isFalse();
  }

  @Test
  void anOverwrittenHeadLosesTheListAndInventsNone() {
    image.corruptWord(head, 0).corruptWord(head + 8, 0);
    assertThat(walk().isClosed()).isFalse();
    assertThat(walk().nodes()).isEmpty();
  }

  @ParameterizedTest
  @MethodSource("layouts")
  void anOverwrittenLinkOfACacheIsOneFault(Layout layout) {
    FakeImage image = image(layout);
    long link = image.member("kmem_cache", image.cache("two").address(), "list");
    image.corruptWord(link, 0x4141_4141_4141_4141L).corruptWord(link + 8, 0x4242_4242_4242_4242L);
    SlabSurvey survey = image.survey();
    assertThat(survey.faults()).hasSize(1);
    assertThat(survey.faults().getFirst())
        .isInstanceOfSatisfying(
            SlabFault.Links.class, links -> assertThat(links.address()).isEqualTo(link));
    assertThat(survey.tallies()).hasSameSizeAs(image.caches());
  }
}
