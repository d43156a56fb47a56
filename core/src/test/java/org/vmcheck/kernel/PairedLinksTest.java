package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.PairedLinks.Pair;
import org.vmcheck.kernel.PairedLinks.Wrong;

/// Two words at a time of a memory that has a few nodes, as the kernel's lists leave them.
class PairedLinksTest {
  private static final long A = 0xffff888001234500L;
  private static final long B = 0xffff88800abcde40L;
  private static final long C = 0xffff8880077777c0L;

  private final Map<Long, Long> memory = new HashMap<>();
  private final List<Wrong> wrong = new ArrayList<>();

  private void pair(long at, long next, long prev) {
    memory.put(at, next);
    memory.put(at + 8, prev);
  }

  /// A circle of these nodes, in this order.
  private void ring(long... nodes) {
    for (int i = 0; i < nodes.length; i++) {
      pair(nodes[i], nodes[(i + 1) % nodes.length], nodes[(i + nodes.length - 1) % nodes.length]);
    }
  }

  private long word(long at) {
    return memory.getOrDefault(at, 0L);
  }

  private PairedLinks links(boolean isStill, int lowestBit) {
    return new PairedLinks(
        this::word, isStill, lowestBit, PairedLinksTest::isNoAddress, wrong::add);
  }

  private static boolean isNoAddress(long value) {
    return value >> 47 != 0 && value >> 47 != -1 && value >>> 48 != 0xdead;
  }

  private Pair look(PairedLinks links, long at) {
    return links.look(at, word(at), word(at + 8), word(at + 16));
  }

  private Pair look(long at) {
    return look(links(true, 0), at);
  }

  @Test
  void aHeadWithoutNodesLeadsToItself() {
    ring(A);

    assertThat(look(A)).isEqualTo(Pair.EMPTY);
    assertThat(wrong).isEmpty();
  }

  /// As after INIT_LIST_HEAD of each: no link is missed, and none is wrong.
  @Test
  void nodesThatAllLeadToThemselvesAreHeads() {
    for (long at : new long[] {A, A + 16, A + 32, A + 64, A + 128, B, C}) {
      ring(at);
    }

    for (long at : new long[] {A, A + 16, A + 32, A + 64, A + 128, B, C}) {
      assertThat(look(at)).isEqualTo(Pair.EMPTY);
    }
    assertThat(wrong).isEmpty();
  }

  /// The words between two heads, of which the second leads to the next head.
  @Test
  void theWordsAcrossTwoHeadsAreNoLink() {
    ring(A);
    ring(A + 16);

    assertThat(look(A + 8)).isEqualTo(Pair.NONE);
    assertThat(wrong).isEmpty();
  }

  @Test
  void eachNodeOfACircleIsWhole() {
    ring(A, B, C);

    for (long at : new long[] {A, B, C}) {
      assertThat(look(at)).isEqualTo(Pair.WHOLE);
    }
    assertThat(wrong).isEmpty();
  }

  @Test
  void numbersAndAddressesOfProgramsAreNoLinks() {
    pair(A, 0, 0);
    pair(B, 0x7fff12345678L, 0x7fff12345678L);

    assertThat(look(A)).isEqualTo(Pair.NONE);
    assertThat(look(B)).isEqualTo(Pair.NONE);
  }

