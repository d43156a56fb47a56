package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.kernel.LoggedBytes;
import org.vmcheck.slab.Words;

/// What the bytes tell that SLUB printed of an object and then put right: they are asked what bytes
/// of a dump are asked.
///
/// @param cause a flipped bit where that is all; empty if the report's own stands
public record LoggedDamage(Optional<Cause> cause, List<Evidence> evidence) {
  private static final int SHOWN = 96;
  private static final int WORD = 8;

  /// Periods in which a store repeats.
  private static final List<Integer> PERIODS = List.of(1, 2, 4, 8);

  public LoggedDamage {
    evidence = List.copyOf(evidence);
  }

  /// Of the lines of a report; empty if they have no bytes that bear it out.
  public static Optional<LoggedDamage> of(Kernel kernel, List<LogBuffer.Line> lines) {
    return LoggedBytes.of(lines).map(bytes -> of(kernel, bytes));
  }

  private static LoggedDamage of(Kernel kernel, LoggedBytes bytes) {
    List<Evidence> evidence = new ArrayList<>();
    int length = bytes.badTo() - bytes.badFrom();
    int wrong = bytes.wrong();
    long bad = bytes.addressOf(bytes.badFrom());
    evidence.add(
        shown(
            kernel,
            bytes,
            "as the log has the bytes, before the kernel restored them: %s%s of the %s%s, where 0x%02x belongs; %s"
                .formatted(
                    Words.plural(wrong, "byte is wrong", "bytes are wrong"),
                    wrong == length ? "" : " of " + length,
                    bytes.zone(),
                    bad == Evidence.UNKNOWN ? "" : " from 0x%x on".formatted(bad),
                    bytes.expected(),
                    shape(kernel, bytes))));
    int difference = bytes.at(bytes.badFrom()) ^ bytes.expected();
    boolean isOneBit = wrong == 1 && Integer.bitCount(difference) == 1;
    boolean isFlip = isOneBit && !isNextToPayload(bytes);
    if (isOneBit) {
      evidence.add(
          new Evidence.WhatIf(
              "one bit",
              "one bit is all that differed: bit %d of that byte%s"
                  .formatted(
                      Integer.numberOfTrailingZeros(difference),
                      isFlip
                          ? "; test the memory"
                          : ", beside the object, where a write one byte too far lands")));
    } else if (isOfStoresOfFour(bytes)) {
      evidence.add(
          new Evidence.WhatIf(
              "one bit",
              "the same bit is set in each word of 4 bytes: stores of 4 bytes that set a bit do"
                  + " that, and no memory module does"));
    }
    run(bytes).ifPresent(evidence::add);
    return new LoggedDamage(isFlip ? Optional.of(Cause.BIT_FLIP) : Optional.empty(), evidence);
  }

  private static Evidence shown(Kernel kernel, LoggedBytes bytes, String sentence) {
    LoggedBytes.Window window = bytes.window(SHOWN);
    return new Evidence.LoggedBytes(
        window.address(),
        window.address() == Evidence.UNKNOWN
            ? Evidence.UNKNOWN
            : kernel.memory().physicalAddress(window.address()),
        window.hex(),
        window.markFrom(),
        window.markTo(),
        bytes.expected(),
        sentence);
  }

  /// What was written: the words that lie wholly in the stretch tell most.
  private static String shape(Kernel kernel, LoggedBytes bytes) {
    int from = bytes.badFrom();
    int length = bytes.badTo() - from;
    if (length >= WORD) {
      int aligned = (from + WORD - 1) & -WORD;
      int at = aligned + WORD <= bytes.badTo() ? aligned : from;
      long word = bytes.word(at);
      return "written was 0x%016x (%s)".formatted(word, WordShape.of(kernel, word).words());
    }
    StringBuilder text = new StringBuilder();
    boolean isText = length > 2;
    long value = 0;
    for (int i = length - 1; i >= 0; i--) {
      value = value << 8 | bytes.at(from + i);
    }
    for (int i = from; i < bytes.badTo(); i++) {
      int b = bytes.at(i);
      isText &= b >= 0x20 && b < 0x7f;
      text.append((char) b);
    }
    return isText
        ? "written was the text \"%s\"".formatted(text)
        : "written was 0x%0".concat("%dx".formatted(2 * length)).formatted(value);
  }

  /// Bytes next to an object are where a write one byte too far lands, whatever it writes.
  private static boolean isNextToPayload(LoggedBytes bytes) {
    return bytes.badFrom() == bytes.objectTo() || bytes.badTo() == bytes.objectFrom();
  }

  private static boolean isOfStoresOfFour(LoggedBytes bytes) {
    int bit = bytes.at(bytes.badFrom()) ^ bytes.expected();
    if (Integer.bitCount(bit) != 1 || (bytes.expected() & bit) != 0 || bytes.wrong() < 2) {
      return false;
    }
    for (int i = bytes.badFrom(); i < bytes.badTo(); i++) {
      int difference = bytes.at(i) ^ bytes.expected();
      if (difference != ((i - bytes.badFrom()) % 4 == 0 ? bit : 0)) {
        return false;
      }
    }
    return true;
  }

  /// The same bytes repeated from inside the object over its end: the object's own writer went on.
  private static Optional<Evidence> run(LoggedBytes bytes) {
    int end = bytes.objectTo();
    if (bytes.badFrom() != end) {
      return Optional.empty();
    }
    for (int period : PERIODS) {
      int least = 2 * period + 2;
      int before = 0;
      while (end - before - 1 >= bytes.objectFrom()
          && end - before - 1 + period < bytes.badTo()
          && bytes.at(end - before - 1) == bytes.at(end - before - 1 + period)) {
        before++;
      }
      boolean goesOn = bytes.badTo() - end >= period;
      for (int i = end; goesOn && i + period < bytes.badTo(); i++) {
        goesOn = bytes.at(i) == bytes.at(i + period);
      }
      if (goesOn && before >= least && bytes.at(end) != 0) {
        return Optional.of(
            new Evidence.WhatIf(
                "over the end",
                "the same %s over the object's end, from %d bytes before it on: what was written into the object went on"
                    .formatted(
                        period == 1
                            ? "byte 0x%02x goes on".formatted(bytes.at(end))
                            : "%d bytes repeat".formatted(period),
                        before)));
      }
    }
    return Optional.empty();
  }
}
