package org.vmcheck.debuginfo;

import com.github.luben.zstd.ZstdInputStream;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import net.jpountz.lz4.LZ4Exception;
import net.jpountz.lz4.LZ4Factory;
import net.jpountz.lz4.LZ4SafeDecompressor;
import org.apache.commons.compress.compressors.bzip2.BZip2CompressorInputStream;
import org.tukaani.xz.LZMAInputStream;
import org.tukaani.xz.SingleXZInputStream;
import org.vmcheck.codec.Codecs;
import org.vmcheck.codec.CorruptPageException;
import org.vmcheck.codec.PageCodec;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.CancelledException;
import org.vmcheck.io.FileMagic;
import org.vmcheck.io.GzipStream;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.UnsupportedFormatException;

/// The vmlinux inside a bootable image (`vmlinuz`), or a vmlinux that is merely compressed; the
/// flat image of arm64, plain, compressed or in a program of EFI.
///
/// Sources: Linux `Documentation/arch/x86/boot.rst` (setup header),
/// `arch/x86/boot/compressed/Makefile` (payloads), `lzop` (`lzop.h`, container of LZO).
final class BootImage {
  /// Uncompressed kernels without debug information are below 200 MB; with it, below a gigabyte.
  private static final int MAX_UNPACKED = 1 << 30;

  private static final int MAX_IMAGE = 1 << 29;
  private static final int XZ_MEMORY_KIB = 256 << 10;

  /// LZ4 legacy frames and lzop hold blocks of at most this many bytes.
  private static final int MAX_BLOCK = 64 << 20;

  /// Places at which a payload may start that are tried where no header tells: each may take a
  /// dictionary of megabytes.
  private static final int MAX_TRIES = 64;

  /// How a payload is packed, by its first bytes.
  private enum Packing {
    GZIP(FileMagic.GZIP),
    XZ(FileMagic.XZ),
    ZSTD(FileMagic.ZSTD),
    LZ4(FileMagic.LZ4_LEGACY),
    LZO(FileMagic.LZOP),
    BZIP2(FileMagic.BZIP2),
    LZMA(FileMagic.LZMA),
    NONE(FileMagic.ELF);

    private final FileMagic magic;

    Packing(FileMagic magic) {
      this.magic = magic;
    }

    boolean isAt(byte[] bytes, int at) {
      return magic.isAt(bytes, at);
    }

    /// Whether what follows the magic can be the start of a stream, as far as a look tells without
    /// opening it: magics of three bytes stand in any large file.
    boolean isLikelyAt(byte[] bytes, int at) {
      if (!isAt(bytes, at) || bytes.length - at < 32) {
        return false;
      }
      return switch (this) {
        // Deflate is the only method that there is.
        case GZIP -> bytes[at + 2] == 8 && (bytes[at + 3] & 0xe0) == 0;
        case XZ -> bytes[at + 6] == 0 && (bytes[at + 7] & 0xf0) == 0;
        case LZ4 -> {
          long size = u32(bytes, at + 4);
          yield size > 0 && size <= bytes.length - at - 8;
        }
        case BZIP2 ->
            bytes[at + 3] >= '1' && bytes[at + 3] <= '9' && u32(bytes, at + 4) == 0x26_59_41_31L;
        case LZMA -> {
          long dictionary = u32(bytes, at + 1);
          long high = u32(bytes, at + 9);
          // A power of two, or one and a half; the size known or not; and the coder's first byte.
          yield (Long.bitCount(dictionary) == 1 || Long.bitCount(dictionary) == 2)
              && dictionary <= (long) XZ_MEMORY_KIB << 10
              && (high == 0 || high == 0xffff_ffffL)
              && bytes[at + 13] == 0;
        }
        case ZSTD, LZO, NONE -> true;
      };
    }

    private static long u32(byte[] bytes, int at) {
      return (bytes[at] & 0xff)
          | (bytes[at + 1] & 0xff) << 8
          | (bytes[at + 2] & 0xff) << 16
          | (bytes[at + 3] & 0xffL) << 24;
    }

    /// The unpacked bytes from `at` on, as they are asked for.
    InputStream open(byte[] bytes, int at, int byteCount) throws IOException {
      InputStream in = new ByteArrayInputStream(bytes, at, byteCount);
      return switch (this) {
        case GZIP -> new GzipStream(in, 1 << 16);
        case XZ -> new SingleXZInputStream(in, XZ_MEMORY_KIB);
        case ZSTD -> new ZstdInputStream(in);
        case LZ4 -> new Lz4Blocks(bytes, at + 4, at + byteCount);
        case LZO -> new LzopBlocks(bytes, at, at + byteCount);
        case BZIP2 -> new BZip2CompressorInputStream(in);
        case LZMA -> new LZMAInputStream(in, XZ_MEMORY_KIB);
        case NONE -> in;
      };
    }
  }

