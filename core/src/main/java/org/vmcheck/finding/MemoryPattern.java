package org.vmcheck.finding;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;

/// Bytes that memory is searched for.
public final class MemoryPattern {
  private static final int MAX_BYTES = 1024;

  private final byte[] bytes;
  private final byte[] mask;
  private final int step;

  private MemoryPattern(byte[] bytes, byte[] mask, int step) {
    if (bytes.length == 0 || bytes.length > MAX_BYTES) {
      throw new IllegalArgumentException(
          "expected a pattern of 1 to %d bytes, got %d".formatted(MAX_BYTES, bytes.length));
    }
    this.bytes = bytes.clone();
    this.mask = mask.clone();
    this.step = step;
  }

  /// A text, in UTF-8, at any address.
  ///
  /// @throws IllegalArgumentException if it is empty or too long
  public static MemoryPattern ofText(String text) {
    return unmasked(text.getBytes(StandardCharsets.UTF_8));
  }

  /// Bytes in hexadecimal, as they lie in memory, at any address.
  ///
  /// @throws IllegalArgumentException if these are none, or too many
  public static MemoryPattern ofHex(String digits) {
    return unmasked(HexFormat.of().parseHex(digits.replace(" ", "")));
  }

  /// A word of 8 bytes at a multiple of 8, of which the bits of the mask count.
  public static MemoryPattern ofWord(long word, long mask) {
    return new MemoryPattern(littleEndian(word & mask), littleEndian(mask), 8);
  }

  private static MemoryPattern unmasked(byte[] bytes) {
    byte[] mask = new byte[bytes.length];
    Arrays.fill(mask, (byte) -1);
    return new MemoryPattern(bytes, mask, 1);
  }

  private static byte[] littleEndian(long word) {
    return ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(word).array();
  }

  public int length() {
    return bytes.length;
  }

  /// Bytes between places where it may lie.
  public int step() {
    return step;
  }

  /// Whether it lies at an offset, from which on there are enough bytes.
  public boolean isAt(byte[] memory, int at) {
    for (int i = 0; i < bytes.length; i++) {
      if ((memory[at + i] & mask[i]) != bytes[i]) {
        return false;
      }
    }
    return true;
  }

  /// Whether the first bytes of memory are the last ones of the pattern, so that it may begin
  /// before.
  public boolean mayEndAtStartOf(byte[] memory) {
    for (int inside = 1; inside < bytes.length; inside++) {
      boolean fits = true;
      for (int i = inside; i < bytes.length && fits; i++) {
        fits = (memory[i - inside] & mask[i]) == bytes[i];
      }
      if (fits) {
        return true;
      }
    }
    return false;
  }
}
