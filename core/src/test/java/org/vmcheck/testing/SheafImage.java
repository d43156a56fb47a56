package org.vmcheck.testing;

import java.util.List;

/// A sheaf of an image: an array of objects that are free for their users and that the slab counts
/// as handed out.
///
/// @param address of the `slab_sheaf`
/// @param objects addresses of the objects in it
/// @param cpu or node that keeps it
public record SheafImage(Place place, int cpu, long address, List<Long> objects) {
  /// Where it is kept.
  public enum Place {
    MAIN,
    SPARE,
    /// Objects that wait for a grace period: not yet free.
    RCU_FREE,
    BARN_FULL,
    BARN_EMPTY
  }

  public SheafImage {
    objects = List.copyOf(objects);
  }

  /// Address of the word that holds an object's address.
  public long entry(int index) {
    return address + 32 + 8L * index;
  }
}
