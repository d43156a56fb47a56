package org.vmcheck.object;

import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;

/// One pass over the allocated objects of all slab caches: what every sibling obeys.
///
/// @param lookedAt objects, links and pointers that were held against something
/// @param notRead pages of slabs, by reason
/// @param faults in the order of the slabs
/// @param bytes how much memory was held against something: words that lie at a place where
///   siblings agree, and links
public record ObjectSurvey(
    SortedMap<String, Long> lookedAt,
    SortedMap<String, Long> notRead,
    List<ObjectFault> faults,
    long bytes) {
  public ObjectSurvey {
    lookedAt = new TreeMap<>(lookedAt);
    notRead = new TreeMap<>(notRead);
    faults = List.copyOf(faults);
  }

  public ObjectSurvey(
      Map<String, Long> lookedAt, Map<String, Long> notRead, List<ObjectFault> faults, long bytes) {
    this(new TreeMap<>(lookedAt), new TreeMap<>(notRead), faults, bytes);
  }

  /// @param isStill whether all memory is of one moment, as it is after a panic
  public static ObjectSurvey of(Kernel kernel, MemMap memMap, boolean isStill) {
    return new ObjectPass(kernel, memMap, isStill).run();
  }
}
