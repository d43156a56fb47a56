package org.vmcheck.image;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;
import org.vmcheck.arch.EntryTable;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Modules;
import org.vmcheck.kernel.WordCache;

/// Where the kernel's read-only tables of functions lead, told without its file: the entries of
/// system calls and interrupts, and the pointers to functions in read-only data. They were linked
/// to where functions begin, and nothing writes them after the start.
///
/// @param lookedAt entries and pointers, by what they are
/// @param notRead pages, by reason
/// @param faults in the order in which they were met
public record FunctionPointers(
    Map<String, Long> lookedAt, Map<String, Long> notRead, List<Fault> faults) {
  private static final int WORD = 8;
  private static final int MAX_FAULTS = 64;
  private static final int MAX_ENTRIES = 4096;

  /// No kernel has more read-only data.
  private static final long MAX_BYTES = 256L << 20;

  /// One symbol may name many functions' pointers; one that is no pointer shows that others are
  /// none.
  private static final int FEWEST = 2;

  /// An entry or pointer that leads to no function of the kernel.
  ///
  /// @param variable the table or structure, with the entry's number or the offset
  /// @param target where it leads; empty if the entry is none at all
  /// @param right what the word must be; empty if that cannot be told
  public record Fault(
      String variable, long address, long value, OptionalLong target, OptionalLong right) {}

  public FunctionPointers {
    lookedAt = Map.copyOf(lookedAt);
    notRead = Map.copyOf(notRead);
    faults = List.copyOf(faults);
  }

  /// Of a kernel with symbols; of one without there is nothing.
  public static FunctionPointers of(Kernel kernel) {
    Optional<Symbols> symbols = kernel.symbols();
    Optional<Range> text = Range.of(kernel, "_stext", "_etext");
    if (symbols.isEmpty() || text.isEmpty()) {
      return new FunctionPointers(Map.of(), Map.of(), List.of());
    }
    Pass pass = new Pass(kernel, symbols.get(), text.get());
    kernel.architecture().entryTables().forEach(pass::table);
    Range.of(kernel, "__start_rodata", "__end_rodata").ifPresent(pass::readOnly);
    return new FunctionPointers(pass.lookedAt, pass.notRead, pass.faults);
  }

  private record Range(long start, long end) {
    static Optional<Range> of(Kernel kernel, String first, String last) {
      OptionalLong start = kernel.symbol(first);
      OptionalLong end = kernel.symbol(last);
      return start.isPresent()
              && end.isPresent()
              && kernel.memory().map().isImage(start.getAsLong())
              && Long.compareUnsigned(end.getAsLong() - start.getAsLong(), MAX_BYTES) <= 0
          ? Optional.of(new Range(start.getAsLong(), end.getAsLong()))
          : Optional.empty();
    }

    boolean has(long address) {
      return address >= start && address < end;
    }
  }

  private static final class Pass {
    private final Kernel kernel;
    private final Symbols symbols;
    private final Range text;
    private final WordCache words;
    private final Map<String, Long> lookedAt = new TreeMap<>();
    private final Map<String, Long> notRead = new TreeMap<>();
    private final List<Fault> faults = new ArrayList<>();

    /// By the start of each of their ranges: most words of data lie in none.
    private final TreeMap<Long, Modules.Module> modules = new TreeMap<>();

    /// The tables that were looked at entry by entry.
    private final Set<Long> tables = new HashSet<>();

    Pass(Kernel kernel, Symbols symbols, Range text) {
      this.kernel = kernel;
      this.symbols = symbols;
      this.text = text;
      this.words = new WordCache(kernel.memory());
      for (Modules.Module module : kernel.modules().all()) {
        module.ranges().forEach(range -> modules.put(range.start(), module));
      }
    }

    void table(EntryTable table) {
      OptionalLong start = kernel.symbol(table.symbol());
      if (start.isEmpty() || !kernel.memory().map().isImage(start.getAsLong())) {
        return;
      }
      tables.add(start.getAsLong());
      int entries = table.entries() > 0 ? table.entries() : count(start.getAsLong());
      int last = entries;
      while (last > 0 && table.entries() == 0 && !isFunctionAt(start.getAsLong(), last - 1)) {
        last--; // What has no symbol may lie behind it: tables of jumps, filling.
      }
      for (int i = 0; i < last; i++) {
        long at = start.getAsLong() + (long) i * table.entryWords() * WORD;
        if (words.page(at) == null) {
          notRead.merge("entries of " + table.symbol(), 1L, Long::sum);
          continue;
        }
        lookedAt.merge(table.isExact() ? "system calls" : "interrupt gates", 1L, Long::sum);
        entry(table, i, at);
      }
    }

    private boolean isFunctionAt(long table, int index) {
      return isFunction(words.word(table + (long) index * WORD));
    }

    private int count(long table) {
      OptionalLong next = symbols.nextAbove(table);
      return next.isEmpty() ? 0 : Math.clamp((next.getAsLong() - table) / WORD, 0, MAX_ENTRIES);
    }

    private void entry(EntryTable table, int index, long at) {
      long first = words.word(at);
      OptionalLong target = table.target().of(first, words.word(at + WORD));
      boolean isRight =
          target.isPresent()
              && (table.isExact()
                  ? isFunction(target.getAsLong())
                  : target.getAsLong() == 0 || kernel.memory().map().isImage(target.getAsLong()));
      if (!isRight) {
        add(
            "%s[%d]".formatted(table.symbol(), index),
            at,
            first,
            target,
            table.isExact() ? only(oneBitAway(first)) : OptionalLong.empty());
      }
    }

    private boolean isFunction(long address) {
      return text.has(address)
          && symbols.atOrBefore(address).filter(one -> one.address() == address).isPresent();
    }

    /// The functions that a word leads to but for one bit.
    private List<Long> oneBitAway(long value) {
      List<Long> near = new ArrayList<>();
      for (int bit = 0; bit < Long.SIZE; bit++) {
        if (isFunction(value ^ 1L << bit)) {
          near.add(value ^ 1L << bit);
        }
      }
      return near;
    }

    private static OptionalLong only(List<Long> near) {
      return near.size() == 1 ? OptionalLong.of(near.getFirst()) : OptionalLong.empty();
    }

    private void add(
        String variable, long address, long value, OptionalLong target, OptionalLong right) {
      if (faults.size() < MAX_FAULTS) {
        faults.add(new Fault(variable, address, value, target, right));
      }
    }

    /// What of one variable is unlike a pointer to a function.
    private static final class Odd {
      long functions;
      final List<Fault> faults = new ArrayList<>();
    }

    /// Some of it is written during the start, and is left out.
    void readOnly(Range all) {
      Optional<Range> late = Range.of(kernel, "__start_ro_after_init", "__end_ro_after_init");
      if (late.isEmpty()) {
        return;
      }
      Map<Long, Odd> byVariable = new HashMap<>();
      int pageSize = kernel.memory().pageSize();
      for (long page = all.start; page < all.end; page += pageSize) {
        Cancellation.check();
        if (words.page(page) == null) {
          notRead.merge("pages of read-only data", 1L, Long::sum);
          continue;
        }
        for (long at = page; at < Math.min(page + pageSize, all.end); at += WORD) {
          long value = words.word(at);
          if (value != 0 && !late.get().has(at)) {
            word(byVariable, at, value);
          }
        }
      }
      byVariable.keySet().removeAll(tables);
      for (Odd one : byVariable.values()) {
        if (one.functions > 0) {
          lookedAt.merge("pointers to functions", one.functions, Long::sum);
        }
        if (one.functions >= FEWEST && one.faults.size() == 1) {
          Fault fault = one.faults.getFirst();
          add(fault.variable, fault.address, fault.value, fault.target, fault.right);
        }
      }
    }

    private void word(Map<Long, Odd> byVariable, long at, long value) {
      if (isFunction(value)) {
        variable(byVariable, at).functions++;
        return;
      }
      boolean isInText = text.has(value);
      boolean isNoAddress = !kernel.memory().paging().isCanonical(value);
      boolean isOfModule = !isInText && !isNoAddress && value < 0 && leadsToModule(value);
      if (!isInText && !isNoAddress && !isOfModule) {
        return;
      }
      List<Long> near = isOfModule ? List.of() : oneBitAway(value);
      if (isOfModule || !near.isEmpty()) {
        variable(byVariable, at)
            .faults
            .add(new Fault(kernel.describe(at), at, value, OptionalLong.of(value), only(near)));
      } else if (isInText) {
        variable(byVariable, at).functions = Long.MIN_VALUE; // Labels within functions.
      }
    }

    /// Not what is a small negative number: a symbol of a module begins there.
    private boolean leadsToModule(long value) {
      Map.Entry<Long, Modules.Module> below = modules.floorEntry(value);
      return below != null
          && below.getValue().ranges().stream()
              .anyMatch(
                  range -> value - range.start() >= 0 && value - range.start() < range.byteCount())
          && kernel
              .modules()
              .symbols(below.getValue())
              .flatMap(all -> all.atOrBefore(value))
              .filter(one -> one.address() == value)
              .isPresent();
    }

    private Odd variable(Map<Long, Odd> byVariable, long at) {
      return byVariable.computeIfAbsent(
          symbols.atOrBefore(at).map(Symbol::address).orElse(0L), _ -> new Odd());
    }
  }
}
