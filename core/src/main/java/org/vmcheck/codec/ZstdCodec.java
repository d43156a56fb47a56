package org.vmcheck.codec;

import com.github.luben.zstd.ZstdDecompressCtx;
import com.github.luben.zstd.ZstdException;
import java.util.HexFormat;

/// One zstd frame a page (RFC 8878), `DUMP_DH_COMPRESSED_ZSTD`.
///
/// The native library is loaded with the first page; it sees heap copies only, never the mapped
/// file, and its output is bounded by the page.
final class ZstdCodec implements PageCodec {
  private static final int MAGIC = 0xfd2fb528;

  /// A context holds about 160 KiB of native memory: one a thread, reused for every page.
  private static final ThreadLocal<ZstdDecompressCtx> CONTEXT =
      ThreadLocal.withInitial(ZstdDecompressCtx::new);

  @Override
  public String name() {
    return "zstd";
  }

  @Override
  public int flag() {
    return 0x20;
  }

  /// As the zstd command makes it, without a checksum.
  @Override
  public byte[] packedSample() {
    return HexFormat.of().parseHex("28b52ffd005875000040766d636865636b200100dd59b8");
  }

  @Override
  public void decode(byte[] in, int inLength, byte[] out, int outLength)
      throws CorruptPageException {
    if (inLength < 9 || littleEndian(in, 0) != MAGIC) {
      throw new CorruptPageException("zstd: no frame magic");
    }
    if ((in[4] & 3) != 0) {
      throw new CorruptPageException("zstd: frame needs a dictionary");
    }
    int produced;
    try {
      produced = CONTEXT.get().decompressByteArray(out, 0, outLength, in, 0, inLength);
    } catch (ZstdException e) {
      throw new CorruptPageException("zstd: " + e.getMessage());
    }
    if (produced != outLength) {
      throw new CorruptPageException(
          "zstd: frame ends after " + produced + " of " + outLength + " bytes");
    }
  }

  private static int littleEndian(byte[] in, int at) {
    return (in[at] & 0xff)
        | (in[at + 1] & 0xff) << 8
        | (in[at + 2] & 0xff) << 16
        | (in[at + 3] & 0xff) << 24;
  }
}
