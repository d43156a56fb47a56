package org.vmcheck.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vmcheck.io.Cancellation;
import org.vmcheck.memory.VirtualMemory;
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

  /// A scratch object on a page that holds no node, spliced in behind the head's first node.
  private long spliced() {
    long node = image.cache("three").slabs().getFirst().object(0);
    add(node, nodes().getFirst(), nodes().get(1));
    return node;
  }

  @Test
  void anOverwrittenPrevIsNamedAndNothingIsLost() {
    List<Long> nodes = nodes();
    image.corruptWord(nodes.get(2) + 8, 0x4141);

    ListWalk walk = walk();

    assertThat(walk.nodes()).isEqualTo(nodes);
    assertThat(walk.end())
        .isEqualTo(new ListWalk.End.PrevMismatch(nodes.get(1), nodes.get(2), 0x4141));
    assertThat(walk.bad().orElseThrow())
        .isEqualTo(new ListWalk.BadLink(nodes.get(2) + 8, "prev", 0x4141, nodes.get(1), 3));
    assertThat(walk.isRecovered()).isTrue();
    assertThat(walk.blamed(head)).isEqualTo(nodes.get(2) + 8);
  }

  /// The last node's link leads home: there is no node behind it to name.
  @Test
  void theLastNodesNextMustBeTheHead() {
    List<Long> nodes = nodes();
    image.corruptWord(nodes.getLast(), 0x4141);

    ListWalk walk = walk();

    assertThat(walk.nodes()).isEqualTo(nodes);
    assertThat(walk.bad().orElseThrow())
        .isEqualTo(new ListWalk.BadLink(nodes.getLast(), "next", 0x4141, head, nodes.size()));
    assertThat(walk.isRecovered()).isTrue();
  }

  @Test
  void theHeadsOwnPrevMayBeTheWrongWord() {
    List<Long> nodes = nodes();
    image.corruptWord(head + 8, 0x4141);
    assertThat(walk().nodes()).isEqualTo(nodes);
    assertThat(walk().bad().orElseThrow())
        .isEqualTo(
            new ListWalk.BadLink(head + 8, "prev", 0x4141, nodes.getLast(), nodes.size() + 1));

    // An empty list leads to itself in both directions.
    image.corruptWord(head, head);
    ListWalk empty = walk();
    assertThat(empty.nodes()).isEmpty();
    assertThat(empty.end()).isEqualTo(new ListWalk.End.PrevMismatch(head, head, 0x4141));
    assertThat(empty.bad().orElseThrow())
        .isEqualTo(new ListWalk.BadLink(head + 8, "prev", 0x4141, head, 1));
    image.corruptWord(head + 8, head);
    assertThat(walk()).isEqualTo(closed(List.of()));
  }

  private static ListWalk closed(List<Long> nodes) {
    return new ListWalk(nodes, new ListWalk.End.Closed(), Optional.empty());
  }

  @Test
  void aHeadThatCannotBeReadIsNoListAndNobodysFault() {
    ListWalk walk = ListWalk.walk(image.kernel().memory(), 0x1000, BOUND);
    assertThat(walk.nodes()).isEmpty();
    assertThat(walk.bad()).isEmpty();
    assertThat(walk.blamed(0x1000)).isEqualTo(0x1000);
    assertThat(walk.isRecovered()).isFalse();
    assertThat(walk.end())
        .isInstanceOfSatisfying(
            ListWalk.End.Unreadable.class,
            end -> assertThat(List.of(end.from(), end.to())).containsOnly(0x1000L));
  }

  /// No list_head lies on an odd address, though the bytes there lead home by chance.
  @Test
  void aMisalignedLinkIsNotFollowed() {
    List<Long> nodes = nodes();
    long odd = image.cache("three").slabs().getFirst().object(0) + 4;
    image.corruptWord(odd, head).corruptWord(odd + 8, nodes.get(1));
    image.corruptWord(nodes.get(1), odd);
    // Neither is prev, so that only next could lead home.
    image.corruptWord(nodes.get(1) + 8, 0x4141);
    image.corruptWord(nodes.get(3) + 8, 0x4242);

    ListWalk walk = walk();

    assertThat(walk.isRecovered()).isFalse();
    assertThat(walk.nodes()).doesNotContain(odd);
    image.corruptWord(nodes.get(1) + 8, nodes.getFirst());
    assertThat(walk().end())
        .isInstanceOfSatisfying(
            ListWalk.End.Unreadable.class, end -> assertThat(end.to()).isEqualTo(odd));
  }

  @Test
  void linksThatBreakInTwoPlacesAreNotRecovered() {
    List<Long> nodes = nodes();
    image.corruptWord(nodes.get(0), 0x4141);
    image.corruptWord(nodes.get(3) + 8, 0x4242);

    ListWalk walk = walk();

    assertThat(walk.nodes()).isEqualTo(List.of(nodes.get(0), nodes.get(3), nodes.get(4)));
    assertThat(walk.bad().orElseThrow())
        .isEqualTo(new ListWalk.BadLink(nodes.get(0), "next", 0x4141, 0, 1));
    assertThat(walk.isRecovered()).isFalse();
  }

  @Test
  void aCircleForwardsIsBlamedOnTheLinkThatClosesIt() {
    List<Long> nodes = nodes();
    add(nodes.get(2), head, image.word(head));
    assertThat(walk().bad().orElseThrow())
        .isEqualTo(new ListWalk.BadLink(nodes.get(1), "next", nodes.get(2), 0, 3));
  }

  /// Both its neighbours know it: it is a node, though nothing of it is in the dump.
  @Test
  void aNodeThatIsNotInTheDumpKeepsItsPlace() {
    long node = spliced();
    List<Long> nodes = nodes();
    image.exclude(image.physical(node) >>> 12);

    ListWalk walk = walk();

    assertThat(nodes).contains(node);
    assertThat(walk.nodes()).isEqualTo(nodes);
    assertThat(walk.isRecovered()).isFalse();
    assertThat(walk.end())
        .isInstanceOfSatisfying(
            ListWalk.End.Unreadable.class,
            end -> {
              assertThat(end.from()).isEqualTo(nodes.getFirst());
              assertThat(end.to()).isEqualTo(node);
            });
  }

  /// A wild pointer that both neighbours hold is no node.
  @Test
  void anAddressThatNothingIsMappedAtIsNoNode() {
    List<Long> nodes = nodes();
    image.corruptWord(nodes.get(0), 0x4000).corruptWord(nodes.get(2) + 8, 0x4000);
    assertThat(walk().nodes()).doesNotContain(0x4000L).hasSize(nodes.size() - 1);
  }

  /// The bound holds for a whole list and for one that is put together of two directions.
  @Test
  void moreNodesThanTheBoundAreNoList() {
    List<Long> nodes = nodes();
    int count = nodes.size();
    assertThat(ListWalk.walk(image.kernel().memory(), head, count)).isEqualTo(closed(nodes));
    ListWalk longer = ListWalk.walk(image.kernel().memory(), head, count - 1);
    assertThat(longer.end()).isEqualTo(new ListWalk.End.TooLong(nodes.get(count - 2), count - 1));
    assertThat(longer.nodes()).isEqualTo(nodes.subList(0, count - 1));
    assertThat(longer.isClosed()).isFalse();
    assertThat(longer.bad()).isEmpty();

    image.corruptWord(nodes.get(1) + 8, 0x4141);
    assertThat(ListWalk.walk(image.kernel().memory(), head, count).isRecovered()).isTrue();
    assertThat(ListWalk.walk(image.kernel().memory(), head, count - 1))
        .isEqualTo(
            new ListWalk(
                nodes.subList(0, 1),
                new ListWalk.End.TooLong(nodes.getFirst(), count - 1),
                Optional.empty()));
  }

  /// Forwards alone the list leads home, over more nodes than there can be.
  @Test
  void theBoundHoldsBehindABreakToo() {
    List<Long> nodes = nodes();
    image.corruptWord(nodes.get(1) + 8, 0x4141);
    image.corruptWord(nodes.get(nodes.size() - 2) + 8, 0x4242);
    VirtualMemory memory = image.kernel().memory();
    assertThat(ListWalk.walk(memory, head, nodes.size()).nodes()).isEqualTo(nodes);
    assertThat(ListWalk.walk(memory, head, nodes.size()).isRecovered()).isTrue();
    assertThat(ListWalk.walk(memory, head, nodes.size() - 1).isRecovered()).isFalse();
  }

  /// Each round of each direction asks for the time.
  @Test
  void aDeadlineEndsTheWalk() {
    List<Long> nodes = nodes();
    VirtualMemory memory = image.kernel().memory();
    Cancellation whole = Cancellation.after(Optional.empty());
    whole.run(() -> ListWalk.walk(memory, head, BOUND));
    assertThat(whole.steps()).isEqualTo(nodes.size() + 1);

    image.corruptWord(nodes.get(1) + 8, 0x4141);
    Cancellation broken = Cancellation.after(Optional.empty());
    broken.run(() -> ListWalk.walk(memory, head, BOUND));
    // Forwards up to the wrong link, backwards as far as it leads, onwards from it.
    assertThat(broken.steps()).isEqualTo(2 + nodes.size() + (nodes.size() - 1));
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
