package org.vmcheck.memory;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// The 16 bytes that lie over every aligned block of 16 bytes of a page, by exclusive or: what is
/// left of a one-sided cipher's two tweaks when memory is encrypted for one address and decrypted
/// for another.
///
/// @param low first eight bytes, little-endian
/// @param high last eight bytes
public record PageMask(long low, long high) {
  private static final ValueLayout.OfLong WORD =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /// The half that lies over the word at an address.
  public long over(long address) {
    return (address & 8) == 0 ? low : high;
  }

  public boolean isZero() {
    return low == 0 && high == 0;
  }

  /// Whether the mask repeats every four bytes, as the constants of first-generation hardware do.
  public boolean hasPeriod32() {
    return low == high && (int) low == (int) (low >>> 32);
  }

  /// Whether it repeats every one or two bytes: then it is rather a pattern that fills memory.
  public boolean isFillPattern() {
    return low == high && (int) low == (int) (low >>> 32) && (short) low == (short) (low >>> 16);
  }

  /// A copy of a page with the mask taken off (or put on).
  public MemorySegment applyTo(MemorySegment page) {
    int size = (int) page.byteSize();
    MemorySegment out = MemorySegment.ofArray(new byte[size]);
    for (int at = 0; at + 8 <= size; at += 8) {
      out.set(WORD, at, page.get(WORD, at) ^ over(at));
    }
    return out.asReadOnly();
  }

  /// The same of a piece of a page that begins at an address, whichever.
  MemorySegment applyTo(MemorySegment piece, long address) {
    byte[] out = piece.toArray(ValueLayout.JAVA_BYTE);
    for (int i = 0; i < out.length; i++) {
      long at = address + i;
      out[i] ^= (byte) (over(at) >>> (8 * (at & 7)));
    }
    return MemorySegment.ofArray(out).asReadOnly();
  }

  /// The 16 bytes in the order of memory, as hexadecimal digits.
  public String hex() {
    return "%016x%016x".formatted(Long.reverseBytes(low), Long.reverseBytes(high));
  }
}
