package org.vmcheck.analysis;

import java.util.List;

/// Bytes of memory with what is known of the place.
///
/// @param address of the first byte, as asked
/// @param physical physical address of the first byte, -1 if not known
/// @param bytes what could be read, unsigned values
/// @param page what the page is: `slab kmalloc-64`, `reserved`, …; empty if not known
/// @param symbol the symbol at the address, empty if none
/// @param caution why the bytes of the page are not what the kernel kept there; empty if they are
/// @param end why the bytes end before the length asked for; empty if they do not
public record MemoryAnswer(
    long address,
    long physical,
    List<Integer> bytes,
    String page,
    String caution,
    String symbol,
    String end) {
  public MemoryAnswer {
    bytes = List.copyOf(bytes);
  }
}
