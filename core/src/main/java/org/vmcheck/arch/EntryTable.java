package org.vmcheck.arch;

import java.util.OptionalLong;

/// A table through which the kernel is entered: of system calls, of interrupts.
///
/// @param symbol the variable
/// @param entries how many it has; 0 if it ends where the next symbol begins
/// @param entryWords 64-bit words of each
/// @param isExact whether each leads to where a function begins; else anywhere into the image, for
///   early stubs have no symbol each
/// @param target where an entry leads
public record EntryTable(
    String symbol, int entries, int entryWords, boolean isExact, Target target) {
  /// Decodes an entry.
  public interface Target {
    /// @param second word; that of the next entry where one has one word
    /// @return empty if no kernel writes such an entry; 0 for one that is not used
    OptionalLong of(long first, long second);
  }

  /// A table of addresses of functions.
  public static EntryTable ofFunctions(String symbol) {
    return new EntryTable(symbol, 0, 1, true, (first, _) -> OptionalLong.of(first));
  }
}
