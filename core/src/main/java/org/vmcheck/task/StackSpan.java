package org.vmcheck.task;

import java.util.Optional;
import org.vmcheck.finding.Task;

/// Where a kernel stack lies.
///
/// @param low its lowest byte
/// @param high the byte behind its highest
/// @param tag the kernel's own (`TASK`, `IRQ`, `NMI`, …)
/// @param cpu whose it is, -1 for a task's
/// @param task whose it is, empty for a CPU's
public record StackSpan(long low, long high, String tag, int cpu, Optional<Task> task) {
  public boolean contains(long address) {
    return Long.compareUnsigned(address, low) >= 0 && Long.compareUnsigned(address, high) < 0;
  }
}
