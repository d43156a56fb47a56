package org.vmcheck.attribution;

import java.util.Optional;

/// One of the known ways to break a freelist.
interface ListHypothesis {
  /// Whether the bytes fit, with what shows it. What was looked at and did not fit is said nowhere.
  ///
  /// @param list whose good part was walked
  /// @param word at which it goes wrong
  Optional<Diagnosis> ask(BrokenList list, BadWord word);
}
