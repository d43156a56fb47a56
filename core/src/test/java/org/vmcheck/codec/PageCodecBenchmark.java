package org.vmcheck.codec;

import com.github.luben.zstd.ZstdDecompressCtx;
import io.airlift.compress.v3.lzo.LzoDecompressor;
import io.airlift.compress.v3.snappy.SnappyJavaDecompressor;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.Dumps;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.StoredPages;
import org.vmcheck.testing.Packer;
import org.vmcheck.testing.TestData;

/// Unpacking 512 pages of a real kernel, taken evenly from all that its dump stores, beside the
/// bare codec: Java's zlib, the zstd library, aircompressor's LZO and Snappy.
@State(Scope.Thread)
public class PageCodecBenchmark {
  private static final int PAGES = 512;

  @Param public Packer packer;

  private final List<byte[]> packed = new ArrayList<>();
  private final byte[] page = new byte[4096];
  private PageCodec codec;
  private Bare bare;

  /// What was unpacked.
  @AuxCounters
  @State(Scope.Thread)
  public static class Count {
    public long pages;
  }

  /// A codec of others.
  private interface Bare {
    int decode(byte[] in, byte[] out) throws DataFormatException;
  }

  @Setup
  public void setUp() throws Exception {
    codec = Codecs.byFlag(packer.flag()).orElseThrow();
    bare = bare();
    try (Dump dump = Dumps.open(TestData.named("debian-cloud").dump())) {
      long[] stored = StoredPages.frames(dump.memory()).toArray();
      for (int i = 0; i < PAGES; i++) {
        pack(dump, stored[(int) ((long) i * stored.length / PAGES)]);
      }
    }
  }

  private void pack(Dump dump, long pfn) throws IOException {
    PageBuffer buffer = PageBuffer.of(dump.memory());
    if (!(dump.memory().readInto(pfn, buffer) instanceof PageRead.Present)) {
      throw new IOException("frame " + pfn + " cannot be read");
    }
    byte[] content = packer.pack(buffer.bytes());
    // makedumpfile stores a page that does not shrink as it is.
    if (content.length < page.length) {
      packed.add(content);
    }
  }

  private Bare bare() {
    return switch (packer) {
      case ZLIB -> {
        Inflater inflater = new Inflater();
        yield (in, out) -> {
          inflater.reset();
          inflater.setInput(in);
          return inflater.inflate(out);
        };
      }
      case LZO -> {
        LzoDecompressor lzo = new LzoDecompressor();
        yield (in, out) -> lzo.decompress(in, 0, in.length, out, 0, out.length);
      }
      case SNAPPY -> {
        SnappyJavaDecompressor snappy = new SnappyJavaDecompressor();
        yield (in, out) -> snappy.decompress(in, 0, in.length, out, 0, out.length);
      }
      case ZSTD -> {
        ZstdDecompressCtx zstd = new ZstdDecompressCtx();
        yield (in, out) -> zstd.decompressByteArray(out, 0, out.length, in, 0, in.length);
      }
    };
  }

  @Benchmark
  public byte[] vmcheck(Count count) throws CorruptPageException {
    for (byte[] content : packed) {
      codec.decode(content, content.length, page, page.length);
    }
    count.pages += packed.size();
    return page;
  }

  @Benchmark
  public byte[] bound(Count count) throws DataFormatException {
    for (byte[] content : packed) {
      if (bare.decode(content, page) != page.length) {
        throw new DataFormatException("less than a page comes out");
      }
    }
    count.pages += packed.size();
    return page;
  }
}
