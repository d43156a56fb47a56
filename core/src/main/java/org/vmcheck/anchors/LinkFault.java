package org.vmcheck.anchors;

/// A word of a well-known list that the words around it prove wrong.
///
/// @param list by the kernel's names
/// @param what the word is, such as `next`
/// @param address of the word
/// @param value what it holds
/// @param expected what it must hold; 0 if that cannot be told
public record LinkFault(String list, String what, long address, long value, long expected) {
  /// Whether the word differs by one bit from the value that it must hold.
  public boolean isFlip() {
    return expected != 0 && Long.bitCount(value ^ expected) == 1;
  }
}
