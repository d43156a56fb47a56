package org.vmcheck.debuginfo;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;

/// The kernel's own symbol table (Linux `scripts/kallsyms.c` writes it, `kernel/kallsyms.c` reads
/// it).
///
/// Names are sequences of tokens; the first character of the expanded text is the type letter.
/// Addresses come in four encodings, told apart by trying: the right one gives ascending addresses
/// with `_stext` where it is known to be.
public final class Kallsyms {
  /// Kernels have 20,000 to 300,000.
  public static final int MAX_SYMBOLS = 10_000_000;

  private static final ValueLayout.OfInt I32 =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong U64 =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private Kallsyms() {}

  /// The tables as they lie in memory.
  ///
  /// @param count `kallsyms_num_syms`
  /// @param names from `kallsyms_names` on; may be longer than the table
  /// @param tokenTable from `kallsyms_token_table` on; may be longer than the table
  /// @param tokenIndex `kallsyms_token_index`: 256 16-bit offsets
  /// @param offsets `kallsyms_offsets`: `count` 32-bit values, or null
  /// @param offsetsAddress run-time address of that table
  /// @param absolute `kallsyms_addresses`: `count` 64-bit addresses, or null
  /// @param relativeBase value of `kallsyms_relative_base`; empty if there is none
  public record Tables(
      int count,
      ByteView names,
      ByteView tokenTable,
      ByteView tokenIndex,
      ByteView offsets,
      long offsetsAddress,
      ByteView absolute,
      OptionalLong relativeBase) {}

  /// How addresses are stored.
  public enum Encoding {
    /// 64-bit addresses.
    ABSOLUTE,
    /// Non-negative: the value itself (per-CPU); negative: base - 1 - value.
    ABSOLUTE_PERCPU,
    /// Base + unsigned value.
    BASE_RELATIVE,
    /// Address of the entry + value (7.0 on).
    PLACE_RELATIVE
  }

  /// Decodes and proves the table.
  ///
  /// @param stext run-time address of `_stext`; empty if not known, then it must lie in the image
  /// @throws MalformedFileException if no encoding gives a table that can be right
  public static Symbols decode(Tables tables, OptionalLong stext) throws MalformedFileException {
    return decode(tables, stext, KnownTables.NONE);
  }

  /// [#decode(Tables, OptionalLong)] with names that may have been read before.
  public static Symbols decode(Tables tables, OptionalLong stext, KnownTables known)
      throws MalformedFileException {
    List<ByteView> read = List.of(tables.names, tables.tokenTable, tables.tokenIndex);
    NameIndex names = known.get(NameIndex.class, read, () -> names(tables));
    if (names.names().count() != tables.count) {
      // The same bytes with another count.
      names = names(tables);
    }
    return decode(names, tables, stext, "kallsyms");
  }

  private static NameIndex names(Tables tables) throws MalformedFileException {
    return new NameIndex(
        TokenNames.read(
            new TokenNames.Tokens(tables.tokenTable, tables.tokenIndex),
            tables.names,
            tables.count));
  }

  /// [#decode] with the names already read.
  ///
  /// @param source what reports call these symbols
  static Symbols decode(NameIndex names, Tables tables, OptionalLong stext, String source)
      throws MalformedFileException {
    List<String> refused = new ArrayList<>();
    for (Encoding encoding : applicable(tables)) {
      long[] addresses = new long[tables.count];
      String reason = fill(tables, encoding, addresses);
      if (reason == null) {
        Symbols symbols = new Symbols(source, names, addresses);
        reason = disproof(symbols, stext);
        if (reason == null) {
          return symbols;
        }
      }
      refused.add(encoding + ": " + reason);
    }
    throw new MalformedFileException(
        "kallsyms: no encoding of the addresses fits: " + String.join("; ", refused));
  }

  /// The symbols of a place-relative table by position: of use where the addresses are still to be
  /// found out.
  static Symbols positions(TokenNames names, Tables tables) throws MalformedFileException {
    long[] positions = new long[tables.count];
    String reason = fill(tables, Encoding.PLACE_RELATIVE, positions);
    if (reason != null) {
      throw new MalformedFileException("kallsyms: the offsets do not fit their place: " + reason);
    }
    return new Symbols("kallsyms", names, positions);
  }

  private static List<Encoding> applicable(Tables tables) {
    if (tables.absolute != null) {
      return List.of(Encoding.ABSOLUTE);
    }
    return tables.relativeBase.isPresent()
        ? List.of(Encoding.ABSOLUTE_PERCPU, Encoding.BASE_RELATIVE)
        : List.of(Encoding.PLACE_RELATIVE);
  }

