package org.vmcheck.task;

import java.util.OptionalLong;
import org.vmcheck.io.ByteView;

/// The word that the compiler's stack protector puts between a function's variables and its return
/// address.
///
/// @param slot where it lies
/// @param found what stands there
/// @param right what the function put there, as far as the task still has it
/// @param function whose frame it guards, as the kernel prints it
public record StackCanary(long slot, long found, long right, String function) {
  /// No function needs more of its frame than this.
  private static final long MAX_FRAME = 1 << 16;

  public boolean isWhole() {
    return found == right;
  }

  /// How far above its stack pointer a function of x86_64 keeps the canary, read from its code:
  /// `mov %gs:..,reg; mov reg,disp(%rsp)` where it is set, `mov disp(%rsp),reg; sub %gs:..,reg`
  /// where it is compared. Empty if the code has neither, or if they differ.
  static OptionalLong offset(ByteView code) {
    long offset = -1;
    for (int at = 0; at + 9 <= code.size(); at++) {
      int length = guard(code, at);
      if (length == 0) {
        continue;
      }
      boolean isLoad = code.u8(at + 2) == 0x8b;
      long here = isLoad ? behind(code, at, length) : before(code, at);
      if (here >= 0 && offset >= 0 && here != offset) {
        return OptionalLong.empty();
      }
      offset = here >= 0 ? here : offset;
    }
    return offset < 0 ? OptionalLong.empty() : OptionalLong.of(offset);
  }

  /// The length of `mov`, `sub`, `xor` or `cmp` of a register and the canary of the CPU: at
  /// `%gs:0x28`, since 6.15 at a symbol.
  private static int guard(ByteView code, int at) {
    int operation = code.u8(at + 2);
    if (code.u8(at) != 0x65
        || (code.u8(at + 1) & 0xfb) != 0x48
        || (operation != 0x8b && operation != 0x2b && operation != 0x33 && operation != 0x3b)) {
      return 0;
    }
    int mode = code.u8(at + 3) & 0xc7;
    if (mode == 0x04 && code.u8(at + 4) == 0x25) {
      return code.u32(at + 5) == 0x28 ? 9 : 0;
    }
    return mode == 0x05 ? 8 : 0;
  }

  /// The place that the register is stored at right behind.
  private static long behind(ByteView code, int at, int length) {
    int next = at + length;
    boolean isSame =
        next + 8 <= code.size()
            && (code.u8(next) & 0xfb) == 0x48
            && code.u8(next + 1) == 0x89
            && isSameRegister(code, at, next);
    return isSame ? place(code, next) : -1;
  }

  /// The place that the register was loaded from right before.
  private static long before(ByteView code, int at) {
    for (int length : new int[] {5, 8}) {
      int from = at - length;
      if (from >= 0
          && (code.u8(from) & 0xfb) == 0x48
          && code.u8(from + 1) == 0x8b
          && (code.u8(from + 2) >>> 6 == 1) == (length == 5)
          && isSameRegister(code, at, from)) {
        return place(code, from);
      }
    }
    return -1;
  }

  private static boolean isSameRegister(ByteView code, int guard, int move) {
    return (code.u8(guard + 1) & 4) == (code.u8(move) & 4)
        && (code.u8(guard + 3) & 0x38) == (code.u8(move + 2) & 0x38);
  }

  /// `disp8(%rsp)`, `disp32(%rsp)` or `(%rsp)`; -1 for any other operand.
  private static long place(ByteView code, int at) {
    int mode = code.u8(at + 2) & 0xc7;
    if (code.u8(at + 3) != 0x24) {
      return -1;
    }
    long offset =
        switch (mode) {
          case 0x04 -> 0;
          case 0x44 -> (byte) code.u8(at + 4);
          case 0x84 -> code.i32(at + 4);
          default -> -1;
        };
    return offset >= 0 && offset < MAX_FRAME && offset % 8 == 0 ? offset : -1;
  }
}
