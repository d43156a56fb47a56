package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.LongStream;
import org.vmcheck.finding.Counted;
import org.vmcheck.kernel.Kernel;

/// The counters of the nodes, `nr_slabs` and `total_objects` of `kmem_cache_node`, against the
/// slabs that were found through the page descriptors.
final class NodeCounters {
  private final SlabDescriptors descriptors;
  private final Kernel kernel;
  private final SlabCaches caches;
  private final List<SlabFault> faults;
  private final List<TransientState> transients;

  /// What a node counts of a cache, and what was found there; or all nodes together.
  ///
  /// @param id of the node, 0 for all
  /// @param nodes the cache's parts for it
  record Share(int id, List<SlabCache.Node> nodes, long slabsFound, long objectsFound) {
    boolean isCounted() {
      for (SlabCache.Node node : nodes) {
        if (node.slabs() == SlabCache.Node.NOT_COUNTED) {
          return false;
        }
      }
      return true;
    }

    long slabs() {
      long all = 0;
      for (SlabCache.Node node : nodes) {
        all += node.slabs();
      }
      return all;
    }

    long objects() {
      long all = 0;
      for (SlabCache.Node node : nodes) {
        all += node.totalObjects();
      }
      return all;
    }

    long uncounted() {
      return slabsFound - slabs();
    }
  }

  NodeCounters(SlabDescriptors descriptors, SlabFindings findings) {
    this.descriptors = descriptors;
    this.kernel = descriptors.kernel();
    this.caches = descriptors.caches();
    this.faults = findings.faults();
    this.transients = findings.transients();
  }

  /// The shares of a cache whose parts were all read: one a node, or one of all nodes.
  List<Share> shares(SlabCache cache, SlabCounts sum, boolean isByNode) {
    if (!isByNode
        || cache.isOfNodes()
        || cache.nodes().isEmpty()
        || LongStream.of(sum.slabsOf).sum() != sum.slabs) {
      return caches.hasWildNode(cache)
          ? List.of()
          : List.of(new Share(0, cache.nodes(), sum.slabs, sum.objects));
    }
    List<Share> shares = new ArrayList<>();
    for (int id = 0; id < descriptors.nodesToldApart(); id++) {
      int node = id;
      if (!caches.isWildNode(cache, id)) {
        shares.add(
            new Share(
                id,
                cache.nodes().stream().filter(part -> part.id() == node).toList(),
                sum.slabsOf[id],
                sum.objectsOf[id]));
      }
    }
    return shares;
  }

  /// Whether frames can be told apart by node well enough to compare each node's counters: where
  /// many caches have all their slabs and yet not on the right nodes, it is the nodes' spans that
  /// are not what they seem.
  boolean isByNode(Map<Long, SlabCounts> sums) {
    if (descriptors.nodesToldApart() == 1) {
      return false;
    }
    long shifted =
        caches.caches().stream()
            .filter(cache -> isShifted(cache, sums.get(cache.address())))
            .count();
    return shifted <= 1 + sums.size() / 8;
  }

  private boolean isShifted(SlabCache cache, SlabCounts sum) {
    return !caches.hasWildNode(cache)
        && cache.nodes().stream().mapToLong(SlabCache.Node::slabs).sum() == sum.slabs
        && shares(cache, sum, true).stream().anyMatch(share -> share.uncounted() != 0);
  }

  /// Holds the counters against what was found.
  ///
  /// @param excused takes the slabs whose faults are explained: a CPU builds them
  /// @param missing takes how many slabs a cache counts that were not found
  void checkTotals(
      SlabCache cache,
      List<Share> shares,
      UnlistedSlabs unlisted,
      Set<Long> excused,
      Map<SlabCache, Long> missing) {
    long more = 0;
    for (Share share : shares) {
      if (!share.isCounted()) {
        return;
      }
      more += Math.max(0, share.uncounted());
    }
    int cpus = kernel.perCpu().cpus().size();
    boolean isBuilt = unlisted.explains(cache, more, cpus);
    if (isBuilt) {
      excused.addAll(unlisted.excused(cache, more));
      transients.add(
          new TransientState(
              cache,
              "nr_slabs is %d, and found: %s"
                  .formatted(
                      shares.stream().mapToLong(Share::slabs).sum(),
                      Counted.of(shares.stream().mapToLong(Share::slabsFound).sum(), "slabs")),
              "a CPU builds a slab or gives it back: it is on no list and in no counter"));
    }
    for (Share share : shares) {
      long uncounted = share.uncounted();
      if (uncounted > 0 && isBuilt) {
        continue;
      }
      if (uncounted < 0) {
        missing.merge(cache, -uncounted, Long::sum);
      }
      if (share.nodes().isEmpty()) {
        if (uncounted != 0) {
          faults.add(caches.nullNode(cache, share.id(), uncounted));
        }
        continue;
      }
      long address = share.nodes().getFirst().address();
      if (uncounted != 0) {
        faults.add(
            new SlabFault.Count(
                cache,
                null,
                "kmem_cache_node.nr_slabs",
                address + descriptors.offsetInNode("nr_slabs"),
                share.slabsFound(),
                share.slabs(),
                "slabs found through the page descriptors"));
      } else if (share.objects() != share.objectsFound()) {
        if (share.objectsFound() - share.objects() == cache.objects()
            && unlisted.explains(cache, 1, cpus)) {
          transients.add(
              new TransientState(
                  cache,
                  "total_objects is one slab behind",
                  "a CPU has counted the slab and not yet its objects"));
          continue;
        }
        faults.add(
            new SlabFault.Count(
                cache,
                null,
                "kmem_cache_node.total_objects",
                address + descriptors.offsetInNode("total_objects"),
                share.objectsFound(),
                share.objects(),
                "objects of the slabs found through the page descriptors"));
      }
    }
  }
}
