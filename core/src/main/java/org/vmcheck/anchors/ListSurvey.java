package org.vmcheck.anchors;

import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.kernel.Kernel;

/// One pass over the lists that symbols name, and over every link in the kernel's own data.
///
/// @param lookedAt lists, nodes and links that were held against something, by kind
/// @param notRead lists and pages that could not be read, by reason
/// @param faults lists first, in the order of the symbols
/// @param transients what a CPU was about to change when it was stopped, a sentence each
/// @param bytes how much memory was held against something
public record ListSurvey(
    SortedMap<String, Long> lookedAt,
    SortedMap<String, Long> notRead,
    List<LinkFault> faults,
    List<String> transients,
    long bytes) {
  public ListSurvey {
    lookedAt = new TreeMap<>(lookedAt);
    notRead = new TreeMap<>(notRead);
    faults = List.copyOf(faults);
    transients = List.copyOf(transients);
  }

  /// @param isStill whether all memory is of one moment, as it is after a panic
  public static ListSurvey of(Kernel kernel, boolean isStill) {
    return new ListPass(kernel, isStill).run();
  }
}
