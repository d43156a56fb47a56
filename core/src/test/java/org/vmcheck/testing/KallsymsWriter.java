package org.vmcheck.testing;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Kallsyms;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.io.ByteView;

/// Writes the kallsyms tables of every generation of kernels, as `scripts/kallsyms.c` lays them
/// out.
public final class KallsymsWriter {
  /// Where the addresses stand.
  public enum Order {
    /// Up to 6.3: addresses or offsets and base, then count, names, markers, tokens.
    ADDRESSES_FIRST,
    /// 6.4 on: count, names, markers, tokens, then addresses or offsets and base.
    ADDRESSES_LAST
  }

  private final List<Symbol> symbols;
  private Kallsyms.Encoding encoding = Kallsyms.Encoding.ABSOLUTE_PERCPU;
  private Order order = Order.ADDRESSES_FIRST;
  private boolean wideCounts;
  private boolean longLengths = true;
  private boolean sequences;
  private int alignment = 8;
  private long relativeBase = 0xffff_ffff_8100_0000L;

  private KallsymsWriter(List<Symbol> symbols) {
    this.symbols = symbols;
  }

  /// The symbols are put in ascending order of address, as a kernel's are.
  public static KallsymsWriter of(Collection<Symbol> symbols) {
    List<Symbol> sorted = new ArrayList<>(symbols);
    sorted.sort(Comparator.comparing(Symbol::address, Long::compareUnsigned));
    return new KallsymsWriter(sorted);
  }

  public KallsymsWriter encoding(Kallsyms.Encoding value) {
    encoding = value;
    return this;
  }

  public KallsymsWriter order(Order value) {
    order = value;
    return this;
  }

  /// Counts and markers of 8 bytes (before 4.20).
  public KallsymsWriter wideCounts() {
    wideCounts = true;
    return this;
  }

  /// A length byte of 128 to 255 is a length (before 6.1), not the first of two.
  public KallsymsWriter shortLengths() {
    longLengths = false;
    return this;
  }

  /// The order by name, `kallsyms_seqs_of_names` (6.2 on).
  public KallsymsWriter sequences() {
    sequences = true;
    return this;
  }

  /// Alignment of the labels: 8, or 4 from 7.0 on.
  public KallsymsWriter alignment(int bytes) {
    alignment = bytes;
    return this;
  }

  public KallsymsWriter relativeBase(long address) {
    relativeBase = address;
    return this;
  }

  /// The tables of a kernel of 5.3's time.
  public static KallsymsWriter as53(Collection<Symbol> symbols) {
    return of(symbols).shortLengths();
  }

  /// The tables of a kernel of before 4.20, such as RHEL 8's 4.18.
  public static KallsymsWriter as418(Collection<Symbol> symbols) {
    return of(symbols).shortLengths().wideCounts();
  }

  /// The tables of a kernel of 6.1's time.
  public static KallsymsWriter as61(Collection<Symbol> symbols) {
    return of(symbols);
  }

  /// The tables of a kernel of 6.4 to 6.14.
  public static KallsymsWriter as612(Collection<Symbol> symbols) {
    return of(symbols).order(Order.ADDRESSES_LAST).sequences();
  }

  /// The tables of a kernel of 7.0 on: every offset is relative to its own place.
  public static KallsymsWriter as70(Collection<Symbol> symbols) {
    return of(symbols)
        .order(Order.ADDRESSES_LAST)
        .sequences()
        .alignment(4)
        .encoding(Kallsyms.Encoding.PLACE_RELATIVE);
  }

  /// The tables laid out at a virtual address.
  ///
  /// @param labels address of each table by its symbol's name
  @SuppressWarnings("ArrayRecordComponent") // tests change the bytes in place
  public record Image(long vaddr, byte[] bytes, Map<String, Long> labels, int count) {
    public int offsetOf(String label) {
      return Math.toIntExact(labels.get(label) - vaddr);
    }

