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

  private Ring.State.Wrong wrong(boolean isStill) {
    return (Ring.State.Wrong) ring(isStill).state();
  }

  private Ring.State.HalfLinked halfLinked(boolean isStill) {
    return (Ring.State.HalfLinked) ring(isStill).state();
  }

  /// A free object, on a page that holds no node.
  private long scratch() {
    return image.cache("three").slabs().getFirst().object(0);
  }

  @Test
  void aRingSaysWhetherItIsWhole() {
    assertThat(ring(true).isWhole()).isTrue();
    image.corruptWord(nodes.get(1), 0x4141);
    assertThat(ring(true).isWhole()).isFalse();
  }

  @Test
  void aHeadThatIsNotInTheDumpTellsNothing() {
    long away = scratch();
    image.exclude(image.physical(away) >>> 12);

    Ring ring = Ring.of(image.kernel(), away, 10, true);

    assertThat(ring.nodes()).isEmpty();
    assertThat(ring.state()).isInstanceOf(Ring.State.Unread.class);
  }

  @Test
  void aRingOfMoreNodesThanTheBoundIsNotFollowed() {
    assertThat(Ring.of(image.kernel(), head, 2, true).state()).isEqualTo(new Ring.State.TooLong(2));
    assertThat(Ring.of(image.kernel(), head, nodes.size(), true).isWhole()).isTrue();
  }

  /// Both neighbours lead to each other's node: the value is proven, whatever stands there.
  @Test
  void aWordThatIsNoAddressIsWrong() {
    for (long value : new long[] {0x4141, 0, 7, nodes.get(2) + 4, Long.MAX_VALUE}) {
      image.corruptWord(nodes.get(1), value);
      assertThat(ring(true))
          .isEqualTo(
              new Ring(nodes, new Ring.State.Wrong(nodes.get(1), "next", value, nodes.get(2), 2)));
      image.corruptWord(nodes.get(1), nodes.get(2));

      image.corruptWord(nodes.get(1) + 8, value);
      assertThat(ring(true))
          .isEqualTo(
              new Ring(
                  nodes, new Ring.State.Wrong(nodes.get(1) + 8, "prev", value, nodes.get(0), 2)));
      image.corruptWord(nodes.get(1) + 8, nodes.get(0));
    }
  }

  /// A page that the dump lacks may hold a node, but not where one bit alone is wrong or no node
  /// can begin.
  @Test
  void aLinkIntoAPageThatIsNotInTheDumpIsNotJudged() {
    long away = scratch();
    image.exclude(image.physical(away) >>> 12);
    image.corruptWord(nodes.get(1), away);
    assertThat(ring(true).state()).isInstanceOf(Ring.State.Unread.class);

    image.corruptWord(nodes.get(1), away + 4);
    assertThat(wrong(true).expected()).isEqualTo(nodes.get(2));

    image.corruptWord(nodes.get(1), nodes.get(2) ^ 1L << 40);
    assertThat(wrong(true).isFlip()).isTrue();
  }

  /// `list_add` writes `next->prev` first, and the new node may be clear or hold what it did on a
  /// list that it left. `prev->next` comes last, when the node leads back.
  @Test
  void aNodeThatIsBeingAddedIsHalfLinked() {
    long fresh = scratch();
    image.corruptWord(nodes.get(1) + 8, fresh);
    for (long[] was : new long[][] {{0, 0}, {0xdead000000000100L, 0xdead000000000122L}}) {
      pair(fresh, was[0], was[1]);
      assertThat(halfLinked(true).address()).isEqualTo(nodes.get(1) + 8);
    }
    pair(fresh, nodes.get(1), nodes.get(0));
    assertThat(halfLinked(true).address()).isEqualTo(nodes.get(1) + 8);

    // What holds anything else is no node.
    pair(fresh, 0x4141, 0);
    assertThat(wrong(true).value()).isEqualTo(fresh);
    pair(fresh, 0, 0x4141);
    assertThat(wrong(true).value()).isEqualTo(fresh);
  }

  /// A new node's own words are written before the word that leads forward to it.
  @Test
  void aNextThatLeadsToWhatLeadsNowhereIsWrong() {
    long fresh = scratch();
    image.corruptWord(nodes.get(1), fresh);
    pair(fresh, 0, 0);
    assertThat(wrong(true).address()).isEqualTo(nodes.get(1));
    assertThat(wrong(true).expected()).isEqualTo(nodes.get(2));
    pair(fresh, nodes.get(2), nodes.get(1));
    assertThat(ring(true).state()).isInstanceOf(Ring.State.HalfLinked.class);
  }

  /// `list_del` writes `next->prev` first; the node that goes still leads to both.
  @Test
  void aNodeThatIsBeingTakenOffIsHalfLinked() {
    image.corruptWord(nodes.get(2) + 8, nodes.get(0));
    assertThat(halfLinked(true).address()).isEqualTo(nodes.get(2) + 8);
    image.corruptWord(nodes.get(2) + 8, nodes.get(1));

    image.corruptWord(nodes.get(0), nodes.get(2));
    assertThat(ring(true).state()).isInstanceOf(Ring.State.HalfLinked.class);
  }

  /// In memory of more moments than one any node may be met, on whatever list it is by then.
  @Test
  void inASnapshotALinkToANodeOfAnotherListIsNoFault() {
    long other = scratch();
    pair(other, other + 64, other + 64);
    pair(other + 64, other, other);
    image.corruptWord(nodes.get(1), other);
    assertThat(halfLinked(false).address()).isEqualTo(nodes.get(1));
    assertThat(wrong(true).address()).isEqualTo(nodes.get(1));

    pair(other, other + 64, 0x4141);
    assertThat(wrong(false).address()).isEqualTo(nodes.get(1));
    pair(other, 0x4141, other + 64);
    assertThat(wrong(false).address()).isEqualTo(nodes.get(1));
  }

  /// Where the neighbour behind is wrong too, nothing proves the value but the one node a bit away
  /// that leads back.
  @Test
  void ofTwoBreaksOneIsAFlipWhereOneNodeAnswers() {
    image.corruptWord(nodes.get(3) + 8, 0x4141);
    image.corruptWord(nodes.get(3), 0x4141);
    for (int bit : new int[] {3, 20, 47, 62}) {
      long value = nodes.get(1) ^ 1L << bit;
      image.corruptWord(nodes.get(0), value);
      assertThat(wrong(true))
          .isEqualTo(new Ring.State.Wrong(nodes.get(0), "next", value, nodes.get(1), 1));
    }
    image.corruptWord(nodes.get(0), nodes.get(1) ^ 0x3000);
    assertThat(wrong(true).expected()).isZero();

    // Two nodes that both would answer.
    long value = nodes.get(1) ^ 0x10;
    image.corruptWord((value ^ 0x40) + 8, nodes.get(0));
    image.corruptWord(nodes.get(0), value);
    assertThat(wrong(true).expected()).isZero();
  }

  @Test
  void aFlipIsOneBitOfAProvenValue() {
    assertThat(new Ring.State.Wrong(head, "next", 0x10, 0x11, 0).isFlip()).isTrue();
    assertThat(new Ring.State.Wrong(head, "next", 0x10, 0x13, 0).isFlip()).isFalse();
    assertThat(new Ring.State.Wrong(head, "next", 0x10, 0, 0).isFlip()).isFalse();
  }
}
