package org.vmcheck.codec;

import java.util.HexFormat;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/// zlib streams (RFC 1950), `DUMP_DH_COMPRESSED_ZLIB`.
final class ZlibCodec implements PageCodec {
  /// An Inflater holds about 40 KiB of native memory: one a thread, reused for every page.
  private static final ThreadLocal<Inflater> INFLATER = ThreadLocal.withInitial(Inflater::new);

  @Override
  public String name() {
    return "zlib";
  }

  @Override
  public int flag() {
    return 0x1;
  }

  /// As zlib makes it.
  @Override
  public byte[] packedSample() {
    return HexFormat.of().parseHex("789c2bcb4dce484dce562823930600170d1809");
  }

  @Override
  public void decode(byte[] in, int inLength, byte[] out, int outLength)
      throws CorruptPageException {
    Inflater inflater = INFLATER.get();
    inflater.reset();
    inflater.setInput(in, 0, inLength);
    int produced = 0;
    try {
      while (produced < outLength) {
        int count = inflater.inflate(out, produced, outLength - produced);
        produced += count;
        if (count == 0) {
          break;
        }
      }
      if (produced == outLength && !inflater.finished()) {
        // The end of the stream (and its checksum) is only seen by asking for one byte more.
        if (inflater.inflate(new byte[1]) > 0) {
          throw new CorruptPageException("zlib: more than " + outLength + " bytes come out");
        }
      }
    } catch (DataFormatException e) {
      throw new CorruptPageException("zlib: " + e.getMessage());
    }
    if (!inflater.finished() || produced != outLength) {
      throw new CorruptPageException(
          "zlib: stream ends after " + produced + " of " + outLength + " bytes");
    }
  }
}
