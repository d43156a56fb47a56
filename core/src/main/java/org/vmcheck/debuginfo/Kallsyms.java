package org.vmcheck.debuginfo;

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

  private static final int MAX_NAME = 512;
  private static final String TYPE_LETTERS = "AaBbCcDdGgIiNnPpRrSsTtUuVvWw?-";

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
    Symbols.Builder builder = new Symbols.Builder(tables.count);
    try {
      expandNames(tables, builder, true);
    } catch (MalformedFileException longForm) {
      // Before 6.1 a length byte with its top bit set is a plain length.
      builder = new Symbols.Builder(tables.count);
      try {
        expandNames(tables, builder, false);
      } catch (MalformedFileException _) {
        throw longForm;
      }
    }
    List<String> refused = new ArrayList<>();
    for (Encoding encoding : applicable(tables)) {
      String reason = fill(tables, encoding, builder);
      if (reason == null) {
        Symbols symbols = builder.build("kallsyms");
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

  private static void expandNames(Tables tables, Symbols.Builder builder, boolean longLengths)
      throws MalformedFileException {
    byte[] tokens = tables.tokenTable.bytes(0, (int) Math.min(tables.tokenTable.size(), 1 << 16));
    int[] tokenStart = new int[256];
    int[] tokenLength = new int[256];
    for (int i = 0; i < 256; i++) {
      int start = tables.tokenIndex.u16(2L * i);
      int end = start;
      while (end < tokens.length && tokens[end] != 0) {
        end++;
      }
      if (end >= tokens.length
          || (i == 0 ? start != 0 : start != tokenStart[i - 1] + tokenLength[i - 1] + 1)) {
        throw tables.tokenIndex.malformed(
            "kallsyms_token_index[" + i + "]",
            2L * i,
            i == 0 ? "0" : "" + (tokenStart[i - 1] + tokenLength[i - 1] + 1),
            "" + start);
      }
      tokenStart[i] = start;
      tokenLength[i] = end - start;
    }
    byte[] names = tables.names.bytes(0, Math.toIntExact(tables.names.size()));
    int at = 0;
    for (int i = 0; i < tables.count; i++) {
      int recordAt = at;
      if (at + 2 > names.length) {
        throw tables.names.malformed(
            "kallsyms_names[" + i + "]", at, "a record", "the end of the table");
      }
      int length = names[at++] & 0xff;
      if (longLengths && length >= 0x80) {
        length = (length & 0x7f) | (names[at++] & 0xff) << 7;
      }
      if (length == 0 || length > names.length - at || length > 1 << 14) {
        throw tables.names.malformed(
            "kallsyms_names[" + i + "].length",
            recordAt,
            "1 to " + (names.length - at),
            Integer.toString(length));
      }
      for (int j = 0; j < length; j++) {
        int token = names[at++] & 0xff;
        builder.append(tokens, tokenStart[token], tokenLength[token]);
        if (builder.pending() > MAX_NAME) {
          throw tables.names.malformed(
              "kallsyms_names[" + i + "]", recordAt, "a name of at most 512 bytes", "a longer one");
        }
      }
      if (builder.pending() < 2) {
        throw tables.names.malformed(
            "kallsyms_names[" + i + "]", recordAt, "a type letter and a name", "less");
      }
      builder.endTyped(0);
    }
  }

  private static List<Encoding> applicable(Tables tables) {
    if (tables.absolute != null) {
      return List.of(Encoding.ABSOLUTE);
    }
    return tables.relativeBase.isPresent()
        ? List.of(Encoding.ABSOLUTE_PERCPU, Encoding.BASE_RELATIVE)
        : List.of(Encoding.PLACE_RELATIVE);
  }

  /// Sets the addresses; returns null, or why this encoding cannot be the one.
  private static String fill(Tables tables, Encoding encoding, Symbols.Builder builder) {
    long base = tables.relativeBase.orElse(0);
    long previous = 0;
    int percpu = 0;
    for (int i = 0; i < tables.count; i++) {
      long address =
          switch (encoding) {
            case ABSOLUTE -> tables.absolute.u64(8L * i);
            case ABSOLUTE_PERCPU -> {
              int value = tables.offsets.i32(4L * i);
              if (value >= 0) {
                percpu++;
                yield value;
              }
              yield base - 1 - value;
            }
            case BASE_RELATIVE -> base + tables.offsets.u32(4L * i);
            case PLACE_RELATIVE -> tables.offsetsAddress + 4L * i + tables.offsets.i32(4L * i);
          };
      if (Long.compareUnsigned(address, previous) < 0) {
        return "symbol " + i + " lies below the one before it";
      }
      previous = address;
      builder.setAddress(i, address);
    }
    // A base-relative table read this way is all per-CPU, but for its far end.
    if (encoding == Encoding.ABSOLUTE_PERCPU && percpu > tables.count / 2) {
      return percpu + " of " + tables.count + " symbols would be per-CPU";
    }
    return null;
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
    if (found.getAsLong() >>> 31 != 0x1_ffff_ffffL) {
      return "_stext comes out at 0x%x, outside the kernel image".formatted(found.getAsLong());
    }
    int odd = 0;
    for (int i = 0; i < symbols.count(); i += 97) {
      if (TYPE_LETTERS.indexOf(symbols.get(i).type()) < 0) {
        odd++;
      }
    }
    return odd == 0 ? null : odd + " sampled symbols have no type letter";
  }
}
