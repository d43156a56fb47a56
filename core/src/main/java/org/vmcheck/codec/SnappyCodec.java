package org.vmcheck.codec;

import java.util.HexFormat;

/// Raw Snappy blocks (not the framed stream), `DUMP_DH_COMPRESSED_SNAPPY`.
///
/// A block is the uncompressed length as a varint, then elements by the low two bits of their tag:
/// 00 literal, 01 copy with an 11-bit offset, 10 copy with 16, 11 copy with 32.
final class SnappyCodec implements PageCodec {
  @Override
  public String name() {
    return "snappy";
  }

  @Override
  public int flag() {
    return 0x4;
  }

  /// 64 bytes: eight literals, a copy of 56 bytes from 8 back.
  @Override
  public byte[] packedSample() {
    return HexFormat.of().parseHex("401c766d636865636b20de0800");
  }

  @Override
  public void decode(byte[] in, int inLength, byte[] out, int outLength)
      throws CorruptPageException {
    int ip = 0;
    long claimed = 0;
    for (int shift = 0; ; shift += 7) {
      if (shift > 28) {
        throw new CorruptPageException("snappy: length longer than 5 bytes");
      }
      int b = byteAt(in, ip++, inLength);
      claimed |= (long) (b & 0x7f) << shift;
      if (b < 0x80) {
        break;
      }
    }
    if (claimed != outLength) {
      throw new CorruptPageException(
          "snappy: block says " + claimed + " bytes, a page has " + outLength);
    }
    int op = 0;
    while (ip < inLength) {
      int tag = in[ip++] & 0xff;
      if ((tag & 3) == 0) {
        long length = (tag >> 2) + 1L;
        if (length > 60) {
          int extra = (int) length - 60;
          length = operand(in, ip, inLength, extra) + 1;
          ip += extra;
        }
        if (length > inLength - ip || length > outLength - op) {
          throw new CorruptPageException("snappy: literal of " + length + " bytes at " + ip);
        }
        Runs.literals(in, ip, inLength, out, op, outLength, (int) length);
        ip += (int) length;
        op += (int) length;
        continue;
      }
      int length;
      long distance;
      if ((tag & 3) == 1) {
        length = 4 + ((tag >> 2) & 7);
        distance = (long) (tag >> 5) << 8 | byteAt(in, ip++, inLength);
      } else {
        int width = (tag & 3) == 2 ? 2 : 4;
        length = 1 + (tag >> 2);
        distance = operand(in, ip, inLength, width);
        ip += width;
      }
      if (distance == 0 || distance > op || length > outLength - op) {
        throw new CorruptPageException(
            "snappy: copy of " + length + " bytes from " + distance + " back at " + op);
      }
      Runs.match(out, op, outLength, (int) distance, length);
      op += length;
    }
    if (op != outLength) {
      throw new CorruptPageException(
          "snappy: block ends after " + op + " of " + outLength + " bytes");
    }
  }

  private static long operand(byte[] in, int ip, int inLength, int width)
      throws CorruptPageException {
    long value = 0;
    for (int i = 0; i < width; i++) {
      value |= (long) byteAt(in, ip + i, inLength) << (8 * i);
    }
    return value;
  }

  private static int byteAt(byte[] in, int ip, int inLength) throws CorruptPageException {
    if (ip >= inLength) {
      throw new CorruptPageException("snappy: input ends at " + inLength);
    }
    return in[ip] & 0xff;
  }
}
