package org.vmcheck.image;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.debuginfo.Vmlinux;
import org.vmcheck.kernel.Kernel;

/// One pass over the kernel's text and read-only data, held against its file byte by byte.
///
/// @param lookedAt bytes, by section
/// @param notRead pages, by reason
/// @param faults in the order of addresses
/// @param remarks why less was said than was seen, a sentence each
/// @param open bytes of text that the kernel patches itself
/// @param sites how many places of such bytes
public record TextSurvey(
    SortedMap<String, Long> lookedAt,
    SortedMap<String, Long> notRead,
    List<TextFault> faults,
    List<String> remarks,
    long open,
    long sites) {
  public TextSurvey {
    lookedAt = new TreeMap<>(lookedAt);
    notRead = new TreeMap<>(notRead);
    faults = List.copyOf(faults);
    remarks = List.copyOf(remarks);
  }

  TextSurvey(
      Map<String, Long> lookedAt,
      Map<String, Long> notRead,
      List<TextFault> faults,
      List<String> remarks,
      long open,
      long sites) {
    this(new TreeMap<>(lookedAt), new TreeMap<>(notRead), faults, remarks, open, sites);
  }

  /// @param file of this very kernel
  /// @throws IOException if its sections cannot be read
  public static TextSurvey of(Kernel kernel, Vmlinux file) throws IOException {
    return new TextPass(kernel, file.parts()).run();
  }
}
