package org.vmcheck.finding;

import java.util.List;

/// Where a pattern is in memory.
///
/// @param found in order of physical address
/// @param total occurrences, with those that are not listed
/// @param pages frames that were searched
/// @param unread frames that could not be read
public record FindAnswer(List<FoundPattern> found, long total, long pages, long unread) {
  public FindAnswer {
    found = List.copyOf(found);
  }
}
