package org.vmcheck.testing;

import com.github.luben.zstd.Zstd;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.zip.GZIPOutputStream;
import net.jpountz.lz4.LZ4Factory;
import org.apache.commons.compress.compressors.bzip2.BZip2CompressorOutputStream;
import org.tukaani.xz.LZMA2Options;
import org.tukaani.xz.LZMAOutputStream;
import org.tukaani.xz.XZOutputStream;

/// Packs a vmlinux as the kernel's build does, and wraps it as a bootable image.
public enum BootImageWriter {
  GZIP {
    @Override
    public byte[] pack(byte[] vmlinux) throws IOException {
      return through(GZIPOutputStream::new, vmlinux);
    }
  },
  XZ {
    @Override
    public byte[] pack(byte[] vmlinux) throws IOException {
      return through(
          out ->
              new XZOutputStream(
                  out,
                  new org.tukaani.xz.FilterOptions[] {
                    new org.tukaani.xz.X86Options(), new LZMA2Options(1)
                  },
                  org.tukaani.xz.XZ.CHECK_CRC32),
          vmlinux);
    }
  },
  LZMA {
    @Override
    public byte[] pack(byte[] vmlinux) throws IOException {
      return through(out -> new LZMAOutputStream(out, new LZMA2Options(1), -1), vmlinux);
    }
  },
  BZIP2 {
    @Override
    public byte[] pack(byte[] vmlinux) throws IOException {
      return through(BZip2CompressorOutputStream::new, vmlinux);
    }
  },
  LZO {
    @Override
    public byte[] pack(byte[] vmlinux) {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      ByteBuffer header = ByteBuffer.allocate(38);
      header.put(new byte[] {(byte) 0x89, 0x4c, 0x5a, 0x4f, 0, 0x0d, 0x0a, 0x1a, 0x0a});
      // Version, library, version needed, method, level, flags (adler32 of both), mode, times,
      // name.
      header.putShort((short) 0x1040).putShort((short) 0x20a0).putShort((short) 0x940);
      header.put((byte) 3).put((byte) 9).putInt(0x3).putInt(0100644).putInt(0).putInt(0);
      header.put((byte) 0).putInt(0);
      out.write(header.array(), 0, header.position());
      for (int at = 0; at < vmlinux.length; at += 256 << 10) {
        byte[] block = Arrays.copyOfRange(vmlinux, at, Math.min(vmlinux.length, at + (256 << 10)));
        byte[] packed = Packer.LZO.pack(block);
        boolean pays = packed.length < block.length;
        out.writeBytes(
            ByteBuffer.allocate(8)
                .putInt(block.length)
                .putInt(pays ? packed.length : block.length)
                .array());
        out.writeBytes(new byte[pays ? 8 : 4]);
        out.writeBytes(pays ? packed : block);
      }
      out.writeBytes(new byte[4]);
      return out.toByteArray();
    }
  },
  LZ4 {
    @Override
    public byte[] pack(byte[] vmlinux) {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      out.writeBytes(new byte[] {0x02, 0x21, 0x4c, 0x18});
      for (int at = 0; at < vmlinux.length; at += 8 << 20) {
        byte[] block = Arrays.copyOfRange(vmlinux, at, Math.min(vmlinux.length, at + (8 << 20)));
        byte[] packed = LZ4Factory.safeInstance().fastCompressor().compress(block);
        out.writeBytes(littleEndian(packed.length));
        out.writeBytes(packed);
      }
      return out.toByteArray();
    }
  },
  ZSTD {
    @Override
    public byte[] pack(byte[] vmlinux) {
      return Zstd.compress(vmlinux);
    }
  },
  NONE {
    @Override
    public byte[] pack(byte[] vmlinux) {
      return vmlinux.clone();
    }
  };

  /// The vmlinux packed, without a size behind it.
  public abstract byte[] pack(byte[] vmlinux) throws IOException;

  /// A bootable image: boot sector, setup, and from 2 sectors on code before the payload.
  public byte[] image(byte[] vmlinux) throws IOException {
    byte[] packed = pack(vmlinux);
    ByteArrayOutputStream payload = new ByteArrayOutputStream();
    payload.writeBytes(packed);
    // Of gzip the size is a part.
    if (this != GZIP && this != NONE) {
      payload.writeBytes(littleEndian(vmlinux.length));
    }
    int codeBytes = 300;
    ByteBuffer image =
        ByteBuffer.allocate(1024 + codeBytes + payload.size() + 100).order(ByteOrder.LITTLE_ENDIAN);
    image.put(0x1f1, (byte) 1).putShort(0x1fe, (short) 0xaa55);
    image.put(0x202, "HdrS".getBytes(StandardCharsets.ISO_8859_1)).putShort(0x206, (short) 0x20f);
    image.putInt(0x248, codeBytes).putInt(0x24c, payload.size());
    image.put(1024 + codeBytes, payload.toByteArray());
    return image.array();
  }

  @FunctionalInterface
  private interface Wrapping {
    OutputStream around(OutputStream out) throws IOException;
  }

  private static byte[] through(Wrapping wrapping, byte[] bytes) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (OutputStream packing = wrapping.around(out)) {
      packing.write(bytes);
    }
    return out.toByteArray();
  }

  private static byte[] littleEndian(int value) {
    return ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array();
  }
}
