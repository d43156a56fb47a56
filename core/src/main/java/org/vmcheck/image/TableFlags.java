package org.vmcheck.image;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.EntryFlags;

/// The bits of entries that say how memory may be used. Which ones a kernel sets differs, so its
/// own entries are asked: a bit is wrong only where at most two of many have it, and it is none
/// that single pages are given on purpose.
final class TableFlags {
  private final Group leaves;
  private final Group tables;
  private final Group readOnly;
  private final Group text;
  private final OptionalLong textStart;
  private final OptionalLong textEnd;
  private final OptionalLong rodataStart;
  private final OptionalLong rodataEnd;

  TableFlags(Kernel kernel) {
    EntryFlags flags = kernel.memory().paging().flags();
    leaves =
        new Group(
            TableFault.Kind.FLAG,
            flags.rareInLeaf() | flags.usualInLeaf(),
            flags.usualInLeaf(),
            32,
            2);
    tables = new Group(TableFault.Kind.FLAG, flags.rareInTable(), 0, 32, 2);
    readOnly = new Group(TableFault.Kind.WRITABLE, flags.writable(), flags.writableIfClear(), 4, 1);
    text = new Group(TableFault.Kind.NO_EXECUTE, flags.noExecute(), 0, 4, 1);
    textStart = kernel.symbol("_stext");
    textEnd = kernel.symbol("_etext");
    rodataStart = kernel.symbol("__start_rodata");
    rodataEnd = kernel.symbol("__end_rodata");
  }

  /// Where the pass was.
  record Mark(List<Integer> odd) {}

  Mark mark() {
    return new Mark(
        List.of(leaves.odd.size(), tables.odd.size(), readOnly.odd.size(), text.odd.size()));
  }

  /// Forgets what was met since.
  void back(Mark mark) {
    leaves.cut(mark.odd.get(0));
    tables.cut(mark.odd.get(1));
    readOnly.cut(mark.odd.get(2));
    text.cut(mark.odd.get(3));
  }

  /// A leaf of the direct map or the image; what else is mapped may have flags of its own.
  void leaf(TablePass.Place at, long entry) {
    leaves.met(at, entry);
    boolean isText = isWithin(at, textStart, textEnd);
    if (isText) {
      text.met(at, entry);
    }
    if (isText || isWithin(at, rodataStart, rodataEnd)) {
      readOnly.met(at, entry);
    }
  }

  void table(TablePass.Place at, long entry) {
    tables.met(at, entry);
  }

  private static boolean isWithin(TablePass.Place at, OptionalLong start, OptionalLong end) {
    return start.isPresent()
        && end.isPresent()
        && Long.compareUnsigned(at.vaddr(), start.getAsLong()) >= 0
        && Long.compareUnsigned(at.vaddr() + at.span(), end.getAsLong()) <= 0;
  }

  List<TableFault> faults() {
    List<TableFault> faults = new ArrayList<>();
    for (Group group : List.of(leaves, tables, readOnly, text)) {
      group.addFaults(faults);
    }
    return faults;
  }

  /// Entries of one kind, and those of them that have a bit which few have.
  private static final class Group {
    private static final int MAX_ODD = 4096;

    private final TableFault.Kind kind;
    private final long rare;
    private final long usual;
    private final int leastSample;
    private final int mostOdd;
    private final List<TablePass.Place> odd = new ArrayList<>();
    private final int[] counts = new int[64];
    private long met;

    /// @param rare bits, of which each that is odd is counted
    /// @param usual those of them that are odd where they are 0
    /// @param leastSample entries that there must be
    /// @param mostOdd of these may have a bit, and it is still wrong
    Group(TableFault.Kind kind, long rare, long usual, int leastSample, int mostOdd) {
      this.kind = kind;
      this.rare = rare;
      this.usual = usual;
      this.leastSample = leastSample;
      this.mostOdd = mostOdd;
    }

    private long odd(long entry) {
      return (entry ^ usual) & rare;
    }

    void met(TablePass.Place at, long entry) {
      met++;
      long bits = odd(entry);
      if (bits == 0) {
        return;
      }
      if (odd.size() < MAX_ODD) {
        odd.add(at);
      }
      for (long left = bits; left != 0; left &= left - 1) {
        counts[Long.numberOfTrailingZeros(left)]++;
      }
    }

    void cut(int size) {
      if (odd.size() > size) {
        for (TablePass.Place at : odd.subList(size, odd.size())) {
          for (long left = odd(at.raw()); left != 0; left &= left - 1) {
            counts[Long.numberOfTrailingZeros(left)]--;
          }
        }
        odd.subList(size, odd.size()).clear();
      }
    }

    void addFaults(List<TableFault> faults) {
      if (met < leastSample) {
        return;
      }
      for (TablePass.Place at : odd) {
        long bits = odd(at.raw());
        if (Long.bitCount(bits) == 1 && counts[Long.numberOfTrailingZeros(bits)] <= mostOdd) {
          faults.add(
              new TableFault(
                  kind, at.level(), at.vaddr(), at.physical(), at.raw(), at.raw() ^ bits));
        }
      }
    }
  }
}