  /// Symbols whose addresses are worked out in one call: a method that is called a thousand times
  /// is compiled, a loop that runs once is not.
  private static final int BLOCK = 64;

  /// Sets the addresses; returns null, or why this encoding cannot be the one.
  private static String fill(Tables tables, Encoding encoding, long[] addresses) {
    int count = tables.count;
    if (encoding == Encoding.ABSOLUTE) {
      MemorySegment.copy(tables.absolute.segment(), U64, 0, addresses, 0, count);
    } else {
      int[] offsets = new int[count];
      MemorySegment.copy(tables.offsets.segment(), I32, 0, offsets, 0, count);
      long base = tables.relativeBase.orElse(0);
      int percpu = 0;
      for (int from = 0; from < count; from += BLOCK) {
        int to = Math.min(count, from + BLOCK);
        switch (encoding) {
          case ABSOLUTE -> throw new AssertionError("handled above");
          case ABSOLUTE_PERCPU -> percpu += fillPercpu(offsets, base, addresses, from, to);
          case BASE_RELATIVE -> fillRelative(offsets, base, addresses, from, to);
          case PLACE_RELATIVE -> fillPlace(offsets, tables.offsetsAddress, addresses, from, to);
        }
      }
      // A base-relative table read this way is all per-CPU, but for its far end.
      if (percpu > count / 2) {
        return percpu + " of " + count + " symbols would be per-CPU";
      }
    }
    for (int from = 1; from < count; from += BLOCK) {
      int at = firstDescent(addresses, from, Math.min(count, from + BLOCK));
      if (at >= 0) {
        return "symbol " + at + " lies below the one before it";
      }
    }
    return null;
  }

  private static int fillPercpu(int[] offsets, long base, long[] addresses, int from, int to) {
    int percpu = 0;
    for (int i = from; i < to; i++) {
      int value = offsets[i];
      if (value >= 0) {
        percpu++;
        addresses[i] = value;
      } else {
        addresses[i] = base - 1 - value;
      }
    }
    return percpu;
  }

  private static void fillRelative(int[] offsets, long base, long[] addresses, int from, int to) {
    for (int i = from; i < to; i++) {
      addresses[i] = base + (offsets[i] & 0xffff_ffffL);
    }
  }

  private static void fillPlace(int[] offsets, long place, long[] addresses, int from, int to) {
    for (int i = from; i < to; i++) {
      addresses[i] = place + 4L * i + offsets[i];
    }
  }

  private static int firstDescent(long[] addresses, int from, int to) {
    for (int i = from; i < to; i++) {
      if (Long.compareUnsigned(addresses[i], addresses[i - 1]) < 0) {
        return i;
      }
    }
    return -1;
  }

  /// Whether addresses can be counted from there: in the last 2 GiB, as on x86_64, or from where an
  /// image of arm64 begins.
  static boolean mayBeBase(long address) {
    return address >>> 31 == 0x1_ffff_ffffL
        || (address >>> 48 == 0xffff && (address & 0xffff) == 0);
  }

  /// Whether text can be there: in the last 2 GiB, as on x86_64, or, as on arm64, right behind an
  /// image that begins at a multiple of 64 KiB in the kernel's half.
  private static boolean isInImage(Symbols symbols, long text) {
    OptionalLong start = symbols.address("_text");
    return text >>> 31 == 0x1_ffff_ffffL
        || (start.isPresent()
            && mayBeBase(start.getAsLong())
            && text - start.getAsLong() >= 0
            && text - start.getAsLong() < 1 << 20);
  }

  private static String disproof(Symbols symbols, OptionalLong stext) {
    OptionalLong found = symbols.address("_stext");
    if (found.isEmpty()) {
      found = symbols.address("_text");
      if (found.isEmpty()) {
        return "there is no symbol _stext";
      }
      stext = OptionalLong.empty();
    }
    if (stext.isPresent() && stext.getAsLong() != found.getAsLong()) {
      return "_stext comes out at 0x%x, VMCOREINFO says 0x%x"
          .formatted(found.getAsLong(), stext.getAsLong());
    }
    if (stext.isEmpty() && !isInImage(symbols, found.getAsLong())) {
      return "_stext comes out at 0x%x, outside the kernel image".formatted(found.getAsLong());
    }
    return null;
  }
}
