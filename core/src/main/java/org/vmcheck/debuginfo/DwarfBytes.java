package org.vmcheck.debuginfo;

/// Sequential little-endian reads from an array; whoever runs over its end gets the array's own
/// exception, which is caught where a unit is read.
final class DwarfBytes {
  final byte[] bytes;
  int at;

  DwarfBytes(byte[] bytes) {
    this.bytes = bytes;
  }

  int u8() {
    return bytes[at++] & 0xff;
  }

  int u16() {
    return u8() | u8() << 8;
  }

  long u24() {
    return u16() | u8() << 16;
  }

  long u32() {
    return u16() | (long) u16() << 16;
  }

  long u64() {
    return u32() | u32() << 32;
  }

  /// @param byteCount 4 or 8
  long offset(int byteCount) {
    return byteCount == 8 ? u64() : u32();
  }

  long uleb() {
    int b = bytes[at++];
    if (b >= 0) {
      return b;
    }
    long value = b & 0x7f;
    for (int shift = 7; shift < 70; shift += 7) {
      b = bytes[at++];
      if (shift < 64) {
        value |= (long) (b & 0x7f) << shift;
      }
      if (b >= 0) {
        return value;
      }
    }
    throw new IndexOutOfBoundsException("a LEB128 number of more than 10 bytes");
  }

  long sleb() {
    long value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      int b = bytes[at++];
      if (shift < 64) {
        value |= (long) (b & 0x7f) << shift;
      }
      if (b >= 0) {
        return shift + 7 < 64 && (b & 0x40) != 0 ? value | -1L << (shift + 7) : value;
      }
    }
    throw new IndexOutOfBoundsException("a LEB128 number of more than 10 bytes");
  }

  void skip(long byteCount) {
    if (byteCount < 0 || byteCount > bytes.length - at) {
      throw new IndexOutOfBoundsException("a block of " + byteCount + " bytes");
    }
    at += (int) byteCount;
  }

  void skipString() {
    while (bytes[at++] != 0) {
      // To the NUL; the array's end ends it as well.
    }
  }
}
