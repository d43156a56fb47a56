package org.vmcheck.arch;

import java.util.OptionalLong;

/// What has to be known of a processor's instructions to tell who wrote over code.
public interface Instructions {
  /// Bytes of a breakpoint, which it is aligned to.
  int breakpointBytes();

  /// @param code the bytes at a place of [#breakpointBytes], little endian
  boolean isBreakpoint(long code);

  /// Bytes of a call or jump to a place that stands in it.
  int jumpBytes();

  /// Whether a probe may be a jump (`CONFIG_OPTPROBES`) that begins so.
  ///
  /// @param code its first bytes, little endian
  boolean isProbeJump(long code);

  /// Where a call or jump leads; empty if the code is none.
  ///
  /// @param address where it stands
  /// @param code its bytes, little endian
  OptionalLong target(long address, long code);
}
