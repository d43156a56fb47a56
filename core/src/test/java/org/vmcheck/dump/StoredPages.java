package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import org.vmcheck.codec.Codecs;

/// Pages as they lie in a kdump-compressed file, and what zlib alone takes to unpack them: the
/// bound of whatever reads pages of that dump.
public final class StoredPages {
  private static final int ZLIB = Codecs.byFlag(0x1).orElseThrow().flag();

  private record Stored(List<byte[]> contents, List<Boolean> packed) {}

  private final Stored stored;
  private final int pageSize;

  private StoredPages(Stored stored, int pageSize) {
    this.stored = stored;
    this.pageSize = pageSize;
  }

  /// Every page frame that a dump stores.
  public static LongStream frames(PhysicalMemory memory) {
    return LongStream.iterate(
        memory.nextStored(0), pfn -> pfn >= 0, pfn -> memory.nextStored(pfn + 1));
  }

  /// Reads frames one after the other into one page.
  ///
  /// @throws IOException if one cannot be read
  static void read(PhysicalMemory memory, long[] frames, PageBuffer page) throws IOException {
    for (long pfn : frames) {
      if (!(memory.readInto(pfn, page) instanceof PageRead.Present)) {
        throw new IOException("frame " + pfn + " cannot be read");
      }
    }
  }

  /// Copies the bytes of these frames.
  ///
  /// @throws IllegalStateException if the dump is not kdump-compressed, or one of the pages is not
  ///   stored as it is or packed with zlib
  public static StoredPages of(Dump dump, LongStream pfns) throws IOException {
    if (!(dump instanceof KdumpDump kdump)) {
      throw new IllegalStateException(dump.path() + " is not kdump-compressed");
    }
    Stored stored = new Stored(new ArrayList<>(), new ArrayList<>());
    for (long pfn : pfns.toArray()) {
      if (!(kdump.locate(pfn) instanceof KdumpDump.Location.At at)
          || (at.codecFlags() != 0 && at.codecFlags() != ZLIB)) {
        throw new IllegalStateException("frame " + pfn + ": not stored, or not with zlib");
      }
      stored.contents.add(
          at.part().source().slice(at.offset(), at.byteCount()).toArray(ValueLayout.JAVA_BYTE));
      stored.packed.add(at.codecFlags() == ZLIB);
    }
    return new StoredPages(stored, kdump.pageSize());
  }

  public int count() {
    return stored.contents.size();
  }

  /// Unpacks or copies the pages from one index to another into one buffer, one after the other.
  ///
  /// @return the last of them
  public byte[] unpack(int from, int to) throws DataFormatException {
    byte[] page = new byte[pageSize];
    try (Inflater inflater = new Inflater()) {
      for (int i = from; i < to; i++) {
        byte[] content = stored.contents.get(i);
        if (stored.packed.get(i)) {
          inflater.reset();
          inflater.setInput(content);
          if (inflater.inflate(page) != pageSize) {
            throw new DataFormatException("less than a page comes out of page " + i);
          }
        } else {
          System.arraycopy(content, 0, page, 0, pageSize);
        }
      }
    }
    return page;
  }
}
