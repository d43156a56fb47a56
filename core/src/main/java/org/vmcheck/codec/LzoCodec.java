package org.vmcheck.codec;

import java.util.HexFormat;

/// LZO1X streams without a header, `DUMP_DH_COMPRESSED_LZO`.
///
/// Format: Linux `Documentation/staging/lzo.rst`. An instruction byte is one of
///
/// ```
/// 0000LLLL  after no literals: a literal run; after 1..3: a 2-byte match; after 4 and more: 3 bytes
/// 0001HLLL  match 16..48 KiB back, or the end of the stream
/// 001LLLLL  match up to 16 KiB back
/// 01LDDDSS, 1LLDDDSS  short match up to 2 KiB back
/// ```
final class LzoCodec implements PageCodec {
  private static final int END_DISTANCE = 16384;

  @Override
  public String name() {
    return "lzo";
  }

  @Override
  public int flag() {
    return 0x2;
  }

  /// Eight literals, a match of 56 bytes from 8 back, the end marker.
  @Override
  public byte[] packedSample() {
    return HexFormat.of().parseHex("19766d636865636b2020171c00110000");
  }

  @Override
  public void decode(byte[] in, int inLength, byte[] out, int outLength)
      throws CorruptPageException {
    int ip = 0;
    int op = 0;
    // How many literals the last instruction copied: 0..3, or 4 for "four or more".
    int state = 0;
    if (inLength > 0 && (in[0] & 0xff) > 17) {
      int literals = (in[0] & 0xff) - 17;
      ip = 1;
      op = literals(in, ip, inLength, out, op, outLength, literals);
      ip += literals;
      state = Math.min(literals, 4);
    }
    while (true) {
      int instruction = byteAt(in, ip++, inLength);
      int length;
      int distance;
      int trailing;
      if (instruction < 16) {
        if (state == 0) {
          int run = instruction;
          if (run == 0) {
            int zeros = zeros(in, ip, inLength, outLength);
            ip += zeros;
            run = 15 + 255 * zeros + byteAt(in, ip++, inLength);
          }
          run += 3;
          op = literals(in, ip, inLength, out, op, outLength, run);
          ip += run;
          state = 4;
          continue;
        }
        int far = byteAt(in, ip++, inLength) << 2;
        trailing = instruction & 3;
        if (state == 4) {
          length = 3;
          distance = far + (instruction >> 2) + 2049;
        } else {
          length = 2;
          distance = far + (instruction >> 2) + 1;
        }
      } else if (instruction < 64) {
        boolean farther = instruction < 32;
        int mask = farther ? 7 : 31;
        length = instruction & mask;
        if (length == 0) {
          int zeros = zeros(in, ip, inLength, outLength);
          ip += zeros;
          length = mask + 255 * zeros + byteAt(in, ip++, inLength);
        }
        length += 2;
        int operand = byteAt(in, ip, inLength) | byteAt(in, ip + 1, inLength) << 8;
        ip += 2;
        trailing = operand & 3;
        distance = operand >> 2;
        if (farther) {
          distance += END_DISTANCE + ((instruction & 8) << 11);
          if (distance == END_DISTANCE) {
            if (length != 3) {
              throw new CorruptPageException("lzo: end marker with length " + length);
            }
            break;
          }
        } else {
          distance++;
        }
      } else {
        length = instruction < 128 ? 3 + ((instruction >> 5) & 1) : 5 + ((instruction >> 5) & 3);
        distance = (byteAt(in, ip++, inLength) << 3) + ((instruction >> 2) & 7) + 1;
        trailing = instruction & 3;
      }
      op = match(out, op, outLength, distance, length);
      op = literals(in, ip, inLength, out, op, outLength, trailing);
      ip += trailing;
      state = trailing;
    }
    if (op != outLength) {
      throw new CorruptPageException(
          "lzo: stream ends after " + op + " of " + outLength + " bytes");
    }
  }

  /// Counts the zero bytes that lengthen a run, bounded by what a page could need.
  private static int zeros(byte[] in, int ip, int inLength, int outLength)
      throws CorruptPageException {
    int count = 0;
    while (ip + count < inLength && in[ip + count] == 0) {
      count++;
      if (count * 255 > outLength) {
        throw new CorruptPageException("lzo: run longer than a page at " + ip);
      }
    }
    return count;
  }

  private static int byteAt(byte[] in, int ip, int inLength) throws CorruptPageException {
    if (ip >= inLength) {
      throw new CorruptPageException("lzo: input ends at " + inLength);
    }
    return in[ip] & 0xff;
  }

  private static int literals(
      byte[] in, int ip, int inLength, byte[] out, int op, int outLength, int count)
      throws CorruptPageException {
    if (count > inLength - ip) {
      throw new CorruptPageException("lzo: input ends inside " + count + " literals at " + ip);
    }
    if (count > outLength - op) {
      throw new CorruptPageException("lzo: more than " + outLength + " bytes come out");
    }
    Runs.literals(in, ip, inLength, out, op, outLength, count);
    return op + count;
  }

  private static int match(byte[] out, int op, int outLength, int distance, int length)
      throws CorruptPageException {
    if (distance > op) {
      throw new CorruptPageException("lzo: match reaches " + (distance - op) + " before the page");
    }
    if (length > outLength - op) {
      throw new CorruptPageException("lzo: more than " + outLength + " bytes come out");
    }
    Runs.match(out, op, outLength, distance, length);
    return op + length;
  }
}
