package org.vmcheck.codec;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;

/// Copies of the short runs that byte-oriented codecs are made of, a word at a time where there is
/// room. A word may reach beyond the run, never beyond the page: what follows overwrites it.
///
/// Callers have checked that the run lies within both arrays.
final class Runs {
  private static final VarHandle WORD =
      MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.nativeOrder());

  private static final int SHORT = 16;

  private Runs() {}

  /// Copies `count` bytes of the input.
  static void literals(
      byte[] in, int ip, int inLength, byte[] out, int op, int outLength, int count) {
    if (count <= SHORT && ip + SHORT <= inLength && op + SHORT <= outLength) {
      WORD.set(out, op, (long) WORD.get(in, ip));
      WORD.set(out, op + 8, (long) WORD.get(in, ip + 8));
    } else {
      System.arraycopy(in, ip, out, op, count);
    }
  }

  /// Repeats `length` bytes from `distance` back. Where that overlaps what is written, the bytes
  /// just written are repeated.
  static void match(byte[] out, int op, int outLength, int distance, int length) {
    int end = op + length;
    if (distance >= 8 && end + 8 <= outLength) {
      for (int at = op; at < end; at += 8) {
        WORD.set(out, at, (long) WORD.get(out, at - distance));
      }
    } else if (distance == 1) {
      Arrays.fill(out, op, end, out[op - 1]);
    } else {
      for (int at = op; at < end; at++) {
        out[at] = out[at - distance];
      }
    }
  }
}
