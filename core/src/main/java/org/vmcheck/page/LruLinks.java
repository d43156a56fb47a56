package org.vmcheck.page;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;

/// The links of pages on LRU lists: whether each is answered, in one pass and without keeping them.
///
/// Over all nodes of whole circles the pairs (node, next) are the pairs (prev, node). So a sum over
/// the first less a sum over the second is zero, whatever the order; only where it is not are the
/// nodes looked at one by one. Heads are what nodes lead to outside the descriptors.
final class LruLinks {
  private static final int MAX_HEADS = 1 << 16;
  private static final int MAX_BROKEN = 64;

  private final Kernel kernel;
  private final MemMap memMap;
  private final int lruAt;
  private final Set<Long> heads = new HashSet<>();
  private long sum;
  private long nodes;

  LruLinks(Kernel kernel, MemMap memMap) {
    this.kernel = kernel;
    this.memMap = memMap;
    this.lruAt = memMap.shape().lruAt();
  }

  long nodes() {
    return nodes;
  }

  void node(long self, long next, long prev) {
    nodes++;
    sum += pair(self, next) - pair(prev, self);
    if (!isNode(next)) {
      head(next);
    }
    if (!isNode(prev)) {
      head(prev);
    }
  }

  private void head(long at) {
    if (heads.size() < MAX_HEADS) {
      heads.add(at);
    }
  }

  private boolean isNode(long at) {
    return memMap.pfn(at - lruAt) >= 0;
  }

  /// Mixed so that different pairs do not add up to the same by chance.
  private static long pair(long from, long to) {
    long mixed = (from * 0x9e3779b97f4a7c15L) ^ (to * 0xc2b2ae3d27d4eb4fL + (to >>> 29));
    mixed ^= mixed >>> 32;
    return mixed * 0xd6e8feb86659fd93L;
  }

  /// Whether every link is answered.
  boolean areWhole() {
    if (heads.size() >= MAX_HEADS) {
      return true; // Not asked: these are no lists that are known here.
    }
    for (long head : heads) {
      long[] links = links(head);
      if (links != null) {
        sum += pair(head, links[0]) - pair(links[1], head);
      }
    }
    return sum == 0;
  }

  private long[] links(long at) {
    ByteView view = at < 0 && (at & 7) == 0 ? kernel.memory().bytes(at, 16) : null;
    return view == null ? null : new long[] {view.u64(0), view.u64(8)};
  }

  /// A link that is not answered.
  ///
  /// @param expected what it must hold; 0 if that cannot be told
  record Broken(long pfn, long address, String member, long value, long expected) {}

  /// Looks at each node again.
  ///
  /// @param pages of all nodes, in any order
  List<Broken> broken(Iterable<Long> pages) {
    Map<Long, Long> byNext = new HashMap<>();
    Map<Long, Long> byPrev = new HashMap<>();
    List<Long> all = new ArrayList<>();
    for (long pfn : pages) {
      all.add(memMap.descriptor(pfn) + lruAt);
    }
    for (long head : heads) {
      if (links(head) != null) {
        all.add(head);
      }
    }
    for (long node : all) {
      Cancellation.check();
      long[] links = links(node);
      if (links != null) {
        byNext.merge(links[0], node, (_, _) -> 0L);
        byPrev.merge(links[1], node, (_, _) -> 0L);
      }
    }
    List<Broken> broken = new ArrayList<>();
    for (long node : all) {
      long[] links = links(node);
      if (links == null || broken.size() >= MAX_BROKEN) {
        continue;
      }
      // Who leads back to this node on that side is what the link must hold.
      check(node, "next", links[0], byPrev.getOrDefault(node, 0L), 1, broken);
      check(node, "prev", links[1], byNext.getOrDefault(node, 0L), 0, broken);
    }
    return broken;
  }

  /// @param claimant the one node whose opposite link leads here; 0 if none or several do
  /// @param back which of the other node's links leads back
  private void check(
      long node, String member, long value, long claimant, int back, List<Broken> broken) {
    long[] target = links(value);
    if ((target != null && target[back] == node) || claimant == value) {
      return;
    }
    if (claimant == 0 || !isNode(node)) {
      return;
    }
    // A CPU that was stopped in list_add or list_del: the two sides skip one node.
    long[] other = links(claimant);
    if (other == null || other[1 - back] == value) {
      return;
    }
    long pfn = memMap.pfn(node - lruAt);
    broken.add(
        new Broken(pfn, node + (member.equals("next") ? 0 : 8), "lru." + member, value, claimant));
  }
}
