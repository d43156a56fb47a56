package org.vmcheck.dump;

import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.vmcheck.io.Cancellation;

/// A tar as a stream, watched while a library reads it: headers that only describe the next member
/// (PAX, long names of GNU) are held to a size, a number in a row and, where they are for all
/// members, a sum. The library keeps all of them in memory and copies them from member to member.
final class TarGuard extends FilterInputStream {
  private static final int BLOCK = 512;

  /// Of one such header. Names have at most 4,096 bytes.
  private static final int MAX_EXTENSION = 64 << 10;

  private static final int MAX_IN_A_ROW = 8;

  private final byte[] header = new byte[BLOCK];
  private int inHeader;

  /// Bytes until the next header.
  private long inData;

  /// The data of an extension, as far as it came; null outside of one.
  private byte[] extension;

  private int inExtension;
  private int extensionBytes;
  private int inARow;
  private long globalBytes;

  /// What a PAX header says of the next member's size; -1 if it does not.
  private long size = -1;

  private boolean isSparseHeader;

  TarGuard(InputStream in) {
    super(in);
  }

  @Override
  public int read() throws IOException {
    byte[] one = new byte[1];
    return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
  }

  @Override
  public int read(byte[] bytes, int offset, int length) throws IOException {
    int count = in.read(bytes, offset, length);
    watch(bytes, offset, Math.max(0, count));
    return count;
  }

  /// The library skips data only, and never a header or an extension.
  @Override
  public long skip(long byteCount) throws IOException {
    if (extension != null || inData == 0) {
      byte[] bytes = new byte[(int) Math.min(byteCount, BLOCK)];
      return Math.max(0, read(bytes, 0, bytes.length));
    }
    Cancellation.check();
    long skipped = in.skip(Math.min(byteCount, inData));
    inData -= skipped;
    return skipped;
  }

  private void watch(byte[] bytes, int offset, int count) throws IOException {
    int at = offset;
    int left = count;
    while (left > 0) {
      if (inData > 0) {
        int data = (int) Math.min(left, inData);
        if (extension != null) {
          int kept = Math.min(data, extensionBytes - inExtension);
          System.arraycopy(bytes, at, extension, inExtension, Math.max(0, kept));
          inExtension += Math.max(0, kept);
        }
        inData -= data;
        at += data;
        left -= data;
        if (inData == 0 && extension != null) {
          size = sizeIn(Arrays.copyOf(extension, inExtension), size);
          extension = null;
        }
        continue;
      }
      int part = Math.min(left, BLOCK - inHeader);
      System.arraycopy(bytes, at, header, inHeader, part);
      inHeader += part;
      at += part;
      left -= part;
      if (inHeader == BLOCK) {
        inHeader = 0;
        header();
      }
    }
  }

  private void header() throws IOException {
    Cancellation.check();
    if (isSparseHeader) {
      isSparseHeader = header[504] != 0;
      return;
    }
    long byteCount = number(124, 12);
    switch (header[156]) {
      case 'x', 'X', 'g', 'L', 'K' -> {
        globalBytes += header[156] == 'g' ? byteCount : 0;
        if (byteCount < 0 || byteCount > MAX_EXTENSION || globalBytes > MAX_EXTENSION) {
          throw new IOException(
              "an extended header of tar: expected at most %d bytes, got %d"
                  .formatted(MAX_EXTENSION, Math.max(byteCount, globalBytes)));
        }
        if (++inARow > MAX_IN_A_ROW) {
          throw new IOException(
              "extended headers of tar: expected at most "
                  + MAX_IN_A_ROW
                  + " for a member, got more");
        }
        extensionBytes = (int) byteCount;
        extension = new byte[extensionBytes];
        inExtension = 0;
        boolean isPax = header[156] == 'x' || header[156] == 'X';
        inData = padded(byteCount);
        if (!isPax || inData == 0) {
          extension = inData == 0 ? null : new byte[0];
          extensionBytes = 0;
        }
      }
      default -> {
        inARow = 0;
        isSparseHeader = header[156] == 'S' && header[482] != 0;
        boolean hasData = header[156] < '1' || header[156] > '6';
        inData = hasData ? padded(Math.max(0, size >= 0 ? size : byteCount)) : 0;
        size = -1;
      }
    }
  }

  private static long padded(long byteCount) {
    return byteCount > Long.MAX_VALUE - BLOCK ? Long.MAX_VALUE : (byteCount + BLOCK - 1) & -BLOCK;
  }

  /// A number in octal digits, or big endian in base 256 where the first bit is set.
  private long number(int at, int length) {
    long value = 0;
    if (header[at] < 0) {
      for (int i = at + 4; i < at + length; i++) {
        value = value << 8 | (header[i] & 0xff);
      }
      return value & Long.MAX_VALUE;
    }
    for (int i = at; i < at + length; i++) {
      if (header[i] >= '0' && header[i] <= '7') {
        value = value << 3 | (header[i] - '0');
      }
    }
    return value;
  }

  /// The value of `size` in records of a length, a key and a value.
  private static long sizeIn(byte[] records, long otherwise) {
    String text = new String(records, StandardCharsets.ISO_8859_1);
    long found = otherwise;
    int at = 0;
    while (at < text.length()) {
      int space = text.indexOf(' ', at);
      if (space < 0 || space - at > 9) {
        return found;
      }
      try {
        int end = at + Integer.parseInt(text, at, space, 10);
        if (end <= space || end > text.length()) {
          return found;
        }
        if (text.startsWith(" size=", space)) {
          found = Long.parseLong(text, space + 6, end - 1, 10);
        }
        at = end;
      } catch (NumberFormatException _) {
        return found;
      }
    }
    return found;
  }
}
