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
/// @param force whether a file that belongs to another kernel is used all the same
/// @param ignored what the dump itself has and is not to be used
public record DebugSources(
    Optional<Path> vmlinux, List<Path> directories, boolean force, Set<Own> ignored) {

  /// What a dump itself can have.
  public enum Own {
    /// The addresses of the tables of kallsyms in VMCOREINFO.
    KALLSYMS_KEYS,
    /// The symbols of kallsyms, however found.
    KALLSYMS,
    /// The types of BTF.
    BTF
  }

  /// The dump, and the places of the distributions.
  public static final DebugSources DEFAULT =
      new DebugSources(Optional.empty(), List.of(), false, Set.of());

  public DebugSources {
    directories = List.copyOf(directories);
    ignored = Set.copyOf(ignored);
  }

  public DebugSources withVmlinux(Path file) {
    return new DebugSources(Optional.of(file), directories, force, ignored);
  }

  public DebugSources withDirectories(List<Path> roots) {
    return new DebugSources(vmlinux, roots, force, ignored);
  }

  public DebugSources withForce(boolean newForce) {
    return new DebugSources(vmlinux, directories, newForce, ignored);
  }

  public DebugSources ignoring(Own... own) {
    return new DebugSources(vmlinux, directories, force, Set.of(own));
  }

  public boolean ignores(Own own) {
    return ignored.contains(own);
  }
}
