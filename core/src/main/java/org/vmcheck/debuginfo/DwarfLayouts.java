package org.vmcheck.debuginfo;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.Printable;

/// Lays out the structures of DWARF: their members with those of anonymous ones in their place, and
/// the sizes of types behind typedefs, qualifiers and dimensions. A place is an offset in
/// `.debug_info`. Safe for use by several threads at once.
final class DwarfLayouts {
  private static final int MAX_DEPTH = 32;
  private static final int MAX_MEMBERS = 65536;
  private static final int MAX_DIMENSIONS = 64;

  /// Gives the unit that holds a place; null if none does.
  @FunctionalInterface
  interface Units {
    DwarfUnit of(long place) throws MalformedFileException;
  }

  /// Runs a reading of which damage is kept as a problem and is no exception.
  @FunctionalInterface
  interface Guard {
    void run(Reading reading);
  }

  @FunctionalInterface
  interface Reading {
    void run() throws MalformedFileException;
  }

  @FunctionalInterface
  interface At {
    void at(int offset);
  }

  private final Units units;
  private final Guard guard;
  private final ConcurrentHashMap<Long, StructLayout> layouts = new ConcurrentHashMap<>();

  DwarfLayouts(Units units, Guard guard) {
    this.units = units;
    this.guard = guard;
  }

  static boolean isCompleteStruct(DwarfEntry entry) {
    return (entry.tag == DwarfEntry.TAG_STRUCTURE || entry.tag == DwarfEntry.TAG_UNION)
        && !entry.isDeclaration;
  }

  /// Every entry right below the root: in C types are nowhere else, but for those of functions.
  static void forTopEntries(DwarfUnit unit, DwarfEntry entry, At visitor) {
    entry.read(unit.firstEntry());
    int at = entry.next;
    int end = entry.hasChildren ? unit.data().length : at;
    while (at < end) {
      entry.read(at);
      if (entry.tag == 0) {
        return;
      }
      visitor.at(at);
      at = entry.afterChildren();
    }
  }

  /// Every entry right below another.
  ///
  /// @param budget how many entries may still be looked at
  static void forChildren(DwarfEntry entry, int parent, int[] budget, At visitor) {
    entry.read(parent);
    if (!entry.hasChildren) {
      return;
    }
    int at = entry.next;
    while (budget[0]-- > 0) {
      Cancellation.check();
      entry.read(at);
      if (entry.tag == 0) {
        return;
      }
      visitor.at(at);
      at = entry.afterChildren();
    }
  }

  /// The structure at a place; empty if no complete one is there.
  Optional<StructLayout> of(long place) throws MalformedFileException {
    DwarfUnit unit = units.of(place);
    if (unit == null) {
      return Optional.empty();
    }
    DwarfEntry entry = unit.entries();
    entry.read((int) (place - unit.offset()));
    return isCompleteStruct(entry)
        ? Optional.of(of(unit, (int) (place - unit.offset())))
        : Optional.empty();
  }

  StructLayout of(DwarfUnit unit, int at) throws MalformedFileException {
    long place = unit.offset() + at;
    StructLayout known = layouts.get(place);
    if (known == null) {
      DwarfEntry entry = unit.entries();
      entry.read(at);
      long byteCount = Math.max(0, entry.byteSize);
      String name = unit.name(entry);
      List<Member> members = new ArrayList<>();
      collect(unit, at, 0, 0, new int[] {MAX_MEMBERS}, members);
      known = new StructLayout(Printable.of(name), byteCount, members);
      layouts.put(place, known);
    }
    return known;
  }

  /// One member as it stands, before its type is looked at.
  private record Raw(
      String name,
      long type,
      long byteSize,
      long location,
      long dataBitOffset,
      long bitOffset,
      long bitSize) {}

  /// Adds the members of a structure or union, those of anonymous members in their place.
  ///
  /// @param budget how many members may still be looked at, nested ones too
  private void collect(
      DwarfUnit unit, int at, long baseBits, int depth, int[] budget, List<Member> into)
      throws MalformedFileException {
    if (depth > MAX_DEPTH) {
      return;
    }
    List<Raw> raws = new ArrayList<>();
    DwarfEntry entry = unit.entries();
    forChildren(
        entry,
        at,
        budget,
        _ -> {
          if (entry.tag == DwarfEntry.TAG_MEMBER) {
            raws.add(
                new Raw(
                    unit.name(entry),
                    entry.type,
                    entry.byteSize,
                    entry.location,
                    entry.dataBitOffset,
                    entry.bitOffset,
                    entry.bitSize));
          }
        });
    for (Raw raw : raws) {
      long bits = baseBits + bitOffset(raw);
      if (raw.name.isEmpty()) {
        long stripped = strip(raw.type);
        DwarfUnit inner = stripped == DwarfEntry.ABSENT ? null : units.of(stripped);
        if (inner != null) {
          DwarfEntry type = inner.entries();
          type.read((int) (stripped - inner.offset()));
          if (isCompleteStruct(type)) {
            collect(inner, (int) (stripped - inner.offset()), bits, depth + 1, budget, into);
          }
        }
        continue;
      }
      Elements elements = elements(raw.type);
      into.add(
          new Member(
              raw.name,
              bits,
              raw.bitSize == DwarfEntry.ABSENT ? 0 : (int) raw.bitSize,
              Math.max(0, size(raw.type, 0)),
              elements.count,
              () -> structOf(elements.type)));
    }
  }

