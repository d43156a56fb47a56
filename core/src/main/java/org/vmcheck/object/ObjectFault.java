package org.vmcheck.object;

import java.util.OptionalLong;
import org.vmcheck.slab.SlabCache;

/// A word of an allocated object that other memory proves wrong.
///
/// @param cache of the object
/// @param object its address, as its users see it
/// @param offset of the word in the object, in bytes
/// @param member its name, if the structure of the cache is known; else empty
/// @param value what the word holds
/// @param right what it must hold; empty if nothing in memory says it
/// @param witness what proves that
/// @param like what else is to be said of the witness, a phrase; may be empty
public record ObjectFault(
    SlabCache cache,
    long object,
    int offset,
    String member,
    long value,
    OptionalLong right,
    Witness witness,
    String like) {
  /// What proves a word wrong.
  public enum Witness {
    /// The neighbour on a list leads back to it.
    NEIGHBOUR,
    /// An empty head's other word leads to the head.
    EMPTY_HEAD,
    /// Parent or child in a red-black tree leads to the node that has it.
    TREE,
    /// With one of the highest bits it is an address.
    ADDRESS,
    /// Its type never has such a bit, nor has any other object of the cache.
    TYPE,
    /// All other objects of the cache have a pointer of one kind at that place, and here one bit is
    /// missing for it, or what is here is no address.
    SIBLINGS
  }

  /// Whether one bit explains it.
  public boolean isFlip() {
    return right.isPresent() && Long.bitCount(value ^ right.getAsLong()) == 1;
  }

  /// Address of the word.
  public long address() {
    return object + offset;
  }
}
