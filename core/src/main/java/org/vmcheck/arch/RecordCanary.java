package org.vmcheck.arch;

import java.util.OptionalLong;
import org.vmcheck.io.ByteView;

/// Where a function of arm64 keeps its canary, read from its code: it takes the task from `sp_el0`,
/// the word from `task_struct.stack_canary`, and stores it in its frame
/// (`-mstack-protector-guard=sysreg`).
public final class RecordCanary {
  private static final int MRS_SP_EL0 = 0xd538_4100;
  private static final int LOAD = 0xf940_0000;
  private static final int STORE = 0xf900_0000;

  /// Opcode and size bits of `ldr` and `str` of 64 bits with an offset.
  private static final int ACCESS = 0xffc0_0000;

  /// `add x29, sp, #n`, which is `mov x29, sp` where n is 0.
  private static final int SET_FP = 0x9100_03fd;

  private static final int SUB_SP = 0xd100_03ff;
  private static final int SUB_SP_REGISTER = 0xcb20_63ff;
  private static final int SP = 31;
  private static final int FP = 29;

  private RecordCanary() {}

  /// How far the canary is above the frame record; empty if the code is none that is known, or
  /// moves its stack pointer again.
  ///
  /// @param code of one function
  /// @param member offset of `stack_canary` in `task_struct`
  public static OptionalLong offset(ByteView code, long member) {
    int tasks = 0;
    long record = -1;
    long found = Long.MIN_VALUE;
    for (int at = 0; at + 8 <= code.size(); at += 4) {
      int word = (int) code.u32(at);
      int target = word & 31;
      boolean isImmediateSub = (word & 0xff80_03ff) == SUB_SP;
      if ((word & 0xffe0_e3ff) == (SUB_SP_REGISTER & 0xffe0_e3ff)
          || (isImmediateSub && record >= 0)) {
        return OptionalLong.empty();
      }
      if ((word & 0xffc0_03ff) == SET_FP && record < 0) {
        record = word >>> 10 & 0xfffL;
      } else if ((word & ~31) == MRS_SP_EL0) {
        tasks |= 1 << target;
      } else if ((word & ACCESS) == LOAD
          && (tasks & 1 << (word >>> 5 & 31)) != 0
          && scaled(word) == member) {
        int next = (int) code.u32(at + 4);
        int base = next >>> 5 & 31;
        if ((next & ACCESS) == STORE && (next & 31) == target && (base == SP || base == FP)) {
          if (record < 0 || found != Long.MIN_VALUE) {
            return OptionalLong.empty();
          }
          found = scaled(next) - (base == SP ? record : 0);
        }
      }
    }
    return found == Long.MIN_VALUE ? OptionalLong.empty() : OptionalLong.of(found);
  }

  private static long scaled(int access) {
    return (access >>> 10 & 0xfffL) * Long.BYTES;
  }
}
