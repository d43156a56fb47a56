package org.vmcheck.slab;

/// What one thread, or all together, met of one cache: its slabs and objects, node by node.
final class SlabCounts {
  long slabs;
  long objects;
  long inuse;
  long onCpuFreelists;

  /// Slabs and objects of each node, as far as frames tell their node; in place 0 where they do
  /// not.
  final long[] slabsOf;

  final long[] objectsOf;

  SlabCounts(int nodes) {
    slabsOf = new long[nodes];
    objectsOf = new long[nodes];
  }

  /// Counts a slab, or with sign -1 takes it back.
  ///
  /// @param node its node; -1 if that is not known
  void count(Slab slab, int node, int sign) {
    slabs += sign;
    objects += (long) sign * slab.walkableObjects();
    inuse += (long) sign * slab.inuse();
    if (node >= 0) {
      slabsOf[node] += sign;
      objectsOf[node] += (long) sign * slab.walkableObjects();
    }
  }

  void add(SlabCounts part) {
    slabs += part.slabs;
    objects += part.objects;
    inuse += part.inuse;
    onCpuFreelists += part.onCpuFreelists;
    for (int node = 0; node < slabsOf.length; node++) {
      slabsOf[node] += part.slabsOf[node];
      objectsOf[node] += part.objectsOf[node];
    }
  }
}
