package org.vmcheck.arch;

import java.util.OptionalLong;

/// BRK, B and BL. Source: Linux `arch/arm64/include/asm/insn.h`.
final class Aarch64Instructions implements Instructions {
  @Override
  public int breakpointBytes() {
    return 4;
  }

  @Override
  public boolean isBreakpoint(long code) {
    return (code & 0xffe0_001fL) == 0xd420_0000L;
  }

  @Override
  public int jumpBytes() {
    return 4;
  }

  /// There are no optimised probes.
  @Override
  public boolean isProbeJump(long code) {
    return false;
  }

  /// B and BL differ in bit 31; the distance is in words.
  @Override
  public OptionalLong target(long address, long code) {
    return (code & 0x7c00_0000L) == 0x1400_0000L
        ? OptionalLong.of(address + ((int) (code << 6) >> 4))
        : OptionalLong.empty();
  }
}
