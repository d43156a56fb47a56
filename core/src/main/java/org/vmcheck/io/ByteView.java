package org.vmcheck.io;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/// A bounded, named run of bytes with absolute reads in one byte order.
///
/// An access outside it throws [IndexOutOfBoundsException]: the bound is checked by the segment
/// itself, and whoever computed the offset from untrusted data checks it first.
public final class ByteView {
  private static final ValueLayout.OfShort U16_LE =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt U32_LE =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong U64_LE =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final String file;
  private final String part;
  private final MemorySegment segment;
  private final long baseOffset;
  private final boolean bigEndian;

  /// @param file what messages call the file
  /// @param part what messages call this part of it
  /// @param baseOffset offset of the first byte in that file, for messages
  public ByteView(
      String file, String part, MemorySegment segment, long baseOffset, boolean bigEndian) {
    this.file = file;
    this.part = part;
    this.segment = segment;
    this.baseOffset = baseOffset;
    this.bigEndian = bigEndian;
  }

  /// A view over bytes in memory, little endian.
  public static ByteView of(String name, byte[] bytes) {
    return new ByteView(name, name, MemorySegment.ofArray(bytes), 0, false);
  }

  public static ByteView of(String name, MemorySegment segment) {
    return new ByteView(name, name, segment, 0, false);
  }

  public String file() {
    return file;
  }

  public String part() {
    return part;
  }

  public long size() {
    return segment.byteSize();
  }

  public boolean isBigEndian() {
    return bigEndian;
  }

  public MemorySegment segment() {
    return segment;
  }

  /// Offset in the file of the byte at `offset` of this view.
  public long fileOffset(long offset) {
    return baseOffset + offset;
  }

  public int u8(long offset) {
    return segment.get(ValueLayout.JAVA_BYTE, offset) & 0xff;
  }

  /// The value that every byte of some memory holds; -1 if there are several, or none.
  public static int onlyByte(MemorySegment bytes) {
    if (bytes.byteSize() == 0) {
      return -1;
    }
    byte first = bytes.get(ValueLayout.JAVA_BYTE, 0);
    for (long i = 1; i < bytes.byteSize(); i++) {
      if (bytes.get(ValueLayout.JAVA_BYTE, i) != first) {
        return -1;
      }
    }
    return first & 0xff;
  }

  public int u16(long offset) {
    short value = segment.get(U16_LE, offset);
    return (bigEndian ? Short.reverseBytes(value) : value) & 0xffff;
  }

  public int i32(long offset) {
    int value = segment.get(U32_LE, offset);
    return bigEndian ? Integer.reverseBytes(value) : value;
  }

  public long u32(long offset) {
    return i32(offset) & 0xffff_ffffL;
  }

  public long u64(long offset) {
    long value = segment.get(U64_LE, offset);
    return bigEndian ? Long.reverseBytes(value) : value;
  }

  /// An unsigned integer of 1, 2, 4 or 8 bytes.
  public long unsigned(long offset, int byteCount) {
    return switch (byteCount) {
      case 1 -> u8(offset);
      case 2 -> u16(offset);
      case 4 -> u32(offset);
      case 8 -> u64(offset);
      default -> throw new IllegalArgumentException("no integer of " + byteCount + " bytes");
    };
  }

  /// A copy of all of it.
  public byte[] bytes() {
    return bytes(0, Math.toIntExact(size()));
  }

  public byte[] bytes(long offset, int byteCount) {
    byte[] copy = new byte[byteCount];
    MemorySegment.copy(segment, ValueLayout.JAVA_BYTE, offset, copy, 0, byteCount);
    return copy;
  }

  public ByteView slice(String name, long offset, long byteCount) {
    return new ByteView(
        file, name, segment.asSlice(offset, byteCount), baseOffset + offset, bigEndian);
  }

  /// The bytes from `offset` up to a NUL or to `maxBytes`, as Latin-1 so that no byte is lost.
  public String string(long offset, int maxBytes) {
    int end = (int) Math.min(maxBytes, size() - offset);
    int length = 0;
    while (length < end && u8(offset + length) != 0) {
      length++;
    }
    return new String(bytes(offset, length), StandardCharsets.ISO_8859_1);
  }

  /// The exception for a field of this view that holds what it must not.
  public MalformedFileException malformed(
      String field, long offset, String expected, String actual) {
    return MalformedFileException.field(
        file, part + "." + field, fileOffset(offset), expected, actual);
  }
}
