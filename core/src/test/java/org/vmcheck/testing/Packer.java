package org.vmcheck.testing;

import com.github.luben.zstd.Zstd;
import io.airlift.compress.v3.lzo.LzoCompressor;
import io.airlift.compress.v3.snappy.SnappyJavaCompressor;
import java.util.Arrays;
import java.util.zip.Deflater;

/// Packs a page as makedumpfile does, with encoders that are not ours.
public enum Packer {
  ZLIB(0x1) {
    @Override
    public byte[] pack(byte[] page) {
      try (Deflater deflater = new Deflater(Deflater.BEST_SPEED)) {
        deflater.setInput(page);
        deflater.finish();
        byte[] out = new byte[page.length * 2 + 64];
        return Arrays.copyOf(out, deflater.deflate(out));
      }
    }
  },
  LZO(0x2) {
    @Override
    public byte[] pack(byte[] page) {
      LzoCompressor compressor = new LzoCompressor();
      byte[] out = new byte[compressor.maxCompressedLength(page.length)];
      return Arrays.copyOf(out, compressor.compress(page, 0, page.length, out, 0, out.length));
    }
  },
  SNAPPY(0x4) {
    @Override
    public byte[] pack(byte[] page) {
      SnappyJavaCompressor compressor = new SnappyJavaCompressor();
      byte[] out = new byte[compressor.maxCompressedLength(page.length)];
      return Arrays.copyOf(out, compressor.compress(page, 0, page.length, out, 0, out.length));
    }
  },
  ZSTD(0x20) {
    @Override
    public byte[] pack(byte[] page) {
      return Zstd.compress(page, 1);
    }
  };

  private final int flag;

  Packer(int flag) {
    this.flag = flag;
  }

  /// The bit in `page_desc.flags`.
  public int flag() {
    return flag;
  }

  public abstract byte[] pack(byte[] page);
}
