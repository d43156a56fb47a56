package org.vmcheck.finding;

/// How much a finding weighs.
public enum Severity {
  /// Bytes that no healthy kernel leaves there.
  CORRUPT,
  /// A state that is wrong but does not by itself break the kernel.
  SUSPECT
}