  /// Words that lead to what is no list, to no memory, and to where no word begins.
  @Test
  void pointersThatNothingAnswersAreNoLinks() {
    pair(A, B, C);
    pair(B, 1, 2);
    memory.put(C + 12, A);
    pair(C + 256, C + 4, C + 4);

    assertThat(look(A)).isEqualTo(Pair.NONE);
    assertThat(look(C + 256)).isEqualTo(Pair.NONE);
    assertThat(wrong).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3, 5, 6, 12, 30, 46, 47, 62, 63})
  void aBitOfNextIsNamedWithTheNodeThatLeadsBack(int bit) {
    ring(A, B, C);
    long value = C ^ (1L << bit);
    memory.put(B, value);

    assertThat(look(B)).isEqualTo(Pair.BACKWARD);
    assertThat(wrong).containsExactly(new Wrong(B, "next", B, value, C));
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3, 5, 6, 12, 30, 46, 47, 62, 63})
  void aBitOfPrevIsNamedWithTheNodeThatLeadsHere(int bit) {
    ring(A, B, C);
    long value = A ^ (1L << bit);
    memory.put(B + 8, value);

    assertThat(look(B)).isEqualTo(Pair.FORWARD);
    assertThat(wrong).containsExactly(new Wrong(B, "prev", B + 8, value, A));
  }

  /// Of two other nodes or more: two words that lead to each other are met elsewhere. Poison and
  /// addresses of programs are no stray writes.
  @ParameterizedTest
  @ValueSource(ints = {0, 8})
  void whatIsNoAddressIsNamedWithTheNodeThatTheCircleEndsAt(int link) {
    ring(A, B, C);
    long right = word(B + link);
    memory.put(B + link, 0x4142_4344_4546_4748L);

    look(B);

    assertThat(wrong)
        .containsExactly(
            new Wrong(B, link == 0 ? "next" : "prev", B + link, 0x4142_4344_4546_4748L, right));
    wrong.clear();
    for (long other : new long[] {0xdead_0000_0000_0122L, 0x7fff_1234_5678L, 0, 1}) {
      memory.put(B + link, other);
      look(B);
    }
    look(links(false, 0), B);
    ring(A, B);
    memory.put(B + link, 0x4142_4344_4546_4748L);
    look(B);
    assertThat(wrong).isEmpty();
  }

  /// The neighbour, whose own words are right, has one answer less.
  @Test
  void theNeighbourOfAWrongLinkIsNotBlamed() {
    ring(A, B, C);
    memory.put(B, C ^ 0x1000);

    assertThat(look(A)).isEqualTo(Pair.WHOLE);
    assertThat(look(C)).isEqualTo(Pair.FORWARD);
    assertThat(wrong).isEmpty();
  }

  /// A list of one node, whose neighbour on both sides is the head: rbtrees and hash chains look
  /// like it, so that it proves nothing.
  @Test
  void aLinkBesideTheOnlyNodeIsNotNamed() {
    ring(A, B);
    memory.put(A, B ^ 0x1000);

    assertThat(look(A)).isEqualTo(Pair.BACKWARD);
    assertThat(wrong).isEmpty();

    ring(A, B);
    memory.put(A + 8, B ^ 0x1000);

    assertThat(look(A)).isEqualTo(Pair.FORWARD);
    assertThat(wrong).isEmpty();
  }

  @Test
  void twoBitsPoisonAndSmallNumbersAreNotMended() {
    for (long value : new long[] {C ^ 0x1001000, 0xdead000000000100L, 0, 0x6b6b6b6bL}) {
      ring(A, B, C);
      memory.put(B, value);

      assertThat(look(B)).as("0x%x", value).isEqualTo(Pair.BACKWARD);
    }
    for (long value : new long[] {A ^ 0x1001000, 0xdead000000000122L, 0, 0x6b6b6b6bL}) {
      ring(A, B, C);
      memory.put(B + 8, value);

      assertThat(look(B)).as("0x%x", value).isEqualTo(Pair.FORWARD);
    }
    assertThat(wrong).isEmpty();
  }

  /// In memory of more than one moment the two ends of a link may be of two.
  @Test
  void whileTheKernelRanNoHalfAnsweredLinkIsWrong() {
    ring(A, B, C);
    memory.put(B, C ^ 0x1000);
    assertThat(look(links(false, 0), B)).isEqualTo(Pair.BACKWARD);

    ring(A, B, C);
    memory.put(B + 8, A ^ 0x1000);
    assertThat(look(links(false, 0), B)).isEqualTo(Pair.FORWARD);

    assertThat(wrong).isEmpty();
  }

  @Test
  void bitsBelowTheLowestAreNotTold() {
    for (int bit : new int[] {3, 5, 6}) {
      ring(A, B, C);
      memory.put(B, C ^ (1L << bit));
      look(links(true, 6), B);
      assertThat(wrong).as("next, bit %d", bit).hasSize(bit < 6 ? 0 : 1);
      wrong.clear();

      ring(A, B, C);
      memory.put(B + 8, A ^ (1L << bit));
      look(links(true, 6), B);
      assertThat(wrong).as("prev, bit %d", bit).hasSize(bit < 6 ? 0 : 1);
      wrong.clear();
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 3, 4, 12, 47, 62, 63})
  void aBitOfAHeadWithoutNodesIsNamed(int bit) {
    ring(A);
    memory.put(A, A ^ (1L << bit));
    assertThat(look(A)).isEqualTo(Pair.HALF_EMPTY);
    assertThat(wrong).containsExactly(new Wrong(A, "next", A, A ^ (1L << bit), A));
    wrong.clear();

    ring(A);
    memory.put(A + 8, A ^ (1L << bit));
    assertThat(look(A)).isEqualTo(Pair.HALF_EMPTY);
    assertThat(wrong).containsExactly(new Wrong(A, "prev", A + 8, A ^ (1L << bit), A));
  }

  @Test
  void aHeadOfWhichMoreThanABitDiffersIsNotNamed() {
    for (long other : new long[] {B, A ^ 0x3000, 0}) {
      pair(A, other, A);
      assertThat(look(A)).isEqualTo(Pair.HALF_EMPTY);
      pair(A, A, other);
      assertThat(look(A)).isEqualTo(Pair.HALF_EMPTY);
    }
    assertThat(wrong).isEmpty();
  }

  /// The second word of an empty head is followed by a pointer to that head.
  @Test
  void aPointerBehindAnEmptyHeadIsNoHead() {
    ring(A);
    memory.put(A + 16, A + 8);

    assertThat(look(A + 8)).isEqualTo(Pair.HALF_EMPTY);
    assertThat(wrong).isEmpty();
  }

  /// Where the word before is none of an empty head, it is one bit of a head's own.
  @Test
  void aHeadsFirstWordABitBelowIsNamed() {
    pair(A + 8, A, A + 8);
    memory.put(A, 5L);

    assertThat(look(A + 8)).isEqualTo(Pair.HALF_EMPTY);
    assertThat(wrong).containsExactly(new Wrong(A + 8, "next", A + 8, A, A + 8));
  }

  /// A pointer to the own struct, as RB_CLEAR_NODE writes, before an empty head.
  @Test
  void aPointerToItselfBeforeAnEmptyHeadIsNoHead() {
    memory.put(A, A);
    ring(A + 8);

    assertThat(look(A)).isEqualTo(Pair.HALF_EMPTY);
    assertThat(wrong).isEmpty();
  }

  /// `list_add` to an empty list and `list_del` of an only node, stopped between their stores,
  /// where the node is a bit from the head (Linux `include/linux/list.h`).
  @Test
  void aNodeABitFromItsHeadMayBeHalfLinked() {
    long node = A ^ 0x40;
    pair(A, A, node); // next->prev = new, and new's own words are written.
    pair(node, A, A);
    assertThat(look(A)).isEqualTo(Pair.HALF_EMPTY);
    assertThat(wrong).isEmpty();

    pair(A, node, A); // next->prev = prev of the node that goes.
    pair(node, A, A);
    assertThat(look(A)).isEqualTo(Pair.HALF_EMPTY);
    assertThat(wrong).isEmpty();
  }

  /// A hash chain: the second word leads to the word that leads here, the first to the next node.
  @Test
  void nodesOfAHashChainAreNoFault() {
    long bucket = C + 8;
    memory.put(bucket, A);
    memory.put(A, B);
    memory.put(A + 8, bucket);
    memory.put(B, 0L);
    memory.put(B + 8, A);

    assertThat(look(A)).isEqualTo(Pair.WHOLE);
    assertThat(look(B)).isEqualTo(Pair.BACKWARD);
    assertThat(wrong).isEmpty();
  }

  /// What lies behind a hash head is no link: it is the next bucket.
  @Test
  void neighbouringHashHeadsAreNoFault() {
    long head = A;
    memory.put(head, B);
    memory.put(B, C);
    memory.put(B + 8, head);
    memory.put(C, head ^ 0x1000); // Closes what looks like a circle.
    memory.put(C + 8, B);
    memory.put(head ^ 0x1000, head);
    memory.put((head ^ 0x1000) + 8, C);
    memory.put(head + 8, head ^ 0x3000);
    memory.put(head + 16, head ^ 0x1000);

    assertThat(look(head)).isEqualTo(Pair.FORWARD);
    assertThat(wrong).isEmpty();
  }

  /// `struct rb_node`: the children lead to their parent with their first word, which a list's node
  /// of the second word seems to answer.
  @Test
  void aTreesNodeWithTwoChildrenIsNoFault() {
    long parent = A;
    memory.put(parent, 0L);
    memory.put(parent + 8, B);
    memory.put(parent + 16, C);
    for (long child : new long[] {B, C}) {
      memory.put(child, parent);
      memory.put(child + 8, 0L);
      memory.put(child + 16, 0L);
    }

    for (long at : new long[] {A, A + 8, A + 16, B, B + 8, C, C + 8}) {
      look(at);
    }
    assertThat(wrong).isEmpty();
  }

  /// A circle that does not close proves nothing.
  @Test
  void aLinkOfACircleWithAnotherBreakIsNotNamed() {
    long d = 0xffff888005555000L;
    ring(A, B, C, d);
    memory.put(B, C ^ 0x1000);
    memory.put(d + 8, 0L);
    assertThat(look(B)).isEqualTo(Pair.BACKWARD);

    ring(A, B, C, d);
    memory.put(B + 8, A ^ 0x1000);
    memory.put(d, 0L);
    assertThat(look(B)).isEqualTo(Pair.FORWARD);

    assertThat(wrong).isEmpty();
  }

  /// All other links are whole, but two nodes a bit away answer.
  @Test
  void ofTwoNodesThatAnswerNoneIsRight() {
    PairedLinks links = links(true, 0);
    ring(A, B, C);
    memory.put((C ^ 0x3000) + 8, B);
    memory.put((A ^ 0x3000), B);

    assertThat(links.rightNext(B, C ^ 0x1000)).isZero();
    assertThat(links.rightPrev(B, A ^ 0x1000)).isZero();
    assertThat(links.rightNext(B, C ^ 0x4000)).isEqualTo(C);
    assertThat(links.rightPrev(B, A ^ 0x4000)).isEqualTo(A);
    assertThat(links.rightNext(B, C ^ 0x5000)).isZero();
  }

  /// A pair is no answer to itself, and what is no address of the kernel's is none.
  @Test
  void theRightNodeIsAnotherOfTheKernels() {
    PairedLinks links = links(true, 0);
    ring(A);

    assertThat(links.rightNext(A, A ^ 0x1000)).isZero();
    assertThat(links.rightPrev(A, A ^ 0x1000)).isZero();

    long low = C & Long.MAX_VALUE;
    pair(low, A, A);
    assertThat(links.rightNext(A, low ^ 0x1000)).isZero();
    assertThat(links.rightPrev(A, low ^ 0x1000)).isZero();
  }

  @Test
  void aFlipIsOneBitOfAKnownValueFromTheLowestOn() {
    PairedLinks links = links(true, 6);

    assertThat(links.isFlip(A ^ 0x40, A)).isTrue();
    assertThat(links.isFlip(A ^ (1L << 63), A)).isTrue();
    assertThat(links.isFlip(A ^ 0x20, A)).isFalse();
    assertThat(links.isFlip(A, A)).isFalse();
    assertThat(links.isFlip(A ^ 0xc0, A)).isFalse();
    assertThat(links.isFlip(0x40, 0)).isFalse();
    assertThat(new Wrong(A, "next", A, B ^ 1L << 62, B).isFlip()).isTrue();
    assertThat(new Wrong(A, "next", A, B ^ 3L << 60, B).isFlip()).isFalse();
    assertThat(new Wrong(A, "next", A, B, B).isFlip()).isFalse();
  }

  /// A circle that misses the node in question, of any length, ends the search; each step is one
  /// that a deadline can stop.
  @Test
  void aCircleThatMissesTheNodeEnds() {
    long[] side = new long[1000];
    for (int i = 0; i < side.length; i++) {
      side[i] = 0xffff888010000000L + i * 0x100L;
    }
    ring(side);
    ring(A, B, C);
    // B's next, a bit wrong, would be C; what leads back from A is a circle of its own.
    memory.put(B, C ^ 0x1000);
    memory.put(B + 8, side[0]);
    memory.put(side[0], B);

    Cancellation cancellation = Cancellation.after(Optional.empty());
    Pair found = cancellation.run(() -> look(B));

    assertThat(found).isEqualTo(Pair.BACKWARD);
    assertThat(wrong).isEmpty();
    assertThat(cancellation.steps()).isBetween(900L, 1100L);
  }
}
