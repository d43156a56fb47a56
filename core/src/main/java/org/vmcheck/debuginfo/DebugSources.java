package org.vmcheck.debuginfo;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// Where symbols and types may come from, besides the dump itself.
///
/// @param vmlinux a kernel's file that the user names: an ELF file with or without debug
///   information, or a bootable vmlinuz
/// @param directories where files of debug information are looked for, in this order, before the
///   places of the distributions
/// @param force whether a named file that belongs to another kernel is used all the same
/// @param ignored what is not to be used although it is there
/// @param known tables of dumps read before this one
public record DebugSources(
    Optional<Path> vmlinux,
    List<Path> directories,
    boolean force,
    Set<Kind> ignored,
    KnownTables known) {

  /// What symbols and types are found in.
  public enum Kind {
    /// The addresses of the tables of kallsyms in VMCOREINFO.
    KALLSYMS_KEYS,
    /// The symbols of kallsyms in the dump, however found.
    KALLSYMS,
    /// The types of BTF, in the dump or in a file.
    BTF,
    /// Files that the user did not name.
    PLACES
  }

  /// The dump, and the places of the distributions.
  public static final DebugSources DEFAULT =
      new DebugSources(Optional.empty(), List.of(), false, Set.of(), KnownTables.NONE);

  public DebugSources {
    directories = List.copyOf(directories);
    ignored = Set.copyOf(ignored);
  }

  public DebugSources withVmlinux(Path file) {
    return new DebugSources(Optional.of(file), directories, force, ignored, known);
  }

  public DebugSources withDirectories(List<Path> roots) {
    return new DebugSources(vmlinux, roots, force, ignored, known);
  }

  public DebugSources withForce(boolean newForce) {
    return new DebugSources(vmlinux, directories, newForce, ignored, known);
  }

  public DebugSources ignoring(Kind... kinds) {
    return new DebugSources(vmlinux, directories, force, Set.of(kinds), known);
  }

  public boolean ignores(Kind kind) {
    return ignored.contains(kind);
  }
}