  private BootImage() {}

  private static boolean isKernel(byte[] start) {
    return Packing.NONE.isAt(start, 0) || FileMagic.ARM64_IMAGE.startsWith(start);
  }

  /// Unpacks the vmlinux.
  ///
  /// @throws UnsupportedFormatException if there is none in the file
  /// @throws MalformedFileException if there is one and it does not unpack
  static ByteSource unpack(ByteSource file) throws IOException {
    if (file.size() < 1024) {
      throw new UnsupportedFormatException(
          "[%s] neither an ELF file nor a bootable Linux image".formatted(file.name()));
    }
    ByteView header = file.view("setup header", 0, 1024, false);
    boolean isBootable = header.u16(0x1fe) == 0xaa55 && header.string(0x202, 4).equals("HdrS");
    if (file.size() > Math.min(MAX_IMAGE, maxBytes() / 2)) {
      throw new UnsupportedFormatException(
          "[%s] no ELF file, and with %d bytes too large for a bootable image: expected at most %d"
              .formatted(file.name(), file.size(), Math.min(MAX_IMAGE, maxBytes() / 2)));
    }
    byte[] bytes = new byte[(int) file.size()];
    MemorySegment.copy(
        file.slice(0, bytes.length), 0, MemorySegment.ofArray(bytes), 0, bytes.length);
    if (isBootable && header.u16(0x206) >= 0x208) {
      return payload(file, header, bytes);
    }
    if (FileMagic.ARM64_IMAGE.startsWith(bytes)) {
      return result(file, bytes);
    }
    return header.string(4, 4).equals("zimg") ? zboot(file, header, bytes) : scan(file, bytes);
  }

  /// A program of EFI that holds the image of arm64, packed. Source: Linux
  /// `drivers/firmware/efi/libstub/zboot-header.S`.
  private static ByteSource zboot(ByteSource file, ByteView header, byte[] bytes)
      throws IOException {
    long at = header.u32(8);
    long byteCount = header.u32(12);
    if (at > bytes.length - 16 || byteCount < 16 || byteCount > bytes.length - at) {
      throw header.malformed(
          "payload_offset",
          8,
          "a payload within " + bytes.length + " bytes",
          "%d bytes at 0x%x (file truncated?)".formatted(byteCount, at));
    }
    List<String> tried = new ArrayList<>();
    for (Packing packing : Packing.values()) {
      if (packing.isAt(bytes, (int) at)) {
        Optional<byte[]> unpacked = attempt(packing, bytes, (int) at, tried);
        if (unpacked.isPresent()) {
          return result(file, unpacked.get());
        }
      }
    }
    throw header.malformed(
        "payload", at, "a packed image of the kernel", "other bytes (a newer compression?)");
  }

  private static ByteSource payload(ByteSource file, ByteView header, byte[] bytes)
      throws IOException {
    int sectors = header.u8(0x1f1) == 0 ? 4 : header.u8(0x1f1);
    long at = (sectors + 1) * 512L + header.u32(0x248);
    long byteCount = header.u32(0x24c);
    if (at > bytes.length - 16 || byteCount < 16 || byteCount > bytes.length - at) {
      throw header.malformed(
          "payload_offset",
          0x248,
          "a payload within " + bytes.length + " bytes",
          "%d bytes at 0x%x (file truncated?)".formatted(byteCount, at));
    }
    for (Packing packing : Packing.values()) {
      if (packing.isAt(bytes, (int) at)) {
        // The last four bytes of every payload are the size of what it holds.
        ByteView payload = ByteView.of("payload", bytes).slice("payload", at, byteCount);
        long size = packing == Packing.NONE ? byteCount : payload.u32(byteCount - 4);
        long most = Math.min(MAX_UNPACKED, maxBytes() - bytes.length);
        if (size < 64 || size > most || size / 2000 > byteCount) {
          throw header.malformed(
              "size of the " + packing + " payload",
              at + byteCount - 4,
              "64 to " + most,
              "" + size);
        }
        int packed = packing == Packing.GZIP || packing == Packing.NONE ? 0 : 4;
        try (InputStream in = packing.open(bytes, (int) at, (int) byteCount - packed)) {
          byte[] unpacked = in.readNBytes((int) size);
          if (unpacked.length < size) {
            throw new IOException("it ends after %d of %d bytes".formatted(unpacked.length, size));
          }
          return result(file, unpacked);
        } catch (IOException | IndexOutOfBoundsException e) {
          throw header.malformed(
              "payload", at, "a whole " + packing + " stream", String.valueOf(e.getMessage()));
        }
      }
    }
    throw header.malformed(
        "payload", at, "a known compression", "other bytes (a newer compression?)");
  }

