package org.vmcheck.testing;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/// A growing array with absolute writes in one byte order.
final class ByteWriter {
  private final boolean bigEndian;
  private byte[] bytes = new byte[8192];
  private int size;

  ByteWriter(boolean bigEndian) {
    this.bigEndian = bigEndian;
  }

  int size() {
    return size;
  }

  /// Makes the file at least this long.
  ByteWriter extendTo(long length) {
    int wanted = Math.toIntExact(length);
    if (wanted > bytes.length) {
      bytes = Arrays.copyOf(bytes, Math.max(wanted, Math.min(bytes.length, 1 << 29) * 2));
    }
    size = Math.max(size, wanted);
    return this;
  }

  ByteWriter put(long at, byte[] data) {
    extendTo(at + data.length);
    System.arraycopy(data, 0, bytes, (int) at, data.length);
    return this;
  }

  ByteWriter text(long at, String text) {
    return put(at, text.getBytes(StandardCharsets.ISO_8859_1));
  }

  ByteWriter number(long at, long value, int byteCount) {
    extendTo(at + byteCount);
    for (int i = 0; i < byteCount; i++) {
      int shift = 8 * (bigEndian ? byteCount - 1 - i : i);
      bytes[(int) at + i] = (byte) (value >>> shift);
    }
    return this;
  }

  ByteWriter orByte(long at, int bits) {
    extendTo(at + 1);
    bytes[(int) at] |= (byte) bits;
    return this;
  }

  ByteWriter u16(long at, long value) {
    return number(at, value, 2);
  }

  ByteWriter u32(long at, long value) {
    return number(at, value, 4);
  }

  ByteWriter u64(long at, long value) {
    return number(at, value, 8);
  }

  byte[] toBytes() {
    return Arrays.copyOf(bytes, size);
  }
}
