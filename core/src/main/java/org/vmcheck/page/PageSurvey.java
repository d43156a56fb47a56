package org.vmcheck.page;

import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.kernel.Kernel;

/// One pass over the page descriptors of a kernel, and one over the lists of free pages, held
/// against each other.
///
/// @param lookedAt descriptors and lists that were held against something, by kind
/// @param notRead what could not be read, by reason
/// @param faults what cannot be
/// @param transients what a CPU was about to change when it was stopped, a sentence each
/// @param remarks what was not judged and why, a sentence each
/// @param bytes how much memory was held against something
/// @param lists the same of the page allocator's lists; `faults` are those of descriptors only
public record PageSurvey(
    SortedMap<String, Long> lookedAt,
    SortedMap<String, Long> notRead,
    List<PageFault> faults,
    List<String> transients,
    List<String> remarks,
    long bytes,
    Optional<PageSurvey> lists) {
  private static final Kernel.Part<PageSurvey> PART =
      new Kernel.Part<>(kernel -> new DescriptorPass(kernel).run());

  public PageSurvey {
    lookedAt = new TreeMap<>(lookedAt);
    notRead = new TreeMap<>(notRead);
    faults = List.copyOf(faults);
    transients = List.copyOf(transients);
    remarks = List.copyOf(remarks);
  }

  /// Of a kernel whose page descriptors are known.
  public static PageSurvey of(Kernel kernel) {
    return kernel.part(PART);
  }
}
