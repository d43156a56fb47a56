package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.MappedFile;

/// A flattened dump (`makedumpfile -F`) read in place: an index from logical offsets to the records
/// of the stream. Where two records overlap the later one counts; gaps read as zeros.
final class FlattenedSource implements ByteSource {
  private static final int HEADER_BYTES = 4096;
  private static final int RECORD_HEADER_BYTES = 16;

  /// What one `slice` may copy when the bytes do not lie together.
  private static final long MAX_COPY = 256L << 20;

  /// Records are 4 KiB and more in real streams; this many are 24 bytes each in the index.
  private static final int MAX_RECORDS = 1 << 24;

  private final MappedFile file;
  private final long[] starts;
  private final long[] lengths;
  private final long[] fileOffsets;
  private final long size;
  private final boolean ended;

  private FlattenedSource(
      MappedFile file, long[] starts, long[] lengths, long[] fileOffsets, boolean ended) {
    this.file = file;
    this.starts = starts;
    this.lengths = lengths;
    this.fileOffsets = fileOffsets;
    this.ended = ended;
    int last = starts.length - 1;
    this.size = last < 0 ? 0 : starts[last] + lengths[last];
  }

  static boolean probe(MappedFile file) throws IOException {
    if (file.size() < 16) {
      return false;
    }
    return file.view("signature", 0, 16, true).string(0, 16).equals("makedumpfile");
  }

  /// Walks the record headers once.
  ///
  /// @throws MalformedFileException if a record header is impossible; a stream that merely ends
  ///   early is accepted ([#isEnded])
  static FlattenedSource index(MappedFile file) throws IOException {
    if (file.size() < HEADER_BYTES) {
      throw new MalformedFileException(
          "[%s] flattened header at 0x0: expected 4096 bytes, got %d (file truncated?)"
              .formatted(file.name(), file.size()));
    }
    ByteView header = file.view("makedumpfile_header", 0, HEADER_BYTES, true);
    if (header.u64(16) != 1) {
      throw header.malformed("type", 16, "1", Long.toString(header.u64(16)));
    }
    if (header.u64(24) != 1) {
      throw header.malformed("version", 24, "1", Long.toString(header.u64(24)));
    }
    long[] starts = new long[1024];
    long[] lengths = new long[1024];
    long[] offsets = new long[1024];
    int count = 0;
    boolean sorted = true;
    boolean ended = false;
    long at = HEADER_BYTES;
    ByteView all = file.view("flattened stream", 0, file.size(), true);
    while (at <= file.size() - RECORD_HEADER_BYTES) {
      long start = all.u64(at);
      long length = all.u64(at + 8);
      if (start == -1) {
        ended = true;
        break;
      }
      if (start < 0) {
        throw all.malformed("record.offset", at, "0 or more", Long.toString(start));
      }
      if (length <= 0) {
        throw all.malformed("record.size", at + 8, "1 or more", Long.toString(length));
      }
      if (start > Long.MAX_VALUE - length) {
        throw all.malformed("record.size", at + 8, "an end below 2^63", Long.toString(length));
      }
      if (count == MAX_RECORDS) {
        throw all.malformed("record", at, "at most " + MAX_RECORDS + " records", "more");
      }
      if (count == starts.length) {
        starts = Arrays.copyOf(starts, count * 2);
        lengths = Arrays.copyOf(lengths, count * 2);
        offsets = Arrays.copyOf(offsets, count * 2);
      }
      long data = at + RECORD_HEADER_BYTES;
      starts[count] = start;
      lengths[count] = Math.min(length, file.size() - data);
      offsets[count] = data;
      sorted &= count == 0 || starts[count - 1] + lengths[count - 1] <= start;
      if (lengths[count] > 0) {
        count++;
      }
      if (length > file.size() - data) {
        break;
      }
      at = data + length;
    }
    if (count == 0) {
      throw new MalformedFileException("[" + file.name() + "] flattened stream without a record");
    }
    starts = Arrays.copyOf(starts, count);
    lengths = Arrays.copyOf(lengths, count);
    offsets = Arrays.copyOf(offsets, count);
    return sorted
        ? new FlattenedSource(file, starts, lengths, offsets, ended)
        : sorted(file, starts, lengths, offsets, ended);
  }

  /// Brings the records in logical order, the later of two overlapping ones cutting the earlier.
  private static FlattenedSource sorted(
      MappedFile file, long[] starts, long[] lengths, long[] offsets, boolean ended) {
    // start -> {length, file offset}
    TreeMap<Long, long[]> map = new TreeMap<>();
    for (int i = 0; i < starts.length; i++) {
      long start = starts[i];
      long end = start + lengths[i];
      Map.Entry<Long, long[]> before = map.lowerEntry(start);
      if (before != null && before.getKey() + before.getValue()[0] > start) {
        long[] cut = before.getValue();
        long oldEnd = before.getKey() + cut[0];
        if (oldEnd > end) {
          map.put(end, new long[] {oldEnd - end, cut[1] + (end - before.getKey())});
        }
        cut[0] = start - before.getKey();
      }
      Map.Entry<Long, long[]> next = map.ceilingEntry(start);
      while (next != null && next.getKey() < end) {
        long nextEnd = next.getKey() + next.getValue()[0];
        map.remove(next.getKey());
        if (nextEnd > end) {
          map.put(end, new long[] {nextEnd - end, next.getValue()[1] + (end - next.getKey())});
        }
        next = map.ceilingEntry(start);
      }
      map.put(start, new long[] {lengths[i], offsets[i]});
    }
    long[] s = new long[map.size()];
    long[] l = new long[map.size()];
    long[] o = new long[map.size()];
    int i = 0;
    for (Map.Entry<Long, long[]> entry : map.entrySet()) {
      s[i] = entry.getKey();
      l[i] = entry.getValue()[0];
      o[i++] = entry.getValue()[1];
    }
    return new FlattenedSource(file, s, l, o, ended);
  }

  /// Whether the end marker was found.
  boolean isEnded() {
    return ended;
  }

  int recordCount() {
    return starts.length;
  }

  @Override
  public String name() {
    return file.name();
  }

  @Override
  public long size() {
    return size;
  }

  @Override
  public MemorySegment slice(long offset, long byteCount) throws IOException {
    if (offset < 0 || byteCount < 0 || offset > size - byteCount) {
      throw MalformedFileException.field(
          name(),
          "range of " + byteCount + " bytes",
          offset,
          "an end within the flattened file's " + size + " bytes",
          "an end beyond it (stream truncated?)");
    }
    int record = recordAtOrBefore(offset);
    if (record >= 0 && offset + byteCount <= starts[record] + lengths[record]) {
      return file.slice(fileOffsets[record] + (offset - starts[record]), byteCount);
    }
    if (byteCount > MAX_COPY) {
      throw MalformedFileException.field(
          name(), "range", offset, "at most " + MAX_COPY + " bytes in pieces", "" + byteCount);
    }
    MemorySegment copy = MemorySegment.ofArray(new byte[(int) byteCount]);
    long end = offset + byteCount;
    for (int i = Math.max(record, 0); i < starts.length && starts[i] < end; i++) {
      long from = Math.max(offset, starts[i]);
      long to = Math.min(end, starts[i] + lengths[i]);
      if (from < to) {
        MemorySegment.copy(
            file.slice(fileOffsets[i] + (from - starts[i]), to - from),
            0,
            copy,
            from - offset,
            to - from);
      }
    }
    return copy.asReadOnly();
  }

  private int recordAtOrBefore(long offset) {
    int found = Arrays.binarySearch(starts, offset);
    return found >= 0 ? found : -found - 2;
  }
}