  private static ByteSource result(ByteSource file, byte[] unpacked) throws IOException {
    if (!isKernel(unpacked)) {
      throw new IOException("what it holds is neither an ELF file nor an image of arm64");
    }
    return new FileBytes(file.name() + " unpacked", MemorySegment.ofArray(unpacked));
  }

  /// Tries every place that looks like the start of a payload: a compressed vmlinux, and bootable
  /// images inside other files.
  private static ByteSource scan(ByteSource file, byte[] bytes) throws IOException {
    List<String> tried = new ArrayList<>();
    int tries = 0;
    Cancellation cancellation = Cancellation.current();
    Packing[] packings = Packing.values();
    for (int at = 0; at < bytes.length - 16; at++) {
      if ((at & 4095) == 0) {
        cancellation.step();
      }
      for (Packing packing : packings) {
        if (!packing.isLikelyAt(bytes, at) || ++tries > MAX_TRIES) {
          continue;
        }
        cancellation.step();
        Optional<byte[]> unpacked = attempt(packing, bytes, at, tried);
        if (unpacked.isPresent()) {
          return result(file, unpacked.get());
        }
      }
    }
    throw new UnsupportedFormatException(
        "[%s] neither an ELF file nor a bootable Linux image%s"
            .formatted(
                file.name(),
                tried.isEmpty() ? "" : "; what looks like one: " + String.join("; ", tried)));
  }

  private static Optional<byte[]> attempt(
      Packing packing, byte[] bytes, int at, List<String> tried) {
    try (InputStream in = packing.open(bytes, at, bytes.length - at)) {
      byte[] start = in.readNBytes(FlatImage.HEADER);
      if (!isKernel(start)) {
        return Optional.empty();
      }
      byte[] unpacked = Arrays.copyOf(start, 1 << 20);
      int done = start.length;
      while (true) {
        int count;
        try {
          count = in.read(unpacked, done, unpacked.length - done);
        } catch (IOException e) {
          // What follows the payload is not the decoder's; whether all is there the ELF tells.
          tried.add("%s at 0x%x: %s".formatted(packing, at, e.getMessage()));
          count = -1;
        }
        if (count <= 0) {
          return Optional.of(Arrays.copyOf(unpacked, done));
        }
        done += count;
        Cancellation.check();
        if (done == unpacked.length) {
          if (done >= MAX_UNPACKED / 2 || 3L * done > maxBytes()) {
            tried.add("%s at 0x%x: more than %d bytes come out".formatted(packing, at, done));
            return Optional.empty();
          }
          unpacked = Arrays.copyOf(unpacked, done * 2);
        }
      }
    } catch (CancelledException over) {
      throw over;
    } catch (IOException | RuntimeException _) {
      return Optional.empty();
    }
  }

  /// Bytes that an image and what is unpacked of it may take: not all that Java may use.
  private static long maxBytes() {
    return Runtime.getRuntime().maxMemory() / 4 * 3;
  }

  /// Blocks that are unpacked one at a time.
  private abstract static class Blocks extends InputStream {
    final byte[] bytes;
    final int end;
    int at;
    private byte[] block = {};
    private int position;
    private int limit;

    Blocks(byte[] bytes, int at, int end) {
      this.bytes = bytes;
      this.at = at;
      this.end = end;
    }

    /// The next block's bytes; null at the end.
    abstract byte[] next() throws IOException;

    private boolean isAtEnd() throws IOException {
      while (position == limit) {
        block = next();
        if (block == null) {
          block = new byte[0];
          limit = 0;
          position = 0;
          return true;
        }
        position = 0;
        limit = block.length;
      }
      return false;
    }

    @Override
    public int read() throws IOException {
      return isAtEnd() ? -1 : block[position++] & 0xff;
    }

    @Override
    public int read(byte[] into, int from, int byteCount) throws IOException {
      if (byteCount == 0) {
        return 0;
      }
      if (isAtEnd()) {
        return -1;
      }
      int count = Math.min(byteCount, limit - position);
      System.arraycopy(block, position, into, from, count);
      position += count;
      return count;
    }

