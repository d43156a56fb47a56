package org.vmcheck.archive;

import java.util.List;

/// How many incidents an answer rests on, so that its sums can be checked.
///
/// @param selected all that were asked for
/// @param copies of another dump among them, which do not count
/// @param selfTests of kdump among the rest, which do not count either
/// @param vanished among all
public record Tally(long selected, long copies, long selfTests, long vanished) {
  /// Those that count.
  public long counted() {
    return selected - copies - selfTests;
  }

  /// Some groups of all.
  ///
  /// @param groups largest first
  /// @param all how many groups there are
  /// @param keyed incidents that are in a group, shown or not
  /// @param shown incidents in the groups that are shown; of causes, one counts in each of its own
  public record Groups(List<CrashGroup> groups, long all, long keyed, long shown) {
    public Groups {
      groups = List.copyOf(groups);
    }
  }
}
