package org.vmcheck.anchors;

/// A word of a well-known list that the words around it prove wrong.
///
/// @param kind of list
/// @param list by the kernel's names
/// @param what the word is, such as `next`
/// @param address of the word
/// @param value what it holds
/// @param expected what it must hold; 0 if that cannot be told
public record LinkFault(
    Kind kind, String list, String what, long address, long value, long expected) {
  /// How its nodes are linked.
  public enum Kind {
    /// Both ways, in a circle.
    CIRCLE,
    /// One way, up to a null pointer.
    CHAIN
  }

  /// Whether the word differs by one bit from the value that it must hold.
  public boolean isFlip() {
    return expected != 0 && Long.bitCount(value ^ expected) == 1;
  }
}
