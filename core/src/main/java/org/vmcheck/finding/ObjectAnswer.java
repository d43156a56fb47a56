package org.vmcheck.finding;

import java.util.List;

/// What there is to say of one slab object.
///
/// @param address as asked
/// @param object address of the object that holds it
/// @param offset of the address in the object; negative in its left red zone
/// @param state `allocated`, or `free` with the list or the array
/// @param pointedBy address of the word of the list or array that leads here; [Evidence#UNKNOWN] if
///   none
/// @param slot address of its free pointer; [Evidence#UNKNOWN] for a free object that is on no
///   chain of free pointers
/// @param raw the word there
/// @param decoded what it leads to
/// @param hex the object's bytes, two digits each; in a cache with red zones also what the
///   allocator keeps behind them
/// @param history who allocated and who freed it, a sentence each, where the cache keeps that
/// @param neighbours the objects before and behind it, a sentence each
public record ObjectAnswer(
    long address,
    long physical,
    String cache,
    long slab,
    String place,
    int index,
    int objects,
    long object,
    int objectSize,
    long offset,
    String state,
    long pointedBy,
    long slot,
    long raw,
    long decoded,
    String hex,
    List<String> history,
    List<String> neighbours) {
  public ObjectAnswer {
    history = List.copyOf(history);
    neighbours = List.copyOf(neighbours);
  }
}
