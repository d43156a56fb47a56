package org.vmcheck.arch;

import java.util.OptionalLong;

/// INT3, CALL and JMP with a distance of 32 bits. Source: Linux
/// `arch/x86/include/asm/text-patching.h`.
final class X86_64Instructions implements Instructions {
  private static final int INT3 = 0xcc;
  private static final int CALL = 0xe8;
  private static final int JUMP = 0xe9;

  @Override
  public int breakpointBytes() {
    return 1;
  }

  @Override
  public boolean isBreakpoint(long code) {
    return (code & 0xff) == INT3;
  }

  @Override
  public int jumpBytes() {
    return 5;
  }

  @Override
  public boolean isProbeJump(long code) {
    return (code & 0xff) == JUMP;
  }

  @Override
  public OptionalLong target(long address, long code) {
    long opcode = code & 0xff;
    return opcode == CALL || opcode == JUMP
        ? OptionalLong.of(address + jumpBytes() + (int) (code >>> 8))
        : OptionalLong.empty();
  }
}
