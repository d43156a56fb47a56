package org.vmcheck.testing;

import java.util.List;

/// A sheaf of an image, or an array cache of SLAB: objects that are free for their users and that
/// the slab counts as handed out.
///
/// @param address of the `slab_sheaf`
/// @param objects addresses of the objects in it
/// @param cpu or node that keeps it
/// @param entriesAt offset of the array of pointers
public record SheafImage(Place place, int cpu, long address, List<Long> objects, int entriesAt) {
  /// Where it is kept.
  public enum Place {
    MAIN,
    SPARE,
    /// Objects that wait for a grace period: not yet free.
    RCU_FREE,
    BARN_FULL,
    BARN_EMPTY,
    /// Array caches of SLAB: a CPU's, one that a node's CPUs share, one for another node's objects.
    CPU_ARRAY,
    SHARED_ARRAY,
    ALIEN_ARRAY
  }

  public SheafImage {
    objects = List.copyOf(objects);
  }

  /// Address of the word that holds an object's address.
  public long entry(int index) {
    return address + entriesAt + 8L * index;
  }
}
