package org.vmcheck.io;

import java.nio.charset.StandardCharsets;

/// Sequential reads from a [ByteView]; each names the field it reads, so that a short or wild value
/// is reported as that field.
public final class ByteCursor {
  private final ByteView view;
  private long position;

  public ByteCursor(ByteView view, long position) {
    this.view = view;
    this.position = position;
  }

  public long position() {
    return position;
  }

  public long remaining() {
    return view.size() - position;
  }

  public void seek(long newPosition) throws MalformedFileException {
    if (newPosition < 0 || newPosition > view.size()) {
      throw view.malformed(
          "position",
          newPosition,
          "an offset within " + view.size() + " bytes",
          "an offset outside");
    }
    position = newPosition;
  }

  public void skip(String field, long byteCount) throws MalformedFileException {
    need(field, byteCount);
    position += byteCount;
  }

  public int u8(String field) throws MalformedFileException {
    need(field, 1);
    return view.u8(position++);
  }

  public int u16(String field) throws MalformedFileException {
    need(field, 2);
    int value = view.u16(position);
    position += 2;
    return value;
  }

  public long u32(String field) throws MalformedFileException {
    need(field, 4);
    long value = view.u32(position);
    position += 4;
    return value;
  }

  public long u64(String field) throws MalformedFileException {
    need(field, 8);
    long value = view.u64(position);
    position += 8;
    return value;
  }

  /// A count or length that must not exceed `limit`.
  public int u32AtMost(String field, long limit) throws MalformedFileException {
    long at = position;
    long value = u32(field);
    if (value > limit) {
      throw view.malformed(field, at, "at most " + limit, Long.toString(value));
    }
    return Math.toIntExact(value);
  }

  /// A LEB128 number of at most ten bytes.
  public long uleb(String field) throws MalformedFileException {
    long at = position;
    long value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      int b = u8(field);
      if (shift < 64) {
        value |= (long) (b & 0x7f) << shift;
      }
      if ((b & 0x80) == 0) {
        return value;
      }
    }
    throw view.malformed(field, at, "a LEB128 number of at most 10 bytes", "a longer one");
  }

  public long sleb(String field) throws MalformedFileException {
    long at = position;
    long value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      int b = u8(field);
      if (shift < 64) {
        value |= (long) (b & 0x7f) << shift;
      }
      if ((b & 0x80) == 0) {
        if (shift + 7 < 64 && (b & 0x40) != 0) {
          value |= -1L << (shift + 7);
        }
        return value;
      }
    }
    throw view.malformed(field, at, "a LEB128 number of at most 10 bytes", "a longer one");
  }

  /// A NUL-terminated string of at most `maxBytes`, its NUL consumed.
  public String cString(String field, int maxBytes) throws MalformedFileException {
    long start = position;
    long end = Math.min(view.size(), start + maxBytes);
    for (long at = start; at < end; at++) {
      if (view.u8(at) == 0) {
        position = at + 1;
        return new String(
            view.bytes(start, Math.toIntExact(at - start)), StandardCharsets.ISO_8859_1);
      }
    }
    throw view.malformed(field, start, "a NUL within " + (end - start) + " bytes", "none");
  }

  private void need(String field, long byteCount) throws MalformedFileException {
    if (byteCount < 0 || byteCount > remaining()) {
      throw view.malformed(
          field, position, byteCount + " bytes", "only " + Math.max(0, remaining()) + " left");
    }
  }
}
