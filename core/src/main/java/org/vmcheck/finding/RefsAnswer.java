package org.vmcheck.finding;

import java.util.List;

/// Who in memory leads to one piece of memory.
///
/// @param target what was asked for
/// @param start first byte that counts
/// @param size bytes that count
/// @param holders the ones that say most first
/// @param total words that lead there, with those that are not listed
/// @param pages frames that were searched
/// @param passedOver frames in the dump that were not: free, a user's, page tables
/// @param unread frames that could not be read
public record RefsAnswer(
    Place target,
    long start,
    long size,
    List<Holder> holders,
    long total,
    long pages,
    long passedOver,
    long unread) {
  public RefsAnswer {
    holders = List.copyOf(holders);
  }
}
