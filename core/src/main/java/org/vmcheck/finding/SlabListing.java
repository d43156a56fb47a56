package org.vmcheck.finding;

import java.util.List;

/// One slab of a cache, object by object if that was asked for.
///
/// @param slab address of its descriptor
/// @param base address of its first byte
/// @param place where the allocator keeps it, in words
/// @param caution why the slab's lists could not be followed, so that an object without one may be
///   free all the same; empty if they could
/// @param objects every slot in order of address; none if they were not asked for
public record SlabListing(
    long slab,
    long base,
    String place,
    int inuse,
    int total,
    boolean frozen,
    String caution,
    List<Slot> objects) {
  public SlabListing {
    objects = List.copyOf(objects);
  }

  /// What is known of an object.
  public enum State {
    FREE("free"),
    /// Given back by its user, and nobody's before a grace period has ended.
    WAITING("waiting"),
    ALLOCATED("allocated"),
    /// The slab's lists could not be followed.
    UNKNOWN("unknown");

    private final String word;

    State(String word) {
      this.word = word;
    }

    /// The word that machines read.
    public String word() {
      return word;
    }
  }

  /// @param address of the object as its users see it
  /// @param list the freelist that it is on or the array that it is in; empty if none holds it
  /// @param words the state, with the list, as a person reads it
  public record Slot(int index, long address, State state, String list, String words) {}
}
