package org.vmcheck.slab;

import java.util.ArrayList;
import java.util.List;

/// One slab with the places that keep it and everything that says that an object of it is free.
///
/// @param lists an object that is in two of them is told of by the first: the slab's own lists come
///   before arrays
public record SlabView(Slab slab, List<SlabPlace> places, List<FreeObjects> lists) {
  public SlabView {
    places = List.copyOf(places);
    lists = List.copyOf(lists);
  }

  /// What being held by a list says of an object.
  public enum Kind {
    /// On a freelist of the slab: free.
    LIST("free, on "),
    /// In an array of objects ready to be handed out, which the slab counts as handed out: free.
    ARRAY("free, in the "),
    /// In an array of objects that their users gave back and that nobody gets before a grace period
    /// has ended.
    WAITING("waiting for a grace period, in the ");

    private final String words;

    Kind(String words) {
      this.words = words;
    }
  }

  /// One freelist of the slab, or an array that holds objects of it.
  ///
  /// @param name by the kernel's names
  /// @param objects indices in list order
  /// @param words address of the word that leads to each of these
  /// @param list how the walk of it ended
  public record FreeObjects(
      Kind kind, String name, List<Integer> objects, List<Long> words, Freelist list) {
    public FreeObjects {
      objects = List.copyOf(objects);
      words = List.copyOf(words);
      if (objects.size() != words.size()) {
        throw new IllegalArgumentException(objects.size() + " objects, " + words.size() + " words");
      }
    }

    /// A chain of free pointers, each in the object before.
    static FreeObjects chain(
        Slab slab, String name, long headSlot, List<Integer> objects, Freelist list) {
      List<Long> words = new ArrayList<>();
      for (int i = 0; i < objects.size(); i++) {
        words.add(i == 0 ? headSlot : slab.slot(objects.get(i - 1)));
      }
      return new FreeObjects(Kind.LIST, name, objects, words, list);
    }

    /// The state of its objects.
    public String stateWords() {
      return kind.words + name;
    }

    /// Address of the word that leads to an object of it; -1 if none does.
    public long pointerTo(int index) {
      int at = objects.indexOf(index);
      return at < 0 ? -1 : words.get(at);
    }
  }

  /// Collects the objects of the slab that one array holds.
  static final class Held {
    private final List<Integer> objects = new ArrayList<>();
    private final List<Long> words = new ArrayList<>();

    void add(int index, long word) {
      objects.add(index);
      words.add(word);
    }

    FreeObjects in(Kind kind, String name) {
      return new FreeObjects(
          kind, name, objects, words, new Freelist(objects.size(), new Freelist.End.Closed()));
    }
  }

  /// Where the slab is, in words.
  public String placeWords() {
    if (!places.isEmpty()) {
      return String.join(", ", places.stream().map(SlabPlace::words).toList());
    }
    // SLAB has a list for its full slabs too.
    return slab.inuse() == slab.objects() && slab.cache().allocator() == SlabCache.Allocator.SLUB
        ? "full, on no list"
        : "on no list";
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