    /// The tables as a reader that knows the labels takes them.
    public Kallsyms.Tables tables() {
      return new Kallsyms.Tables(
          count,
          from("kallsyms_names"),
          from("kallsyms_token_table"),
          from("kallsyms_token_index"),
          labels.containsKey("kallsyms_offsets") ? from("kallsyms_offsets") : null,
          labels.getOrDefault("kallsyms_offsets", 0L),
          labels.containsKey("kallsyms_addresses") ? from("kallsyms_addresses") : null,
          labels.containsKey("kallsyms_relative_base")
              ? OptionalLong.of(from("kallsyms_relative_base").u64(0))
              : OptionalLong.empty());
    }

    private ByteView from(String label) {
      int at = offsetOf(label);
      return ByteView.of("kallsyms", bytes).slice(label, at, bytes.length - at);
    }
  }

  /// @param vaddr a multiple of 8
  public Image at(long vaddr) {
    Layout out = new Layout(vaddr);
    Tokens tokens = new Tokens(symbols);
    if (order == Order.ADDRESSES_FIRST) {
      writeAddresses(out);
    }
    out.label("kallsyms_num_syms", alignment);
    out.number(symbols.size(), wideCounts ? 8 : 4);
    out.label("kallsyms_names", alignment);
    List<Integer> markers = new ArrayList<>();
    int start = out.position();
    for (int i = 0; i < symbols.size(); i++) {
      if (i % 256 == 0) {
        markers.add(out.position() - start);
      }
      byte[] record = tokens.compress(symbols.get(i).type() + symbols.get(i).name());
      if (longLengths && record.length >= 0x80) {
        out.number((record.length & 0x7f) | 0x80, 1);
        out.number(record.length >> 7, 1);
      } else {
        out.number(record.length, 1);
      }
      out.bytes(record);
    }
    out.label("kallsyms_markers", alignment);
    for (int marker : markers) {
      out.number(marker, wideCounts ? 8 : 4);
    }
    if (sequences && order == Order.ADDRESSES_FIRST) {
      writeSequences(out);
    }
    out.label("kallsyms_token_table", alignment);
    int table = out.position();
    int[] index = new int[256];
    for (int i = 0; i < 256; i++) {
      index[i] = out.position() - table;
      out.bytes(tokens.text(i));
      out.number(0, 1);
    }
    out.label("kallsyms_token_index", alignment);
    for (int at : index) {
      out.number(at, 2);
    }
    if (order == Order.ADDRESSES_LAST) {
      writeAddresses(out);
      if (sequences) {
        writeSequences(out);
      }
    }
    out.align(8);
    return new Image(vaddr, out.toByteArray(), out.labels, symbols.size());
  }

  private void writeAddresses(Layout out) {
    if (encoding == Kallsyms.Encoding.ABSOLUTE) {
      out.label("kallsyms_addresses", 8);
      symbols.forEach(symbol -> out.number(symbol.address(), 8));
      return;
    }
    long table = out.label("kallsyms_offsets", alignment);
    for (int i = 0; i < symbols.size(); i++) {
      long address = symbols.get(i).address();
      out.number(
          switch (encoding) {
            case ABSOLUTE -> throw new AssertionError();
            case ABSOLUTE_PERCPU -> address >= 0 ? address : relativeBase - 1 - address;
            case BASE_RELATIVE -> address - relativeBase;
            case PLACE_RELATIVE -> address - (table + 4L * i);
          },
          4);
    }
    if (encoding != Kallsyms.Encoding.PLACE_RELATIVE) {
      out.label("kallsyms_relative_base", 8);
      out.number(relativeBase, 8);
    }
  }

  private void writeSequences(Layout out) {
    out.label("kallsyms_seqs_of_names", alignment);
    Integer[] byName = new Integer[symbols.size()];
    Arrays.setAll(byName, i -> i);
    Arrays.sort(byName, Comparator.comparing(i -> symbols.get(i).name()));
    for (int index : byName) {
      out.bytes(new byte[] {(byte) (index >> 16), (byte) (index >> 8), (byte) index});
    }
  }

