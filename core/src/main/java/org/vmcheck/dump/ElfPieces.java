package org.vmcheck.dump;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfSegment;
import org.vmcheck.io.Cancellation;

/// Which piece of physical space lies where in an ELF core: its segments, cut so that none overlap.
/// The first in file order that holds the bytes counts.
final class ElfPieces {
  /// No architecture addresses more memory.
  private static final long MAX_PHYSICAL = 1L << 52;

  private static final int MAX_REMARKS = 32;

  /// @param storedEnd end of what the header says is in the file
  /// @param fileOffset where the byte at the piece's start lies
  record Piece(long end, long storedEnd, long fileOffset) {}

  private ElfPieces() {}

  /// The pieces by their starts.
  ///
  /// @param remarks takes what is unusual about a segment
  static NavigableMap<Long, Piece> of(ElfFile elf, List<String> remarks) {
    NavigableMap<Long, Piece> pieces = new TreeMap<>();
    NavigableMap<Long, Long> covered = new TreeMap<>();
    List<long[]> tails = new ArrayList<>();
    int index = -1;
    for (ElfSegment segment : elf.segments()) {
      index++;
      if (segment.type() != ElfSegment.PT_LOAD || segment.memorySize() == 0) {
        continue;
      }
      long start = segment.paddr();
      if (start == -1L) {
        continue;
      }
      long size = segment.memorySize();
      if (start < 0 || start >= MAX_PHYSICAL || size < 0 || size > MAX_PHYSICAL - start) {
        remark(
            remarks,
            "program header %d: p_paddr + p_memsz is beyond 2^52, where no memory is; ignored"
                .formatted(index));
        continue;
      }
      long stored = segment.fileSize();
      if (Long.compareUnsigned(stored, size) > 0) {
        remark(
            remarks,
            "program header %d: p_filesz is more than p_memsz; the latter counts".formatted(index));
        stored = size;
      }
      if (stored > 0 && segment.offset() < 0) {
        remark(
            remarks,
            "program header %d: p_offset 0x%x leaves the file".formatted(index, segment.offset()));
      }
      if (stored > 0) {
        insert(pieces, covered, start, start + stored, start + stored, segment.offset());
      }
      if (stored < size) {
        tails.add(new long[] {start + stored, start + size});
      }
    }
    // What one segment leaves out another may hold, whichever comes first.
    for (long[] tail : tails) {
      insert(pieces, covered, tail[0], tail[1], tail[0], 0);
    }
    return pieces;
  }

  static void remark(List<String> remarks, String text) {
    if (remarks.size() < MAX_REMARKS) {
      remarks.add(text);
    }
  }

  /// Adds the parts of a segment that no earlier one covers.
  ///
  /// @param covered ends of what is covered so far by its starts; what touches is one run, so that
  ///   each gap is met once, however many segments lie over it
  private static void insert(
      NavigableMap<Long, Piece> pieces,
      NavigableMap<Long, Long> covered,
      long start,
      long end,
      long storedEnd,
      long fileOffset) {
    Cancellation cancellation = Cancellation.current();
    Map.Entry<Long, Long> before = covered.floorEntry(start);
    boolean touches = before != null && before.getValue() >= start;
    long runStart = touches ? before.getKey() : start;
    long at = touches ? Math.min(before.getValue(), end) : start;
    long runEnd = Math.max(end, touches ? before.getValue() : end);
    while (at < end) {
      cancellation.step();
      Map.Entry<Long, Long> next = covered.ceilingEntry(at);
      long pieceEnd = next == null ? end : Math.min(end, next.getKey());
      if (pieceEnd > at) {
        long pieceStored = Math.clamp(storedEnd, at, pieceEnd);
        pieces.put(at, new Piece(pieceEnd, pieceStored, fileOffset + (at - start)));
      }
      at = pieceEnd;
      if (next != null && next.getKey() == at) {
        at = next.getValue();
        runEnd = Math.max(runEnd, at);
        covered.remove(next.getKey());
      }
    }
    covered.put(runStart, runEnd);
  }
}
