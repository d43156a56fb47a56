package org.vmcheck.debuginfo;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;

/// Finds the tables of kallsyms by what they look like, where nothing says where they are: in the
/// memory of kernels before 6.0, and in a kernel's file.
///
/// The table of tokens holds the ten digits as single characters: `30 00 31 00 … 39 00`. From there
/// each table leads to the next, and each step is exact: the token index must fit the tokens, every
/// marker the names, the count both.
public final class KallsymsSearch {
  /// The longest text of a token that is looked for.
  private static final int MAX_TOKEN = 64;

  private static final int DIGITS = 20;

  /// Tables of at least this many markers are looked for behind `kallsyms_seqs_of_names`.
  private static final int MIN_DISTANT_MARKERS = 4;

  /// Bytes of 256 names: at least two each, at most a length and 512 codes.
  private static final int MIN_STEP = 0x200;

  private static final int MAX_STEP = 256 * 514;

  /// `kallsyms_seqs_of_names` of a million symbols, and their markers.
  private static final int MAX_DISTANCE = 4 << 20;

  /// Names of kallsyms take 1 to 6 MiB.
  private static final int MAX_NAMES_BYTES = 64 << 20;

  private static final long NO_BASE = -1;
  private static final long WHOLE_ADDRESSES = -2;

  private static final ValueLayout.OfLong WORD =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /// Bytes that lie together, by position: physical memory, or a section of a file.
  @FunctionalInterface
  public interface Image {
    /// Null if not all of them can be had.
    ByteView read(long position, int byteCount);
  }

  private final Image image;

  private KallsymsSearch(Image image) {
    this.image = image;
  }

  /// The first aligned word at or after `from` that may be a part of the ten digits; -1 if there is
  /// none. [#digitsAround] tells whether it is.
  public static long findTrace(MemorySegment bytes, long from) {
    long end = bytes.byteSize() - 7;
    for (long at = from + 7 & -8; at < end; at += 8) {
      long word = bytes.get(WORD, at);
      if ((word & 0xfff0_fff0_fff0_fff0L) == 0x0030_0030_0030_0030L
          || (word & 0xf0ff_f0ff_f0ff_f0ffL) == 0x3000_3000_3000_3000L) {
        return at;
      }
    }
    return -1;
  }

  /// Where the ten digits start of which the word at this position is a part.
  public static OptionalLong digitsAround(Image image, long word) {
    for (long start = word - (DIGITS - 8); start <= word; start++) {
      ByteView view = image.read(start, DIGITS);
      if (view != null && isDigits(view)) {
        return OptionalLong.of(start);
      }
    }
    return OptionalLong.empty();
  }

  private static boolean isDigits(ByteView view) {
    for (int i = 0; i < DIGITS; i++) {
      if (view.u8(i) != ((i & 1) == 0 ? '0' + i / 2 : 0)) {
        return false;
      }
    }
    return true;
  }

  /// Tables that were found, their addresses not yet read.
  public static final class Located {
    private final TokenNames names;
    private final Kallsyms.Tables tables;
    private final Map<String, Long> positions;

    private Located(TokenNames names, Kallsyms.Tables tables, Map<String, Long> positions) {
      this.names = names;
      this.tables = tables;
      this.positions = positions;
    }

    /// Position of a table by the name of its symbol.
    public OptionalLong position(String table) {
      Long position = positions.get(table);
      return position == null ? OptionalLong.empty() : OptionalLong.of(position);
    }

    /// Whether the addresses depend on where the table itself lies (7.0 on).
    public boolean isPlaceRelative() {
      return tables.absolute() == null && tables.relativeBase().isEmpty();
    }

    /// The symbols with their addresses.
    ///
    /// @param addressLessPosition what makes a position an address; used by place-relative tables
    /// @param stext address of `_stext` if it is known
    public Symbols symbols(long addressLessPosition, OptionalLong stext)
        throws MalformedFileException {
      return Kallsyms.decode(
          new NameIndex(names), at(tables, addressLessPosition), stext, "kallsyms by signature");
    }

    /// The symbols of a place-relative table, each with its position instead of its address.
    public Symbols positions() throws MalformedFileException {
      return Kallsyms.positions(names, tables);
    }

    private static Kallsyms.Tables at(Kallsyms.Tables tables, long addressLessPosition) {
      return new Kallsyms.Tables(
          tables.count(),
          tables.names(),
          tables.tokenTable(),
          tables.tokenIndex(),
          tables.offsets(),
          tables.offsetsAddress() + addressLessPosition,
          tables.absolute(),
          tables.relativeBase());
    }
  }

