package org.vmcheck.slab;

/// Where the allocator keeps a slab.
///
/// @param cpu the CPU, -1 for a node's list
/// @param index which of the possible CPUs, or which node
/// @param cpuFreelist first object of the CPU's own freelist of a CPU slab; 0 elsewhere
/// @param cpuFreelistSlot address of the word that holds it
/// @param wordAt address of the word that names the slab; 0 for a node's list, where two do
public record SlabPlace(
    Kind kind,
    SlabCache cache,
    int cpu,
    int index,
    long cpuFreelist,
    long cpuFreelistSlot,
    long wordAt) {
  /// Kinds of places.
  public enum Kind {
    CPU_SLAB("CPU slab"),
    CPU_PARTIAL("CPU partial list"),
    NODE_PARTIAL("node partial list"),
    NODE_FULL("node full list"),
    /// Of slabs without an object in use, which only SLAB keeps apart.
    NODE_FREE("node free list");

    private final String words;

    Kind(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }
  }

  /// Whether a node keeps it; `index` then names the node.
  public boolean isOfNode() {
    return kind == Kind.NODE_PARTIAL || kind == Kind.NODE_FULL || kind == Kind.NODE_FREE;
  }

  /// For example `CPU slab of cpu 1`.
  public String words() {
    return kind.words() + (cpu >= 0 ? " of cpu " + cpu : " of node " + index);
  }
}
