package org.vmcheck.check;

import org.vmcheck.dump.PageRead;
import org.vmcheck.kernel.SlabMemory;

/// A run of bytes of one kind around a word: one byte repeated, a short pattern repeated, or text.
/// Such runs show how far a stray write reached.
final class Run {
  private static final int[] PERIODS = {1, 2, 4, 8};

  private Run() {}

  /// The first byte, not below `limit`, of the run that covers the word at `slot`.
  static long startOf(SlabMemory memory, long slot, long limit) {
    long best = slot;
    for (int period : PERIODS) {
      if (hasPeriod(memory, slot, period)) {
        long at = slot;
        while (at > limit
            && present(memory, at - 1)
            && memory.u8(at - 1) == memory.u8(at - 1 + period)) {
          at--;
        }
        best = Math.min(best, at);
        break;
      }
    }
    if (isText(memory, slot)) {
      best = Math.min(best, startOfText(memory, slot, limit));
    }
    return best;
  }

  /// The first byte, not below `limit`, of the text that ends right before `end`.
  static long startOfText(SlabMemory memory, long end, long limit) {
    long at = end;
    while (at > limit && present(memory, at - 1) && isText(memory.u8(at - 1))) {
      at--;
    }
    return at;
  }

  /// The end (exclusive), not above `limit`, of the text from `start` on.
  static long endOfText(SlabMemory memory, long start, long limit) {
    long end = start;
    while (end < limit && present(memory, end) && isText(memory.u8(end))) {
      end++;
    }
    return end;
  }

  /// Bytes as text, escaped.
  static String text(SlabMemory memory, long start, long end) {
    StringBuilder text = new StringBuilder();
    for (long at = start; at < end; at++) {
      text.append((char) memory.u8(at));
    }
    return org.vmcheck.io.Printable.of(text.toString());
  }

  /// The end (exclusive), not above `limit`, of that run.
  static long endOf(SlabMemory memory, long slot, long limit) {
    long end = slot + 8;
    for (int period : PERIODS) {
      if (hasPeriod(memory, slot, period)) {
        while (end < limit && present(memory, end) && memory.u8(end) == memory.u8(end - period)) {
          end++;
        }
        return end;
      }
    }
    return isText(memory, slot) ? endOfText(memory, end, limit) : end;
  }

  /// What the run consists of.
  static String words(SlabMemory memory, long slot) {
    if (hasPeriod(memory, slot, 1)) {
      return "byte 0x%02x".formatted(memory.u8(slot));
    }
    if (isText(memory, slot)) {
      return "text, \"%s\"".formatted(text(memory, slot, slot + 8));
    }
    return "a repeated pattern";
  }

  private static boolean present(SlabMemory memory, long at) {
    return memory.page(at) instanceof PageRead.Present;
  }

  /// Whether the word repeats with this period; of 8, whether the word before is the same.
  private static boolean hasPeriod(SlabMemory memory, long slot, int period) {
    if (period == 8) {
      if (!present(memory, slot - 8)) {
        return false;
      }
      for (int i = 0; i < 8; i++) {
        if (memory.u8(slot - 8 + i) != memory.u8(slot + i)) {
          return false;
        }
      }
      return true;
    }
    for (int i = period; i < 8; i++) {
      if (memory.u8(slot + i) != memory.u8(slot + i - period)) {
        return false;
      }
    }
    return true;
  }

  private static boolean isText(SlabMemory memory, long slot) {
    for (int i = 0; i < 8; i++) {
      if (!isText(memory.u8(slot + i))) {
        return false;
      }
    }
    return true;
  }

  private static boolean isText(int b) {
    return (b >= 0x20 && b < 0x7f) || b == '\n' || b == '\t' || b == '\r';
  }
}