  /// Looks at one place where the digits stand.
  ///
  /// @return every reading of the tables around it that fits; most often one or none
  public static List<Located> at(Image image, long digits) {
    return new KallsymsSearch(image).locate(digits);
  }

  private List<Located> locate(long digits) {
    Optional<TokenTables> found = tokenTables(digits);
    if (found.isEmpty()) {
      return List.of();
    }
    TokenTables tokens = found.get();
    for (Markers markers : markers(tokens.table)) {
      Optional<Names> names = names(tokens.tokens, markers);
      if (names.isPresent()) {
        return addressTables(tokens, markers, names.get());
      }
    }
    return List.of();
  }

  private record TokenTables(TokenNames.Tokens tokens, long table, long index) {}

  /// The tokens from '0' on are walked to the end of their table; the index behind it must say
  /// where each starts, and with it where the table does.
  private Optional<TokenTables> tokenTables(long digits) {
    int length = 208 * (MAX_TOKEN + 1) + 8 + 512;
    ByteView view = image.read(digits, length);
    for (; view == null && length > 1024; length -= 512) {
      view = image.read(digits, length);
    }
    if (view == null) {
      return Optional.empty();
    }
    byte[] bytes = view.bytes(0, (int) view.size());
    int[] starts = new int[208];
    int end = 0;
    for (int i = 0; i < starts.length; i++) {
      starts[i] = end;
      while (end < bytes.length && bytes[end] != 0) {
        end++;
      }
      if (end++ >= bytes.length - 512 || end - starts[i] > MAX_TOKEN + 1) {
        return Optional.empty();
      }
    }
    for (int alignment = 8; alignment >= 4; alignment -= 4) {
      int index = (int) ((digits + end + alignment - 1 & -alignment) - digits);
      if (index + 512 > bytes.length) {
        continue;
      }
      int first = view.u16(index + 2L * 48);
      boolean fits = view.u16(index) == 0;
      for (int i = 0; i < starts.length && fits; i++) {
        fits = view.u16(index + 2L * (48 + i)) - first == starts[i];
      }
      ByteView table = fits ? image.read(digits - first, first + end) : null;
      if (table != null) {
        try {
          return Optional.of(
              new TokenTables(
                  new TokenNames.Tokens(table, view.slice("kallsyms_token_index", index, 512)),
                  digits - first,
                  digits + index));
        } catch (MalformedFileException _) {
          // Ten digits that are no token table's.
        }
      }
    }
    return Optional.empty();
  }

  /// @param table position of `kallsyms_markers`
  /// @param width bytes of each: 4, or 8 before 4.20
  /// @param last the last one's value
  private record Markers(long table, int width, int count, long last) {}

  /// Ascending numbers from 0 on before the tokens: right before them, or with
  /// `kallsyms_seqs_of_names` between (6.2 and 6.3).
  private List<Markers> markers(long tokenTable) {
    int length = MAX_DISTANCE;
    ByteView view = image.read(tokenTable - length, length);
    while (view == null && length > 64) {
      length /= 2;
      view = image.read(tokenTable - length, length);
    }
    List<Markers> found = new ArrayList<>();
    if (view == null) {
      return found;
    }
    for (int width = 4; width <= 8; width += 4) {
      for (int padding = 0; padding < 8; padding += 4) {
        adjacentMarkers(view, tokenTable, width, padding).ifPresent(found::add);
      }
    }
    List<Markers> distant = new ArrayList<>();
    int run = 0;
    long above = 0;
    for (int at = length - 4; at >= 0; at -= 4) {
      long value = view.u32(at);
      long step = above - value;
      run = run > 0 && step >= MIN_STEP && step <= MAX_STEP ? run + 1 : 1;
      if (value == 0 && run >= MIN_DISTANT_MARKERS) {
        distant.add(new Markers(tokenTable - length + at, 4, run, view.u32(at + 4L * (run - 1))));
      }
      above = value;
    }
    distant.sort((a, b) -> b.count - a.count);
    found.addAll(distant.subList(0, Math.min(8, distant.size())));
    return found;
  }

  private static Optional<Markers> adjacentMarkers(
      ByteView view, long tokenTable, int width, int padding) {
    long at = view.size() - padding - width;
    if (at < 0) {
      return Optional.empty();
    }
    long last = view.unsigned(at, width);
    long value = last;
    int count = 1;
    while (value != 0) {
      at -= width;
      if (at < 0) {
        return Optional.empty();
      }
      long step = value - view.unsigned(at, width);
      if (step < MIN_STEP || step > MAX_STEP) {
        return Optional.empty();
      }
      value -= step;
      count++;
    }
    return Optional.of(new Markers(tokenTable - view.size() + at, width, count, last));
  }

