package org.vmcheck.image;

import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.kernel.Kernel;

/// One pass over the page tables of the kernel's half: each entry is held against what arithmetic
/// says of it, and against what no entry may be.
///
/// @param lookedAt tables and entries, by kind
/// @param notRead tables that are not in the dump, by reason
/// @param faults in the order of addresses
/// @param remarks what was not judged and why, a sentence each
/// @param bytes how much memory was held against something
public record TableSurvey(
    SortedMap<String, Long> lookedAt,
    SortedMap<String, Long> notRead,
    List<TableFault> faults,
    List<String> remarks,
    long bytes) {
  public TableSurvey {
    lookedAt = new TreeMap<>(lookedAt);
    notRead = new TreeMap<>(notRead);
    faults = List.copyOf(faults);
    remarks = List.copyOf(remarks);
  }

  public static TableSurvey of(Kernel kernel) {
    return new TablePass(kernel).run();
  }
}
