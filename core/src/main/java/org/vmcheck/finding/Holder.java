package org.vmcheck.finding;

/// A word of memory that leads to what was asked for.
///
/// @param address of the word
/// @param physical where it lies in memory: one word may have several addresses
/// @param word what it holds
/// @param place where it lies
/// @param rank how much it says
public record Holder(long address, long physical, long word, Place place, Rank rank) {
  /// How much a holder says, the most first.
  public enum Rank {
    /// In an allocated object whose structure is known.
    MEMBER("held by"),
    /// In an allocated object.
    OBJECT("held by"),
    /// In static or per-CPU data, or in a module.
    DATA("held by"),
    STACK("on a stack"),
    /// In a page of the kernel, or a vmalloc area.
    PAGE("in"),
    /// In the object itself: an empty list leads to its own head.
    ITSELF("itself"),
    /// In an object that is free, or below a stack's pointer: what was once there.
    STALE("stale, in");

    private final String words;

    Rank(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }
  }
}
