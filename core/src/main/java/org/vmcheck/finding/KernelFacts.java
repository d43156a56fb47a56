package org.vmcheck.finding;

import java.util.List;
import java.util.Optional;

/// Who the dumped kernel is, and how its memory was read. Empty strings and [Evidence#UNKNOWN] mean
/// not known.
///
/// @param smeMask the bit that marks encrypted pages in page tables; 0 when memory encryption is
///   off
/// @param symbolSource where names come from, for example `kallsyms`
/// @param typeSource where structure layouts come from, for example `btf`
/// @param decoder how freelist pointers are decoded in this dump
/// @param modules names of the loaded modules in order; empty if the list was not read, or not
///   whole
/// @param caches every slab cache in order of name; empty if the slabs were not walked
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
    PanicFacts panic,
    Optional<List<String>> modules,
    Optional<List<CacheUse>> caches) {
  public KernelFacts {
    modules = modules.map(List::copyOf);
    caches = caches.map(List::copyOf);
  }

  /// Whether the kernel itself was found in the dump; else its release, machine and build-id are
  /// what the file says of it, and the rest is not known.
  public boolean isFound() {
    return !version.isEmpty();
  }

  /// Of a kernel whose modules and caches were not read.
  public KernelFacts(
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
    this(
        release,
        version,
        machine,
        nodename,
        buildId,
        commandLine,
        taint,
        cpus,
        memoryBytes,
        kaslrOffset,
        physBase,
        pagingLevels,
        smeMask,
        symbolSource,
        symbolCount,
        typeSource,
        allocator,
        slabVariant,
        decoder,
        panic,
        Optional.empty(),
        Optional.empty());
  }

  /// The same kernel with what was loaded and allocated in it.
  public KernelFacts withContents(
      Optional<List<String>> newModules, Optional<List<CacheUse>> newCaches) {
    return new KernelFacts(
        release,
        version,
        machine,
        nodename,
        buildId,
        commandLine,
        taint,
        cpus,
        memoryBytes,
        kaslrOffset,
        physBase,
        pagingLevels,
        smeMask,
        symbolSource,
        symbolCount,
        typeSource,
        allocator,
        slabVariant,
        decoder,
        panic,
        newModules,
        newCaches);
  }

  /// The panic, as the kernel's log and variables tell it.
  ///
  /// @param message the panic line; empty if there is none
  /// @param cpu the CPU that panicked, -1 if none did
  /// @param crashTime seconds since 1970, 0 if not known
  public record PanicFacts(String message, int cpu, long crashTime, List<String> context) {
    /// The last second that the kernel's clock can show (`KTIME_SEC_MAX`), in the year 2262.
    public static final long LAST_SECOND = Long.MAX_VALUE / 1_000_000_000;

    public PanicFacts {
      if (crashTime < 0 || crashTime > LAST_SECOND) {
        throw new IllegalArgumentException("no time of a crash: " + crashTime);
      }
      context = List.copyOf(context);
    }

    /// Whether the kernel had panicked or faulted; else it ran when it was dumped.
    public boolean hasPanicked() {
      return !message.isEmpty() || cpu >= 0 || crashTime != 0;
    }
  }
}
