package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.MalformedFileException;

/// One file of the dump; the whole dump if it is not split.
///
/// @param startPfn first frame whose descriptor is in this file
/// @param endPfn end (exclusive) of these frames
/// @param rankOfStart stored frames before `startPfn`
record KdumpPart(OpenFile file, KdumpHeader header, long startPfn, long endPfn, long rankOfStart) {
  ByteSource source() {
    return file.source();
  }

  /// The parts in the order of their frames.
  ///
  /// @param bitmap the bytes that all parts share
  /// @param remarks takes which parts are not there
  static List<KdumpPart> arrange(
      List<OpenFile> files,
      List<KdumpHeader> headers,
      PageBitmap dumpable,
      MemorySegment bitmap,
      List<String> remarks)
      throws IOException {
    KdumpHeader first = headers.getFirst();
    if (files.size() == 1 && !first.split()) {
      return List.of(new KdumpPart(files.getFirst(), first, 0, dumpable.bitCount(), 0));
    }
    List<KdumpPart> parts = new ArrayList<>();
    for (int i = 0; i < files.size(); i++) {
      OpenFile file = files.get(i);
      KdumpHeader header = headers.get(i);
      String name = file.source().name();
      if (!header.split()) {
        throw new MalformedFileException(
            "[%s] kdump_sub_header.split: expected 1 in a file given as part of a split dump, got 0"
                .formatted(name));
      }
      if (!header.fingerprint().equals(first.fingerprint())) {
        throw new MalformedFileException(
            "[%s] disk_dump_header: expected the same bytes as in %s, got others: not parts of one"
                    .formatted(name, files.getFirst().source().name())
                + " dump");
      }
      long at = header.descriptorTableOffset() - bitmap.byteSize();
      if (i > 0 && file.source().slice(at, bitmap.byteSize()).mismatch(bitmap) != -1) {
        throw new MalformedFileException(
            "[%s] bitmaps: expected the same bits as in %s, got others: not parts of one dump"
                .formatted(name, files.getFirst().source().name()));
      }
      long start = Math.min(header.startPfn(), dumpable.bitCount());
      long end = Math.min(header.endPfn(), dumpable.bitCount());
      parts.add(new KdumpPart(file, header, start, end, dumpable.rank(start)));
    }
    parts.sort(Comparator.comparingLong(KdumpPart::startPfn).thenComparingLong(KdumpPart::endPfn));
    long at = 0;
    KdumpPart before = null;
    for (KdumpPart part : parts) {
      if (part.startPfn == part.endPfn) {
        continue;
      }
      if (part.startPfn < at) {
        throw new MalformedFileException(
            "[%s] start_pfn and end_pfn: frames 0x%x to 0x%x are also in %s%s"
                .formatted(
                    part.source().name(),
                    part.startPfn,
                    Math.min(part.endPfn, at),
                    before.source().name(),
                    part.startPfn == before.startPfn && part.endPfn == before.endPfn
                        ? ": the same part twice"
                        : ""));
      }
      if (part.startPfn > at) {
        remarks.add(missingPart(at, part.startPfn, dumpable));
      }
      at = part.endPfn;
      before = part;
    }
    if (at < dumpable.bitCount()) {
      remarks.add(missingPart(at, dumpable.bitCount(), dumpable));
    }
    return List.copyOf(parts);
  }

  private static String missingPart(long from, long to, PageBitmap dumpable) {
    return "split dump: the part with frames 0x%x to 0x%x (%d pages) was not given"
        .formatted(from, to, dumpable.rank(to) - dumpable.rank(from));
  }
}
