package org.vmcheck.kernel;

import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vmcheck.finding.Evidence;

/// The bytes of a broken object as SLUB printed them, before it put them right: the log is then
/// their only copy (Linux `mm/slub.c`, print_trailer and check_bytes_and_report). The red zone
/// before an object, the object, and what is behind it lie side by side in memory as in the log.
///
/// @param address of the first byte; [Evidence#UNKNOWN] where `%p` printed a hash
/// @param hex all of them, two digits a byte
/// @param objectFrom first byte of the object, counted from the first
/// @param objectTo end (exclusive) of the object
/// @param badFrom first wrong byte
/// @param badTo behind the last wrong byte
/// @param expected what each of the wrong bytes should be
public record LoggedBytes(
    long address, String hex, int objectFrom, int objectTo, int badFrom, int badTo, int expected) {
  /// A page, its red zones and padding.
  private static final int MAX_BYTES = 16384;

  private static final int WIDTH = 16;
  private static final int MAX_CHARS = 160;

  /// A row of print_hex_dump with SLUB's name of the section.
  private static final Pattern ROW =
      Pattern.compile(
          "^(Redzone|Object|Padding|Bytes b4) {1,3}(?:0x)?([0-9a-f]{8,16}): "
              + "((?:[0-9a-f]{2} ){0,15}[0-9a-f]{2})(?: .*)?$");

  /// What check_bytes found: the range, the byte at its start and what it should be. The range may
  /// be hashed.
  private static final Pattern FOUND =
      Pattern.compile(
          "\\b0x([0-9a-f]{8,16})-0x([0-9a-f]{8,16})\\b.{0,40}First byte 0x([0-9a-f]{1,2}) instead"
              + " of 0x([0-9a-f]{1,2})");

  private static final int POISON_FREE = 0x6b;
  private static final int POISON_END = 0xa5;

  /// Those of a report; empty if it has none, or if they do not bear out what it says.
  public static Optional<LoggedBytes> of(List<LogBuffer.Line> lines) {
    Reader reader = new Reader();
    for (LogBuffer.Line line : lines) {
      String text =
          line.text().length() <= MAX_CHARS ? line.text() : line.text().substring(0, MAX_CHARS);
      reader.line(text);
    }
    return reader.bytes();
  }

  /// How many bytes of the stretch are wrong.
  public int wrong() {
    int wrong = 0;
    for (int i = badFrom; i < badTo; i++) {
      wrong += isRight(i) ? 0 : 1;
    }
    return wrong;
  }

  /// Bytes that are there.
  public int count() {
    return hex.length() / 2;
  }

  public int at(int index) {
    return Integer.parseInt(hex, 2 * index, 2 * index + 2, 16);
  }

  /// Whether a byte is what it should be; the last of a poisoned object is another.
  private boolean isRight(int index) {
    int right = expected == POISON_FREE && index == objectTo - 1 ? POISON_END : expected;
    return at(index) == right;
  }

  /// The address of a byte; unknown if the log hashed them.
  public long addressOf(int index) {
    return address == Evidence.UNKNOWN ? Evidence.UNKNOWN : address + index;
  }

  /// What the wrong bytes are part of.
  public String zone() {
    if (badFrom >= objectTo) {
      return expected == 0x5a ? "padding" : "right red zone";
    }
    return badFrom < objectFrom
        ? "left red zone"
        : expected == POISON_FREE || expected == POISON_END ? "poison" : "unused end";
  }

  private static final class Reader {
    private final StringBuilder hex = new StringBuilder();
    private long first = Evidence.UNKNOWN;
    private boolean isHashed;
    private boolean isTorn;
    private int objectFrom = -1;
    private int objectTo = -1;
    private long from;
    private long to;
    private int firstByte = -1;
    private int expected = -1;

    void line(String text) {
      Matcher found = FOUND.matcher(text);
      if (expected < 0 && found.find()) {
        from = Long.parseUnsignedLong(found.group(1), 16);
        to = Long.parseUnsignedLong(found.group(2), 16);
        firstByte = Integer.parseInt(found.group(3), 16);
        expected = Integer.parseInt(found.group(4), 16);
        return;
      }
      Matcher row = ROW.matcher(text);
      if (!row.find() || isTorn) {
        return;
      }
      long address = Long.parseUnsignedLong(row.group(2), 16);
      int at = hex.length() / 2;
      if (at == 0) {
        first = address;
        isHashed = address >= 0;
      }
      // What lies elsewhere, or is more than a report can have, ends the stretch.
      if ((!isHashed && address != first + at)
          || at > MAX_BYTES
          || (row.group(1).equals("Padding") && isHashed)) {
        isTorn = true;
        return;
      }
      String digits = row.group(3).replace(" ", "");
      if (row.group(1).equals("Object")) {
        objectFrom = objectFrom < 0 ? at : objectFrom;
        objectTo = at + digits.length() / 2;
      }
      hex.append(digits);
    }

    Optional<LoggedBytes> bytes() {
      if (expected < 0 || objectFrom < 0 || hex.length() % 2 != 0) {
        return Optional.empty();
      }
      int count = hex.length() / 2;
      long start = isHashed ? Evidence.UNKNOWN : first;
      if (!isHashed) {
        long distance = from - first;
        long end = to - first + 1;
        return distance < 0 || end > count || end <= distance
            ? Optional.empty()
            : confirmed(start, (int) distance, (int) end);
      }
      // Without addresses: where the bytes are not what they should be.
      return switch (expected) {
        case POISON_FREE, POISON_END -> search(start, objectFrom, objectTo);
        case 0xbb, 0xcc -> {
          Optional<LoggedBytes> before = search(start, 0, objectFrom);
          yield before.isPresent() ? before : search(start, objectTo, count);
        }
        default -> Optional.empty();
      };
    }

    private Optional<LoggedBytes> search(long start, int low, int high) {
      int bad = -1;
      int end = -1;
      LoggedBytes all =
          new LoggedBytes(start, hex.toString(), objectFrom, objectTo, low, high, expected);
      for (int i = low; i < high; i++) {
        if (!all.isRight(i)) {
          bad = bad < 0 ? i : bad;
          end = i + 1;
        }
      }
      return bad < 0 ? Optional.empty() : confirmed(start, bad, end);
    }

    /// The stretch, if it begins with the byte that the report tells and is wrong at both ends.
    private Optional<LoggedBytes> confirmed(long start, int bad, int end) {
      LoggedBytes bytes =
          new LoggedBytes(start, hex.toString(), objectFrom, objectTo, bad, end, expected);
      return bytes.at(bad) == firstByte && bytes.wrong() > 0
          ? Optional.of(bytes)
          : Optional.empty();
    }
  }

  /// Bytes around the wrong ones, at most 16 before and 16 behind.
  ///
  /// @param most bytes in all
  public Window window(int most) {
    int start = Math.max(0, (badFrom & -WIDTH) - WIDTH);
    int end = Math.min(Math.min(count(), start + most), ((badTo + WIDTH - 1) & -WIDTH) + WIDTH);
    return new Window(
        addressOf(start),
        hex.substring(2 * start, 2 * end),
        badFrom - start,
        Math.min(badTo, end) - start);
  }

  /// A part of the bytes.
  public record Window(long address, String hex, int markFrom, int markTo) {}

  /// The wrong bytes and those behind them as words of eight, little endian; the last may be cut.
  public long word(int index) {
    byte[] bytes = HexFormat.of().parseHex(hex, 2 * index, 2 * Math.min(count(), index + 8));
    long word = 0;
    for (int i = bytes.length - 1; i >= 0; i--) {
      word = (word << 8) | (bytes[i] & 0xff);
    }
    return word;
  }
}
