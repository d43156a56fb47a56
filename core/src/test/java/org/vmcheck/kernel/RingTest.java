package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;

/// Rings whose head leads to itself, wholly or half, as `list_add`, `list_del` and damage leave it.
class RingTest {
  private final FakeImage image =
      FakeKernel.of(Layout.V6_1)
          .seed(5)
          .cache(FakeCache.named("one", 64))
          .cache(FakeCache.named("two", 128))
          .cache(FakeCache.named("three", 256))
          .build();
  private final long head = image.symbol("slab_caches");
  private final List<Long> nodes = ring(true).nodes();

  private Ring ring(boolean isStill) {
    return Ring.of(image.kernel(), head, 1 << 20, isStill);
  }

  private void pair(long at, long next, long prev) {
    image.corruptWord(at, next);
    image.corruptWord(at + 8, prev);
  }

  @Test
  void anEmptyListIsWhole() {
    pair(head, head, head);

    assertThat(ring(true)).isEqualTo(new Ring(List.of(), new Ring.State.Whole()));
  }

  /// The nodes behind it lead to each other and to it: its own word is wrong, and nothing is lost.
  @Test
  void aHeadWhoseNextLeadsToItselfIsCutOffFromItsNodes() {
    assertThat(nodes).hasSizeGreaterThan(2);
    image.corruptWord(head, head);

    assertThat(ring(true))
        .isEqualTo(new Ring(nodes, new Ring.State.Wrong(head, "next", head, nodes.getFirst(), 0)));
  }

  @Test
  void aHeadWhosePrevLeadsToItselfIsCutOffFromItsLastNode() {
    image.corruptWord(head + 8, head);

    assertThat(ring(true))
        .isEqualTo(
            new Ring(
                nodes,
                new Ring.State.Wrong(head + 8, "prev", head, nodes.getLast(), nodes.size() + 1)));
  }

  /// A node in the middle, initialised while it is on the list.
  @Test
  void aNodeThatLeadsToItselfIsCutOffFromItsNeighbours() {
    long node = nodes.get(1);
    pair(node, node, node);

    Ring.State.Wrong wrong = (Ring.State.Wrong) ring(true).state();

    assertThat(wrong.address()).isEqualTo(node);
    assertThat(wrong.value()).isEqualTo(node);
    assertThat(wrong.expected()).isEqualTo(nodes.get(2));
    assertThat(wrong.isFlip()).isFalse();
  }

  /// `list_add` to an empty list, before its last store, and `list_del` of an only node before its
  /// last one.
  @Test
  void anOnlyNodeMayBeHalfLinked() {
    long node = nodes.getFirst();
    pair(node, head, head);

    pair(head, head, node);
    assertThat(ring(true).state()).isInstanceOf(Ring.State.HalfLinked.class);

    pair(head, node, head);
    assertThat(ring(true).state()).isInstanceOf(Ring.State.HalfLinked.class);
  }

  /// Copied while the kernel ran, the head may be of another moment than its nodes.
  @Test
  void inASnapshotAHeadThatLeadsToItselfIsNoFault() {
    image.corruptWord(head, head);
    assertThat(ring(false).state()).isInstanceOf(Ring.State.HalfLinked.class);

    pair(head, nodes.getFirst(), head);
    assertThat(ring(false).state()).isInstanceOf(Ring.State.HalfLinked.class);
  }

  @Test
  void aFlipIsOneBitOfAProvenValue() {
    assertThat(new Ring.State.Wrong(head, "next", 0x10, 0x11, 0).isFlip()).isTrue();
    assertThat(new Ring.State.Wrong(head, "next", 0x10, 0x13, 0).isFlip()).isFalse();
    assertThat(new Ring.State.Wrong(head, "next", 0x10, 0, 0).isFlip()).isFalse();
  }
}