    int need(String what, int least, long actual, long most) throws IOException {
      if (actual < least || actual > most) {
        throw new IOException(
            "%s at 0x%x: expected %d to %d, got %d".formatted(what, at, least, most, actual));
      }
      return (int) actual;
    }
  }

  /// The legacy frame of LZ4: blocks of a size and its bytes, each 8 MiB unpacked but the last, and
  /// no mark at the end.
  private static final class Lz4Blocks extends Blocks {
    private static final int BLOCK = 8 << 20;
    private final LZ4SafeDecompressor decompressor = LZ4Factory.safeInstance().safeDecompressor();
    private byte[] unpacked;

    Lz4Blocks(byte[] bytes, int at, int end) {
      super(bytes, at, end);
    }

    @Override
    byte[] next() throws IOException {
      if (end - at < 4) {
        return null;
      }
      long size =
          (bytes[at] & 0xff)
              | (bytes[at + 1] & 0xff) << 8
              | (bytes[at + 2] & 0xff) << 16
              | (bytes[at + 3] & 0xffL) << 24;
      if (size == 0) {
        return null;
      }
      int packed = need("lz4 block size", 1, size, end - at - 4);
      unpacked = unpacked == null ? new byte[BLOCK] : unpacked;
      try {
        int count = decompressor.decompress(bytes, at + 4, packed, unpacked, 0, BLOCK);
        at += 4 + packed;
        return Arrays.copyOf(unpacked, count);
      } catch (LZ4Exception e) {
        throw new IOException("lz4 block at 0x%x: %s".formatted(at, e.getMessage()), e);
      }
    }
  }

  /// The container of lzop: a header, then blocks of two sizes, check sums and bytes, all numbers
  /// big endian.
  private static final class LzopBlocks extends Blocks {
    private static final int ADLER32_D = 0x1;
    private static final int ADLER32_C = 0x2;
    private static final int EXTRA_FIELD = 0x40;
    private static final int CRC32_D = 0x100;
    private static final int CRC32_C = 0x200;
    private static final int FILTER = 0x800;

    private final PageCodec lzo = Codecs.byFlag(0x2).orElseThrow();
    private final ByteBuffer numbers;
    private final int flags;

    LzopBlocks(byte[] bytes, int start, int end) throws IOException {
      super(bytes, start, end);
      numbers = ByteBuffer.wrap(bytes, 0, end);
      if (end - start < 64) {
        throw new IOException("lzop header: expected at least 64 bytes, got " + (end - start));
      }
      int version = numbers.getShort(start + 9) & 0xffff;
      boolean isNew = version >= 0x940;
      at = start + 9 + 4 + (isNew ? 2 : 0) + 1 + (isNew ? 1 : 0);
      flags = numbers.getInt(at);
      at += 4 + ((flags & FILTER) != 0 ? 4 : 0) + 4 + 4 + (isNew ? 4 : 0);
      at += 1 + (bytes[at] & 0xff) + 4;
      if ((flags & EXTRA_FIELD) != 0) {
        at += 8 + need("lzop extra field", 0, numbers.getInt(at), (long) end - at - 8);
      }
    }

    @Override
    byte[] next() throws IOException {
      if (end - at < 8) {
        return null;
      }
      int unpackedSize = numbers.getInt(at);
      if (unpackedSize == 0) {
        return null;
      }
      need("lzop block size", 1, unpackedSize, MAX_BLOCK);
      int packedSize = numbers.getInt(at + 4);
      boolean isPacked = packedSize < unpackedSize;
      at += 8;
      at += (flags & ADLER32_D) != 0 ? 4 : 0;
      at += (flags & CRC32_D) != 0 ? 4 : 0;
      at += isPacked && (flags & ADLER32_C) != 0 ? 4 : 0;
      at += isPacked && (flags & CRC32_C) != 0 ? 4 : 0;
      need("lzop packed size", 1, packedSize, Math.min(unpackedSize, (long) end - at));
      byte[] packed = Arrays.copyOfRange(bytes, at, at + packedSize);
      at += packedSize;
      if (!isPacked) {
        return packed;
      }
      byte[] unpacked = new byte[unpackedSize];
      try {
        lzo.decode(packed, packedSize, unpacked, unpackedSize);
      } catch (CorruptPageException e) {
        throw new IOException("lzop block at 0x%x: %s".formatted(at, e.getMessage()), e);
      }
      return unpacked;
    }
  }
}