  /// @param table position of `kallsyms_names`
  /// @param countAt position of `kallsyms_num_syms`
  private record Names(TokenNames names, ByteView view, long table, long countAt) {}

  /// The names end where the markers begin and are as many as the number before them says.
  private Optional<Names> names(TokenNames.Tokens tokens, Markers markers) {
    if (markers.last > MAX_NAMES_BYTES) {
      return Optional.empty();
    }
    int markerBytes = markers.count * markers.width;
    long least = markers.last + 19 & -4;
    long length = markers.last + MAX_STEP + 27 & -4;
    ByteView view = image.read(markers.table - length, (int) length + markerBytes);
    while (view == null && length > least) {
      length = Math.max(least, length - 512);
      view = image.read(markers.table - length, (int) length + markerBytes);
    }
    if (view == null) {
      return Optional.empty();
    }
    for (long start = length - markers.last & -4; start >= 8; start -= 4) {
      long before = view.u32(start - 4);
      boolean isWide = before == 0;
      long count = isWide ? view.u32(start - 8) : before;
      if (count < 1 || count > Kallsyms.MAX_SYMBOLS || (count + 255) >>> 8 != markers.count) {
        continue;
      }
      ByteView names = view.slice("kallsyms_names", start, view.size() - start);
      try {
        TokenNames read = TokenNames.read(tokens, names, (int) count);
        if (read.isFollowedByMarkers((int) (length - start), markers.width)) {
          long table = markers.table - length + start;
          return Optional.of(new Names(read, names, table, table - (isWide ? 8 : 4)));
        }
      } catch (MalformedFileException _) {
        // A number that happens to be as large as the count.
      }
    }
    return Optional.empty();
  }

  /// Every place and form in which the addresses may stand.
  private List<Located> addressTables(TokenTables tokens, Markers markers, Names names) {
    int count = names.names.count();
    List<Located> found = new ArrayList<>();
    // Up to 6.3: offsets and their base before the count, or addresses there.
    long before = names.countAt & -8;
    add(found, tokens, markers, names, before - 8 - (4L * count + 7 & -8), before - 8);
    add(found, tokens, markers, names, before - 8L * count, WHOLE_ADDRESSES);
    // From 6.4 on behind the tokens, aligned as the other tables are. A place off by one entry
    // would ascend as well, so no other alignment is tried.
    long alignment = names.table - names.countAt;
    long behind = tokens.index + 512 + alignment - 1 & -alignment;
    add(found, tokens, markers, names, behind, behind + 4L * count + 7 & -8);
    add(found, tokens, markers, names, behind, NO_BASE);
    add(found, tokens, markers, names, behind + 7 & -8, WHOLE_ADDRESSES);
    return found;
  }

  /// @param base position of `kallsyms_relative_base`, [#NO_BASE] or [#WHOLE_ADDRESSES]
  private void add(
      List<Located> found,
      TokenTables tokens,
      Markers markers,
      Names names,
      long addresses,
      long base) {
    int count = names.names.count();
    boolean isAbsolute = base == WHOLE_ADDRESSES;
    ByteView table = image.read(addresses, count * (isAbsolute ? 8 : 4));
    boolean hasBase = base != NO_BASE && !isAbsolute;
    ByteView baseValue = hasBase ? image.read(base, 8) : null;
    if (table == null || (hasBase && baseValue == null)) {
      return;
    }
    if (baseValue != null && !Kallsyms.mayBeBase(baseValue.u64(0))) {
      return;
    }
    if (isAbsolute && table.u64(8L * (count - 1)) >>> 31 != 0x1_ffff_ffffL) {
      return;
    }
    Map<String, Long> positions = new LinkedHashMap<>();
    positions.put("kallsyms_num_syms", names.countAt);
    positions.put("kallsyms_names", names.table);
    positions.put("kallsyms_markers", markers.table);
    positions.put("kallsyms_token_table", tokens.table);
    positions.put("kallsyms_token_index", tokens.index);
    positions.put(isAbsolute ? "kallsyms_addresses" : "kallsyms_offsets", addresses);
    if (baseValue != null) {
      positions.put("kallsyms_relative_base", base);
    }
    found.add(
        new Located(
            names.names,
            new Kallsyms.Tables(
                count,
                names.view,
                null,
                null,
                isAbsolute ? null : table,
                addresses,
                isAbsolute ? table : null,
                baseValue == null ? OptionalLong.empty() : OptionalLong.of(baseValue.u64(0))),
            positions));
  }
}
