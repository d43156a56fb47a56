package org.vmcheck.slab;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.vmcheck.kernel.ListWalk;
import org.vmcheck.testing.FakeCache;
import org.vmcheck.testing.FakeImage;
import org.vmcheck.testing.FakeKernel;
import org.vmcheck.testing.Layout;

/// A node's partial list that closes in both directions, by other slabs: `nr_partial` tells which
/// of the two is right.
class TwoDirectionsTest {
  private final FakeImage image =
      FakeKernel.of(Layout.V6_1)
          .seed(3)
          .cache(FakeCache.named("victim", 256).partial(12).full(2))
          .build();
  private final long node = image.cache("victim").node(0);
  private final long head = image.member("kmem_cache_node", node, "partial");
  private final long counter = image.member("kmem_cache_node", node, "nr_partial");
  private final List<Long> nodes = nodes();

  private List<Long> nodes() {
    List<Long> all = new ArrayList<>();
    for (long at = image.word(head); at != head; at = image.word(at)) {
      all.add(at);
    }
    return all;
  }

  private List<SlabFault> faults() {
    return image.survey().faults();
  }

  private ListWalk walk() {
    List<SlabFault> faults = faults();
    assertThat(faults).hasSize(1);
    assertThat(faults.getFirst()).isInstanceOf(SlabFault.Links.class);
    SlabFault.Links links = (SlabFault.Links) faults.getFirst();
    assertThat(links.address()).isEqualTo(links.walk().bad().orElseThrow().address());
    return links.walk();
  }

  /// The `next` of one skips the one behind it, which `prev` and the count know.
  @Test
  void aSkippedSlabIsTheFaultOfNext() {
    assertThat(nodes).hasSizeGreaterThan(5);
    assertThat(image.word(counter)).isEqualTo(nodes.size());
    image.corruptWord(nodes.get(1), nodes.get(3));

    ListWalk walk = walk();

    assertThat(walk.nodes()).isEqualTo(nodes);
    assertThat(walk.bad().orElseThrow())
        .isEqualTo(new ListWalk.BadLink(nodes.get(1), "next", nodes.get(3), nodes.get(2), 2));
  }

  @Test
  void theHeadsNextMaySkipToo() {
    image.corruptWord(head, nodes.get(1));

    ListWalk walk = walk();

    assertThat(walk.nodes()).isEqualTo(nodes);
    assertThat(walk.bad().orElseThrow())
        .isEqualTo(new ListWalk.BadLink(head, "next", nodes.get(1), nodes.get(0), 0));
  }

  /// `prev` skips one, and the count is that of `next`.
  @Test
  void aSlabThatOnlyPrevSkipsIsTheFaultOfPrev() {
    image.corruptWord(nodes.get(3) + 8, nodes.get(1));

    ListWalk walk = walk();

    assertThat(walk.nodes()).isEqualTo(nodes);
    assertThat(walk.bad().orElseThrow())
        .isEqualTo(new ListWalk.BadLink(nodes.get(3) + 8, "prev", nodes.get(1), nodes.get(2), 4));
  }

  /// Both directions and the count disagree: what was met is kept, and the count is said too.
  @Test
  void aCountThatIsNeitherDirectionsDecidesNothing() {
    image.corruptWord(nodes.get(1), nodes.get(3));
    image.corruptWord(counter, nodes.size() + 5);

    assertThat(faults())
        .anySatisfy(
            fault ->
                assertThat(fault)
                    .isInstanceOfSatisfying(
                        SlabFault.Links.class,
                        links -> {
                          assertThat(links.walk().nodes()).hasSize(nodes.size() - 1);
                          assertThat(links.walk().bad().orElseThrow().member()).isEqualTo("prev");
                        }))
        .anySatisfy(
            fault ->
                assertThat(fault)
                    .isInstanceOfSatisfying(
                        SlabFault.Count.class,
                        count -> {
                          assertThat(count.expected()).isEqualTo(nodes.size() - 1);
                          assertThat(count.actual()).isEqualTo(nodes.size() + 5);
                        }));
  }

  /// Where `prev` leads to a wild address the other way is no way.
  @Test
  void aPrevThatLeadsNowhereIsTheWrongWord() {
    image.corruptWord(nodes.get(3) + 8, 0x4141_4141_4141_4140L);
    image.corruptWord(counter, nodes.size());
    assertThat(walk().bad().orElseThrow().address()).isEqualTo(nodes.get(3) + 8);
    image.corruptWord(nodes.get(3) + 8, nodes.get(2) + 4);
    assertThat(walk().bad().orElseThrow().address()).isEqualTo(nodes.get(3) + 8);
  }

  /// A wrong count of a whole list is the count's.
  @Test
  void aWholeListsCountIsItsOwnFault() {
    image.corruptWord(counter, nodes.size() + 1);
    List<SlabFault> faults = faults();
    assertThat(faults).hasSize(1);
    assertThat(faults.getFirst())
        .isInstanceOfSatisfying(
            SlabFault.Count.class,
            count -> {
              assertThat(count.address()).isEqualTo(counter);
              assertThat(count.counter()).isEqualTo("kmem_cache_node.nr_partial");
              assertThat(count.expected()).isEqualTo(nodes.size());
            });
    image.corruptWord(counter, nodes.size());
    assertThat(faults()).isEmpty();
  }
}
