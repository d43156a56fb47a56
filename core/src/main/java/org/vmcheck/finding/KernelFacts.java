package org.vmcheck.finding;

import java.util.List;

/// Who the dumped kernel is, and how its memory was read. Empty strings and [Evidence#UNKNOWN] mean
/// not known.
///
/// @param smeMask the bit that marks encrypted pages in page tables; 0 when memory encryption is
///   off
/// @param symbolSource where names come from, for example `kallsyms`
/// @param typeSource where structure layouts come from, for example `btf`
/// @param decoder how freelist pointers are decoded in this dump
public record KernelFacts(
    String release,
    String version,
    String machine,
    String nodename,
    String buildId,
    String commandLine,
    String taint,
    int cpus,
    long memoryBytes,
    long kaslrOffset,
    long physBase,
    int pagingLevels,
    long smeMask,
    String symbolSource,
    int symbolCount,
    String typeSource,
    String allocator,
    String slabVariant,
    String decoder,
    PanicFacts panic) {

  /// The panic, as the kernel's log and variables tell it.
  ///
  /// @param message the panic line; empty if there is none
  /// @param cpu the CPU that panicked, -1 if none did
  /// @param crashTime seconds since 1970, 0 if not known
  public record PanicFacts(String message, int cpu, long crashTime, List<String> context) {
    public PanicFacts {
      context = List.copyOf(context);
    }
  }
}
