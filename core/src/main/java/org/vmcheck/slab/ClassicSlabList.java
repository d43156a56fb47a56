package org.vmcheck.slab;

/// The lists of a node, each with what it says of the slabs on it.
enum ClassicSlabList {
  PARTIAL("slabs_partial", SlabPlace.Kind.NODE_PARTIAL),
  FULL("slabs_full", SlabPlace.Kind.NODE_FULL),
  FREE("slabs_free", SlabPlace.Kind.NODE_FREE);

  /// Slabs of a list that are walked.
  static final int MAX_SLABS = 1 << 24;

  private final String member;
  private final SlabPlace.Kind place;

  ClassicSlabList(String member, SlabPlace.Kind place) {
    this.member = member;
    this.place = place;
  }

  /// The kernel's name of the list, a member of `kmem_cache_node`.
  String member() {
    return member;
  }

  SlabPlace.Kind place() {
    return place;
  }
}
