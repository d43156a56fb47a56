package org.vmcheck.debuginfo;

import java.nio.file.Path;

/// A file of debug information that was looked at for a dump.
///
/// @param isNamed whether the user named it; else it was found in one of the usual places
/// @param ofFile whose debug information it is
/// @param ofDump which kernel was dumped
/// @param isUsed whether symbols or types are taken from it
/// @param gives what is taken from it, for example `symtab, dwarf`; empty if nothing is
public record DebugFile(
    Path path,
    boolean isNamed,
    KernelIdentity ofFile,
    KernelIdentity ofDump,
    KernelIdentity.Match match,
    boolean isUsed,
    String gives) {

  /// Whether it is used although it is not known to belong to the dumped kernel: because the user
  /// insists.
  public boolean isForced() {
    return isUsed
        && switch (match) {
          case SAME_BUILD_ID, SAME_BANNER -> false;
          case DIFFERENT, NOT_COMPARABLE -> true;
        };
  }
}
