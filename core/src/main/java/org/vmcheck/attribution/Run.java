package org.vmcheck.attribution;

import java.util.Optional;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Evidence;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.SlabMemory;

/// A run of bytes of one kind around a word: one short pattern repeated, or text. Such runs show
/// how far a stray write reached.
///
/// @param start its first byte
/// @param end exclusive
/// @param period bytes after which it repeats: 1, 2, 4 or 8; 0 for text
record Run(long start, long end, int period) {
  private static final int[] PERIODS = {1, 2, 4, 8};
  private static final int WORD = 8;

  /// Bytes of text that a sentence shows.
  private static final int MAX_SHOWN = 40;

  /// The bytes around the word at `slot`, not beyond the limits, that repeat with the word's
  /// period: the shortest that it has, or 8 if the word before is the same.
  static Optional<Run> periodic(SlabMemory memory, long slot, long low, long high) {
    for (int period : PERIODS) {
      if (hasPeriod(memory, slot, low, period)) {
        long start = slot;
        while (start > low
            && isThere(memory, start - 1)
            && memory.u8(start - 1) == memory.u8(start - 1 + period)) {
          start--;
        }
        long end = slot + WORD;
        while (end < high && isThere(memory, end) && memory.u8(end) == memory.u8(end - period)) {
          end++;
        }
        return Optional.of(new Run(start, end, period));
      }
    }
    return Optional.empty();
  }

  /// The text around the byte before `at`, not beyond the limits; empty if that byte is none.
  static Optional<Run> textBefore(SlabMemory memory, long at, long low, long high) {
    long start = at;
    while (start > low && isText(memory, start - 1)) {
      start--;
    }
    long end = at;
    while (end < high && isText(memory, end)) {
      end++;
    }
    return start == at ? Optional.empty() : Optional.of(new Run(start, end, 0));
  }

  static boolean isText(SlabMemory memory, long at) {
    return isThere(memory, at) && isText(memory.u8(at));
  }

  /// Whether all bytes from `start` on are text.
  static boolean isText(SlabMemory memory, long start, long end) {
    for (long at = start; at < end; at++) {
      if (!isText(memory, at)) {
        return false;
      }
    }
    return true;
  }

  private static boolean isText(int b) {
    return (b >= 0x20 && b < 0x7f) || b == '\n' || b == '\t' || b == '\r';
  }

  private static boolean isThere(SlabMemory memory, long at) {
    return memory.page(at) instanceof PageRead.Present;
  }

  private static boolean hasPeriod(SlabMemory memory, long slot, long low, int period) {
    if (period == WORD) {
      return slot - WORD >= low
          && isThere(memory, slot - WORD)
          && memory.word(slot - WORD) == memory.word(slot);
    }
    for (int i = period; i < WORD; i++) {
      if (memory.u8(slot + i) != memory.u8(slot + i - period)) {
        return false;
      }
    }
    return true;
  }

  int length() {
    return (int) (end - start);
  }

  /// What it consists of: `byte 0x41`, `0xdeadbeef repeated` in the order of memory, or its last
  /// characters.
  String words(SlabMemory memory) {
    if (period == 0) {
      StringBuilder text = new StringBuilder();
      for (long at = Math.max(start, end - MAX_SHOWN); at < end; at++) {
        text.append((char) memory.u8(at));
      }
      return "text, \"%s\"".formatted(Printable.of(text.toString()));
    }
    return period == 1
        ? "byte 0x" + pattern(memory)
        : "the bytes %s repeated".formatted(pattern(memory));
  }

  /// One period as hexadecimal digits; empty for text.
  private String pattern(SlabMemory memory) {
    StringBuilder pattern = new StringBuilder();
    for (int i = 0; i < period; i++) {
      pattern.append("%02x".formatted(memory.u8(start + i)));
    }
    return pattern.toString();
  }

  /// The run as evidence.
  Evidence.Run evidence(Kernel kernel, SlabMemory memory, String sentence) {
    return new Evidence.Run(
        start, kernel.memory().physicalAddress(start), length(), pattern(memory), sentence);
  }
}
