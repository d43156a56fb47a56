package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.FileMagic;
import org.vmcheck.io.MalformedFileException;

/// A flattened dump (`makedumpfile -F`) read in place: an index from logical offsets to the records
/// of the stream. Where two records overlap the later one counts; gaps are holes of zeros.
final class FlattenedSource implements ByteSource {
  private static final int HEADER_BYTES = 4096;
  private static final int RECORD_HEADER_BYTES = 16;

  /// What one `slice` may copy when the bytes do not lie together.
  private static final long MAX_COPY = 256L << 20;

  /// 24 bytes each in the index. Records hold 30 KiB on the average in makedumpfile's streams, so
  /// this is enough for 128 GiB.
  private static final int MAX_RECORDS = 1 << 22;

  /// Records that overlap are put in order in a tree, at 100 bytes each. Real streams have one or
  /// two such pairs, in the headers.
  private static final int MAX_RECORDS_WITH_OVERLAPS = 1 << 20;

  private final ByteSource file;
  private final long[] starts;
  private final long[] lengths;
  private final long[] fileOffsets;

  /// Where the run of records ends that a record is in: they touch from one to the next.
  private final long[] runEnds;

  private final long size;
  private final boolean ended;
  private final long overlapBytes;
  private final long trailingBytes;

  private FlattenedSource(
      ByteSource file,
      long[] starts,
      long[] lengths,
      long[] fileOffsets,
      boolean ended,
      long trailingBytes,
      long overlapBytes) {
    this.file = file;
    this.starts = starts;
    this.lengths = lengths;
    this.fileOffsets = fileOffsets;
    this.ended = ended;
    this.trailingBytes = trailingBytes;
    this.overlapBytes = overlapBytes;
    int last = starts.length - 1;
    this.size = last < 0 ? 0 : starts[last] + lengths[last];
    this.runEnds = new long[starts.length];
    for (int i = last; i >= 0; i--) {
      long end = starts[i] + lengths[i];
      runEnds[i] = i < last && starts[i + 1] == end ? runEnds[i + 1] : end;
    }
  }

  static boolean probe(ByteSource file) throws IOException {
    return FileMagic.FLATTENED.startsWith(
        file.view("signature", 0, Math.min(16, file.size()), true));
  }

  /// Walks the record headers once.
  ///
  /// @throws MalformedFileException if a record header is impossible; a stream that merely ends
  ///   early is accepted ([#isEnded])
  static FlattenedSource index(ByteSource file) throws IOException {
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
    long trailing = 0;
    long at = HEADER_BYTES;
    ByteView all = file.view("flattened stream", 0, file.size(), true);
    Cancellation cancellation = Cancellation.current();
    while (at <= file.size() - RECORD_HEADER_BYTES) {
      cancellation.step();
      long start = all.u64(at);
      long length = all.u64(at + 8);
      if (start == -1) {
        ended = true;
        trailing = file.size() - at - RECORD_HEADER_BYTES;
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
        ? new FlattenedSource(file, starts, lengths, offsets, ended, trailing, 0)
        : sorted(file, starts, lengths, offsets, ended, trailing);
  }

  /// Brings the records in logical order, the later of two overlapping ones cutting the earlier.
  private static FlattenedSource sorted(
      ByteSource file, long[] starts, long[] lengths, long[] offsets, boolean ended, long trailing)
      throws MalformedFileException {
    sortByFirst(starts, lengths, offsets);
    boolean overlaps = false;
    for (int i = 1; i < starts.length && !overlaps; i++) {
      overlaps = starts[i - 1] + lengths[i - 1] > starts[i];
    }
    if (!overlaps) {
      return new FlattenedSource(file, starts, lengths, offsets, ended, trailing, 0);
    }
    if (starts.length > MAX_RECORDS_WITH_OVERLAPS) {
      throw new MalformedFileException(
          "[%s] flattened stream: expected at most %d records where some overlap, got %d"
              .formatted(file.name(), MAX_RECORDS_WITH_OVERLAPS, starts.length));
    }
    // Back in the order of the stream, which decides who wins.
    sortByFirst(offsets, starts, lengths);
    long written = 0;
    // start -> {length, file offset}
    TreeMap<Long, long[]> map = new TreeMap<>();
    for (int i = 0; i < starts.length; i++) {
      long start = starts[i];
      long end = start + lengths[i];
      written += lengths[i];
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
        Cancellation.check();
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
    long held = Arrays.stream(l).sum();
    return new FlattenedSource(file, s, l, o, ended, trailing, written - held);
  }

  /// Sorts three arrays by the first, in place: heap sort.
  private static void sortByFirst(long[] keys, long[] second, long[] third) {
    int count = keys.length;
    for (int i = count / 2 - 1; i >= 0; i--) {
      sift(keys, second, third, i, count);
    }
    for (int last = count - 1; last > 0; last--) {
      swap(keys, 0, last);
      swap(second, 0, last);
      swap(third, 0, last);
      sift(keys, second, third, 0, last);
    }
  }

  private static void sift(long[] keys, long[] second, long[] third, int from, int count) {
    int at = from;
    while (2 * at + 1 < count) {
      int child = 2 * at + 1;
      if (child + 1 < count && keys[child + 1] > keys[child]) {
        child++;
      }
      if (keys[at] >= keys[child]) {
        return;
      }
      swap(keys, at, child);
      swap(second, at, child);
      swap(third, at, child);
      at = child;
    }
  }

  private static void swap(long[] array, int a, int b) {
    long kept = array[a];
    array[a] = array[b];
    array[b] = kept;
  }

  /// Whether the end marker was found.
  boolean isEnded() {
    return ended;
  }

  int recordCount() {
    return starts.length;
  }

  /// What is unusual about a stream and does no harm.
  static void remarks(ByteSource source, List<String> remarks) {
    if (!(source instanceof FlattenedSource stream)) {
      return;
    }
    if (stream.overlapBytes > 0) {
      remarks.add(
          "%d bytes of the flattened stream are written twice; the later record counts"
              .formatted(stream.overlapBytes));
    }
    if (stream.trailingBytes > 0) {
      remarks.add(
          "%d bytes follow the end marker of the flattened stream and are not part of the dump"
              .formatted(stream.trailingBytes));
    }
  }

  /// Bytes from `offset` on, at most `byteCount`, up to the first that no record holds.
  long heldFrom(long offset, long byteCount) {
    int record = recordAtOrBefore(offset);
    return record < 0 ? 0 : Math.clamp(runEnds[record] - offset, 0, byteCount);
  }

  @Override
  public String name() {
    return file.name();
  }

  @Override
  public long size() {
    return size;
  }

  /// A gap in a stream that ended as it should is a hole of zeros; in one that was cut short it may
  /// be what was cut off.
  @Override
  public long available(long offset, long byteCount) {
    if (ended || offset < 0 || offset >= size) {
      return ByteSource.super.available(offset, byteCount);
    }
    return heldFrom(offset, Math.min(byteCount, size - offset));
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
