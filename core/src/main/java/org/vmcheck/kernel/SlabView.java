package org.vmcheck.kernel;

import java.util.List;

/// One slab with the places that keep it and its freelists, object by object.
public record SlabView(Slab slab, List<SlabPlace> places, List<FreeObjects> lists) {
  public SlabView {
    places = List.copyOf(places);
    lists = List.copyOf(lists);
  }

  /// One freelist of the slab.
  ///
  /// @param name by the kernel's names
  /// @param headSlot address of the word that holds its head
  /// @param objects indices in list order
  public record FreeObjects(String name, long headSlot, List<Integer> objects, Freelist list) {
    public FreeObjects {
      objects = List.copyOf(objects);
    }
  }

  /// Where the slab is, in words.
  public String placeWords() {
    if (!places.isEmpty()) {
      return String.join(", ", places.stream().map(SlabPlace::words).toList());
    }
    return slab.inuse() == slab.objects() ? "full, on no list" : "on no list";
  }

  /// The list that an object is on, or null if it is on none: allocated, or lost.
  public FreeObjects listOf(int index) {
    for (FreeObjects free : lists) {
      if (free.objects().contains(index)) {
        return free;
      }
    }
    return null;
  }
}