  /// Bits from the start of the structure, by whichever of three ways the compiler has chosen.
  private long bitOffset(Raw raw) throws MalformedFileException {
    if (raw.dataBitOffset != DwarfEntry.ABSENT) {
      return raw.dataBitOffset;
    }
    long bytes = raw.location == DwarfEntry.ABSENT ? 0 : raw.location;
    if (raw.bitOffset == DwarfEntry.ABSENT) {
      return bytes * 8;
    }
    // DWARF 2 and 3 count from the most significant bit of the storage.
    long storage = raw.byteSize == DwarfEntry.ABSENT ? size(raw.type, 0) : raw.byteSize;
    return bytes * 8 + storage * 8 - raw.bitOffset - Math.max(0, raw.bitSize);
  }

  /// The type behind typedefs and qualifiers; [DwarfEntry#ABSENT] for void or a chain that does not
  /// end.
  private long strip(long type) throws MalformedFileException {
    long place = type;
    for (int depth = 0; depth < MAX_DEPTH && place != DwarfEntry.ABSENT; depth++) {
      DwarfUnit unit = units.of(place);
      if (unit == null) {
        return DwarfEntry.ABSENT;
      }
      DwarfEntry entry = unit.entries();
      entry.read((int) (place - unit.offset()));
      switch (entry.tag) {
        case DwarfEntry.TAG_TYPEDEF,
            DwarfEntry.TAG_CONST,
            DwarfEntry.TAG_VOLATILE,
            DwarfEntry.TAG_RESTRICT,
            DwarfEntry.TAG_ATOMIC ->
            place = entry.type;
        default -> {
          return place;
        }
      }
    }
    return DwarfEntry.ABSENT;
  }

  /// Bytes of a type, -1 if it has no size.
  long size(long type, int depth) throws MalformedFileException {
    long stripped = strip(type);
    DwarfUnit unit = stripped == DwarfEntry.ABSENT || depth > MAX_DEPTH ? null : units.of(stripped);
    if (unit == null) {
      return -1;
    }
    DwarfEntry entry = unit.entries();
    entry.read((int) (stripped - unit.offset()));
    return switch (entry.tag) {
      case DwarfEntry.TAG_POINTER -> entry.byteSize == DwarfEntry.ABSENT ? 8 : entry.byteSize;
      case DwarfEntry.TAG_ARRAY -> {
        Elements elements = elements(type);
        long each = size(entry.type, depth + 1);
        yield each < 0 ? -1 : Math.clamp(each * elements.count, 0, Integer.MAX_VALUE);
      }
      case DwarfEntry.TAG_STRUCTURE,
          DwarfEntry.TAG_UNION,
          DwarfEntry.TAG_ENUMERATION,
          DwarfEntry.TAG_BASE ->
          entry.byteSize == DwarfEntry.ABSENT ? -1 : entry.byteSize;
      default -> -1;
    };
  }

  /// What a type is an array of; of an array of arrays the elements of all dimensions.
  ///
  /// @param count -1 if it is no array
  private record Elements(long count, long type) {}

  private Elements elements(long type) throws MalformedFileException {
    long stripped = strip(type);
    DwarfUnit unit = stripped == DwarfEntry.ABSENT ? null : units.of(stripped);
    if (unit == null) {
      return new Elements(-1, DwarfEntry.ABSENT);
    }
    DwarfEntry entry = unit.entries();
    int at = (int) (stripped - unit.offset());
    entry.read(at);
    if (entry.tag != DwarfEntry.TAG_ARRAY) {
      return new Elements(-1, stripped);
    }
    long element = entry.type;
    long[] count = {1};
    forChildren(
        entry,
        at,
        new int[] {MAX_DIMENSIONS},
        _ -> {
          if (entry.tag == DwarfEntry.TAG_SUBRANGE) {
            count[0] = Math.clamp(count[0] * dimension(entry), 0, Integer.MAX_VALUE);
          }
        });
    return new Elements(count[0], element);
  }

  /// Elements of one dimension; 0 for a flexible one.
  private static long dimension(DwarfEntry entry) {
    if (entry.count != DwarfEntry.ABSENT) {
      return Math.clamp(entry.count, 0, Integer.MAX_VALUE);
    }
    return entry.upperBound == DwarfEntry.ABSENT || entry.isUpperBoundAllOnes
        ? 0
        : Math.clamp(entry.upperBound, -1, Integer.MAX_VALUE - 1) + 1;
  }

  /// The structure that a member is, or that the elements of an array member are.
  private Optional<StructLayout> structOf(long type) {
    List<StructLayout> found = new ArrayList<>(1);
    guard.run(
        () -> {
          long stripped = strip(type);
          for (int depth = 0; depth < MAX_DEPTH && stripped != DwarfEntry.ABSENT; depth++) {
            Elements elements = elements(stripped);
            if (elements.count < 0) {
              of(stripped).ifPresent(found::add);
              return;
            }
            stripped = strip(elements.type);
          }
        });
    return found.isEmpty() ? Optional.empty() : Optional.of(found.getFirst());
  }
}
