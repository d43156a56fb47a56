package org.vmcheck.dump;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// Stored pages that some reading met and that do not decode: whoever asked for them, none is
/// forgotten.
///
/// Only frame numbers are kept, a bit each; why and where is read again when it is asked for. Safe
/// for use by several threads at once.
public final class DamagedPages {
  /// Of a dump in which none can be met.
  static final DamagedPages NONE = new DamagedPages();

  private static final int BLOCK_SHIFT = 12;
  private static final int WORDS = 1 << (BLOCK_SHIFT - 6);

  /// Blocks of 4096 frames kept frame by frame, 16 MiB in all; of pages beyond these only the
  /// number is known, each counted as often as it is met.
  private static final int MAX_BLOCKS = 1 << 15;

  private final TreeMap<Long, long[]> blocks = new TreeMap<>();
  private long kept;
  private long notKept;

  synchronized void add(long pfn) {
    long[] block = blocks.get(pfn >>> BLOCK_SHIFT);
    if (block == null) {
      if (blocks.size() >= MAX_BLOCKS) {
        notKept++;
        return;
      }
      block = new long[WORDS];
      blocks.put(pfn >>> BLOCK_SHIFT, block);
    }
    int at = (int) (pfn >>> 6) & (WORDS - 1);
    long bit = 1L << (pfn & 63);
    if ((block[at] & bit) == 0) {
      block[at] |= bit;
      kept++;
    }
  }

  /// How many pages.
  public synchronized long count() {
    return kept + notKept;
  }

  /// Runs of frames in ascending order: frames next to each other among the stored ones. Each is
  /// looked up in the memory again for its place in the file and the reason.
  ///
  /// @param most how many runs at most
  public List<ContainerAudit.Defect> runs(PhysicalMemory memory, int most) {
    List<ContainerAudit.Defect> runs = new ArrayList<>();
    long first = -1;
    long last = -1;
    long pages = 0;
    for (long pfn : frames(most)) {
      if (first >= 0 && memory.nextStored(last + 1) != pfn) {
        add(runs, memory, first, last, pages);
        first = -1;
        if (runs.size() >= most) {
          return runs;
        }
      }
      if (first < 0) {
        first = pfn;
        pages = 0;
      }
      last = pfn;
      pages++;
    }
    if (first >= 0) {
      add(runs, memory, first, last, pages);
    }
    return runs;
  }

  private static void add(
      List<ContainerAudit.Defect> runs, PhysicalMemory memory, long first, long last, long pages) {
    if (memory.read(first) instanceof PageRead.Damaged why) {
      runs.add(
          new ContainerAudit.Defect(
              why.damage(), first, last, pages, why.fileOffset(), why.reason()));
    }
  }

  /// The frames, as many as may be needed for so many runs.
  private synchronized long[] frames(int runs) {
    long most = Math.min(kept, Math.max(1L << 20, runs));
    long[] frames = new long[(int) most];
    int count = 0;
    for (Map.Entry<Long, long[]> block : blocks.entrySet()) {
      for (int i = 0; i < WORDS; i++) {
        for (long left = block.getValue()[i]; left != 0; left &= left - 1) {
          if (count == frames.length) {
            return frames;
          }
          frames[count++] =
              (block.getKey() << BLOCK_SHIFT) + i * 64L + Long.numberOfTrailingZeros(left);
        }
      }
    }
    return frames;
  }
}