  /// Bytes being laid out, with labels.
  private static final class Layout {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final Map<String, Long> labels = new LinkedHashMap<>();
    private final long vaddr;

    Layout(long vaddr) {
      this.vaddr = vaddr;
    }

    int position() {
      return out.size();
    }

    void align(int to) {
      while (out.size() % to != 0) {
        out.write(0);
      }
    }

    long label(String name, int alignment) {
      align(alignment);
      labels.put(name, vaddr + out.size());
      return vaddr + out.size();
    }

    void number(long value, int byteCount) {
      byte[] bytes = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
      out.write(bytes, 0, byteCount);
    }

    void bytes(byte[] bytes) {
      out.writeBytes(bytes);
    }

    byte[] toByteArray() {
      return out.toByteArray();
    }
  }

  /// The token table: a code that occurs in names stands for itself (digits always do), the others
  /// for the most frequent pairs of codes.
  private static final class Tokens {
    private final byte[][] texts = new byte[256][];
    private final int[] pairs = new int[256];
    private final List<Integer> made = new ArrayList<>();

    Tokens(List<Symbol> symbols) {
      boolean[] used = new boolean[256];
      for (char digit = '0'; digit <= '9'; digit++) {
        used[digit] = true;
      }
      List<int[]> sequences = new ArrayList<>();
      for (Symbol symbol : symbols.subList(0, Math.min(symbols.size(), 2000))) {
        sequences.add(codes(symbol.type() + symbol.name()));
      }
      for (Symbol symbol : symbols) {
        for (int code : codes(symbol.type() + symbol.name())) {
          used[code] = true;
        }
      }
      for (int code = 0; code < 256; code++) {
        texts[code] = used[code] ? new byte[] {(byte) code} : new byte[0];
        pairs[code] = -1;
      }
      for (int code = 255; code >= 0; code--) {
        if (!used[code] && !makeToken(code, sequences)) {
          break;
        }
      }
    }

    private boolean makeToken(int code, List<int[]> sequences) {
      int[] frequency = new int[1 << 16];
      int best = 0;
      for (int[] sequence : sequences) {
        for (int i = 0; i + 1 < sequence.length; i++) {
          int pair = sequence[i] << 8 | sequence[i + 1];
          if (++frequency[pair] > frequency[best] && text(pair >> 8).length < 24) {
            best = pair;
          }
        }
      }
      if (frequency[best] < 2) {
        return false;
      }
      pairs[code] = best;
      made.add(code);
      byte[] left = texts[best >> 8];
      byte[] right = texts[best & 0xff];
      texts[code] = Arrays.copyOf(left, left.length + right.length);
      System.arraycopy(right, 0, texts[code], left.length, right.length);
      int pair = best;
      sequences.replaceAll(sequence -> replace(sequence, pair, code));
      return true;
    }

    private static int[] replace(int[] sequence, int pair, int code) {
      int[] shorter = new int[sequence.length];
      int length = 0;
      for (int i = 0; i < sequence.length; i++) {
        if (i + 1 < sequence.length && (sequence[i] << 8 | sequence[i + 1]) == pair) {
          shorter[length++] = code;
          i++;
        } else {
          shorter[length++] = sequence[i];
        }
      }
      return Arrays.copyOf(shorter, length);
    }

    private static int[] codes(String text) {
      byte[] bytes = text.getBytes(StandardCharsets.ISO_8859_1);
      int[] codes = new int[bytes.length];
      Arrays.setAll(codes, i -> bytes[i] & 0xff);
      return codes;
    }

    byte[] text(int code) {
      return texts[code];
    }

    byte[] compress(String text) {
      int[] codes = codes(text);
      for (int code : made) {
        codes = replace(codes, pairs[code], code);
      }
      byte[] bytes = new byte[codes.length];
      for (int i = 0; i < codes.length; i++) {
        bytes[i] = (byte) codes[i];
      }
      return bytes;
    }
  }
}
