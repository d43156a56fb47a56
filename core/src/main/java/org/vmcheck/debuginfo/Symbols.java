package org.vmcheck.debuginfo;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.LongConsumer;

/// The symbols of one kernel: by name, and by address.
///
/// Names are kept as bytes, since of a hundred thousand symbols a run asks for a few dozen. Safe
/// for use by several threads at once.
public final class Symbols {
  private final String source;
  private final NamePool names;
  private final NameIndex index;
  private final long[] addresses;

  /// Indices in ascending order of address, made when first asked for.
  private volatile int[] byAddress;

  Symbols(String source, NamePool names, long[] addresses) {
    this(source, new NameIndex(names), addresses);
  }

  Symbols(String source, NameIndex index, long[] addresses) {
    this.source = source;
    this.names = index.names();
    this.index = index;
    this.addresses = addresses;
  }

  /// These symbols with every address from `least` on moved.
  Symbols shifted(long offset, long least) {
    long[] moved = new long[addresses.length];
    for (int i = 0; i < moved.length; i++) {
      moved[i] = addresses[i] + (Long.compareUnsigned(addresses[i], least) >= 0 ? offset : 0);
    }
    return new Symbols(source, index, moved);
  }

  /// Gathers symbols in any order.
  public static final class Builder {
    private byte[] names;
    private int nameEnd;
    private int[] nameStarts;
    private byte[] types;
    private long[] addresses;
    private int count;

    public Builder(int expected) {
      names = new byte[Math.max(64, expected * 24)];
      nameStarts = new int[expected + 1];
      types = new byte[expected];
      addresses = new long[expected];
    }

    private void append(byte[] from, int start, int length) {
      if (nameEnd + length > names.length) {
        names = Arrays.copyOf(names, Math.max(names.length * 2, nameEnd + length));
      }
      System.arraycopy(from, start, names, nameEnd, length);
      nameEnd += length;
    }

    private void end(byte type, long address) {
      if (count == addresses.length) {
        int capacity = Math.max(1024, count * 2);
        types = Arrays.copyOf(types, capacity);
        addresses = Arrays.copyOf(addresses, capacity);
        nameStarts = Arrays.copyOf(nameStarts, capacity + 1);
      }
      types[count] = type;
      addresses[count] = address;
      nameStarts[++count] = nameEnd;
    }

    public Builder add(Symbol symbol) {
      byte[] name = symbol.name().getBytes(StandardCharsets.ISO_8859_1);
      append(name, 0, name.length);
      end((byte) symbol.type(), symbol.address());
      return this;
    }

    /// Ends the gathering.
    ///
    /// @param source where the symbols come from, for reports
    public Symbols build(String source) {
      return new Symbols(
          source,
          new PlainNames(names, Arrays.copyOf(nameStarts, count + 1), Arrays.copyOf(types, count)),
          Arrays.copyOf(addresses, count));
    }
  }

  /// Where they come from, for example `kallsyms`.
  public String source() {
    return source;
  }

  public int count() {
    return addresses.length;
  }

  public Symbol get(int index) {
    return new Symbol(
        new String(names.name(index), StandardCharsets.ISO_8859_1),
        names.type(index),
        addresses[index]);
  }

  /// Shows the address of every symbol.
  public void eachAddress(LongConsumer sink) {
    for (long address : addresses) {
      sink.accept(address);
    }
  }

  /// Every symbol of that name; names are not unique.
  public List<Symbol> all(String name) {
    byte[] wanted = name.getBytes(StandardCharsets.ISO_8859_1);
    List<Symbol> found = new ArrayList<>(1);
    index.forEach(wanted, i -> found.add(get(i)));
    return found;
  }

  /// The address of the symbol of that name, the first if there are several.
  public OptionalLong address(String name) {
    List<Symbol> found = all(name);
    return found.isEmpty() ? OptionalLong.empty() : OptionalLong.of(found.getFirst().address());
  }

  /// The symbol with the highest address not above this one, the first if several share it.
  public Optional<Symbol> atOrBefore(long address) {
    int[] order = byAddress();
    int low = countUpTo(order, address);
    if (low == 0) {
      return Optional.empty();
    }
    // Of several at one address the first is the one that the kernel itself prints.
    int first = low - 1;
    while (first > 0 && addresses[order[first - 1]] == addresses[order[low - 1]]) {
      first--;
    }
    return Optional.of(get(order[first]));
  }

  /// The lowest address of a symbol above this one; empty if there is none.
  public OptionalLong nextAbove(long address) {
    int[] order = byAddress();
    int low = countUpTo(order, address);
    return low == order.length ? OptionalLong.empty() : OptionalLong.of(addresses[order[low]]);
  }

  /// `symbol+0xoffset` if a text or data symbol starts at most 16 MiB below, else empty.
  public Optional<String> describe(long address) {
    return atOrBefore(address)
        .filter(s -> Long.compareUnsigned(address - s.address(), 16 << 20) < 0)
        .map(
            s ->
                address == s.address()
                    ? s.name()
                    : s.name() + "+0x" + Long.toHexString(address - s.address()));
  }

  /// How many symbols have an address not above this one.
  private int countUpTo(int[] order, long address) {
    int low = 0;
    int high = order.length;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (Long.compareUnsigned(addresses[order[middle]], address) <= 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  private int[] byAddress() {
    int[] order = byAddress;
    if (order == null) {
      order = sortedByAddress();
      byAddress = order;
    }
    return order;
  }

  private int[] sortedByAddress() {
    boolean ascending = true;
    for (int i = 1; i < addresses.length && ascending; i++) {
      ascending = Long.compareUnsigned(addresses[i - 1], addresses[i]) <= 0;
    }
    if (ascending) {
      int[] order = new int[addresses.length];
      Arrays.setAll(order, i -> i);
      return order;
    }
    Integer[] boxed = new Integer[addresses.length];
    Arrays.setAll(boxed, i -> i);
    Arrays.sort(boxed, (a, b) -> Long.compareUnsigned(addresses[a], addresses[b]));
    int[] order = new int[boxed.length];
    Arrays.setAll(order, i -> boxed[i]);
    return order;
  }
}
