package org.vmcheck.io;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import java.util.zip.ZipException;

/// Unpacks gzip (RFC 1952), one member after the other, in a loop: the JDK's stream calls itself
/// for each member, so that some thousand empty ones overflow the stack.
///
/// What follows a member and is none ends the stream: gzip takes it for padding too.
public final class GzipStream extends InputStream {
  private static final int FHCRC = 0x02;
  private static final int FEXTRA = 0x04;
  private static final int FNAME = 0x08;
  private static final int FCOMMENT = 0x10;
  private static final int RESERVED = 0xe0;

  private final InputStream in;
  private final Inflater inflater = new Inflater(true);

  /// Of the unpacked bytes of this member.
  private final CRC32 checksum = new CRC32();

  private final CRC32 headerChecksum = new CRC32();
  private final byte[] buffer;
  private int at;
  private int end;
  private boolean isOver;

  /// @param bufferSize packed bytes that are read at a time
  /// @throws ZipException if the stream does not begin with a member
  public GzipStream(InputStream in, int bufferSize) throws IOException {
    this.in = in;
    this.buffer = new byte[bufferSize];
    boolean isMember = false;
    try {
      isMember = begin();
    } finally {
      if (!isMember) {
        inflater.end();
      }
    }
    if (!isMember) {
      throw new ZipException("not in gzip format");
    }
  }

  @Override
  public int read() throws IOException {
    byte[] one = new byte[1];
    return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
  }

  @Override
  public int read(byte[] into, int offset, int length) throws IOException {
    if (length == 0) {
      return 0;
    }
    while (!isOver) {
      if (inflater.finished()) {
        Cancellation.check();
        finish();
        isOver = !isAnotherBegun();
        continue;
      }
      int count = inflate(into, offset, length);
      if (count > 0) {
        checksum.update(into, offset, count);
        return count;
      }
      if (inflater.needsDictionary()) {
        throw new ZipException("a preset dictionary, which gzip has not");
      }
      if (inflater.needsInput()) {
        refill();
        inflater.setInput(buffer, 0, end);
      }
    }
    return -1;
  }

  private int inflate(byte[] into, int offset, int length) throws ZipException {
    try {
      return inflater.inflate(into, offset, length);
    } catch (DataFormatException e) {
      throw new ZipException(e.getMessage() == null ? "invalid data" : e.getMessage());
    }
  }

  /// The check sum and the length behind a member's data.
  private void finish() throws IOException {
    at = end - inflater.getRemaining();
    if (u32() != checksum.getValue()) {
      throw new ZipException("the check sum is another");
    }
    if (u32() != (inflater.getBytesWritten() & 0xffff_ffffL)) {
      throw new ZipException("the length is another");
    }
  }

  private boolean isAnotherBegun() throws IOException {
    try {
      return begin();
    } catch (EOFException _) {
      return false;
    }
  }

  /// Reads a member's header, of any length, and keeps nothing of it. False if there is none.
  private boolean begin() throws IOException {
    headerChecksum.reset();
    if (next() != 0x1f || next() != 0x8b) {
      return false;
    }
    if (next() != 8) {
      throw new ZipException("an unknown method of compression");
    }
    int flags = next();
    if ((flags & RESERVED) != 0) {
      throw new ZipException("reserved bits of a header are set");
    }
    skip(6);
    if ((flags & FEXTRA) != 0) {
      skip(next() | next() << 8);
    }
    for (int text : new int[] {FNAME, FCOMMENT}) {
      while ((flags & text) != 0 && next() != 0) {
        Cancellation.check();
      }
    }
    long sum = headerChecksum.getValue() & 0xffff;
    if ((flags & FHCRC) != 0 && (next() | next() << 8) != sum) {
      throw new ZipException("the check sum of a header is another");
    }
    inflater.reset();
    checksum.reset();
    inflater.setInput(buffer, at, end - at);
    return true;
  }

  private void skip(int count) throws IOException {
    for (int i = 0; i < count; i++) {
      next();
    }
  }

  private long u32() throws IOException {
    return next() | next() << 8 | next() << 16 | (long) next() << 24;
  }

  private int next() throws IOException {
    if (at == end) {
      refill();
    }
    int value = buffer[at++] & 0xff;
    headerChecksum.update(value);
    return value;
  }

  private void refill() throws IOException {
    at = 0;
    end = Math.max(0, in.read(buffer));
    if (end == 0) {
      throw new EOFException("the gzip stream ends early");
    }
  }

  @Override
  public void close() throws IOException {
    isOver = true;
    inflater.end();
    in.close();
  }
}
