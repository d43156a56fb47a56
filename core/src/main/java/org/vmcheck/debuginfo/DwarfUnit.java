package org.vmcheck.debuginfo;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicLong;
import org.vmcheck.debuginfo.DwarfAbbreviations.DwarfAbbreviation;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;

/// One unit of `.debug_info` with its bytes copied, and the reading of its entries.
final class DwarfUnit {
  private static final int MAX_NAME = 1024;

  private final DwarfTypes.Sections sections;
  private final DwarfTypes.Header header;
  private final byte[] data;
  private final DwarfAbbreviations abbreviations;

  /// Of `.debug_str_offsets`, from the root entry; 8 where the root does not tell.
  private final long strOffsetsBase;

  private DwarfUnit(
      DwarfTypes.Sections sections,
      DwarfTypes.Header header,
      byte[] data,
      DwarfAbbreviations abbreviations) {
    this.sections = sections;
    this.header = header;
    this.data = data;
    this.abbreviations = abbreviations;
    DwarfEntry root = new DwarfEntry(this);
    root.read(firstEntry());
    this.strOffsetsBase = root.strOffsetsBase == DwarfEntry.ABSENT ? 8 : root.strOffsetsBase;
  }

  /// The whole unit.
  ///
  /// @param left bytes of abbreviation tables that may still be read: units that claim tables which
  ///   overlap would have the same bytes read again and again
  static DwarfUnit load(DwarfTypes.Sections sections, DwarfTypes.Header header, AtomicLong left)
      throws MalformedFileException {
    try {
      return new DwarfUnit(
          sections,
          header,
          sections.info().bytes(header.offset(), header.byteCount()),
          abbreviations(sections, header, -1, left));
    } catch (IndexOutOfBoundsException e) {
      throw broken(sections, header, e);
    }
  }

  /// The file that the unit was compiled from, as its root entry names it; empty if it does not.
  static String path(DwarfTypes.Sections sections, DwarfTypes.Header header, AtomicLong left)
      throws MalformedFileException {
    try {
      byte[] start = sections.info().bytes(header.offset(), Math.min(header.byteCount(), 1 << 14));
      DwarfBytes bytes = new DwarfBytes(start);
      bytes.at = header.headerBytes();
      DwarfUnit unit =
          new DwarfUnit(
              sections, header, start, abbreviations(sections, header, bytes.uleb(), left));
      DwarfEntry root = unit.entries();
      root.read(unit.firstEntry());
      return unit.name(root);
    } catch (IndexOutOfBoundsException e) {
      throw broken(sections, header, e);
    }
  }

  /// @param offset in `.debug_abbrev`
  record Table(long offset, DwarfAbbreviations abbreviations) {}

  private static DwarfAbbreviations abbreviations(
      DwarfTypes.Sections sections, DwarfTypes.Header header, long lastCode, AtomicLong left)
      throws MalformedFileException {
    Table last = sections.lastTable().get();
    if (last != null && last.offset == header.abbrevOffset()) {
      return last.abbreviations;
    }
    if (left.get() < 0) {
      throw sections
          .abbrev()
          .malformed(
              "table",
              header.abbrevOffset(),
              "tables of units that do not overlap",
              "more bytes in them than the section has");
    }
    DwarfAbbreviations read =
        DwarfAbbreviations.read(sections.abbrev(), header.abbrevOffset(), lastCode);
    left.addAndGet(-read.byteCount());
    if (lastCode < 0) {
      sections.lastTable().set(new Table(header.abbrevOffset(), read));
    }
    return read;
  }

  static MalformedFileException broken(
      DwarfTypes.Sections sections, DwarfTypes.Header header, IndexOutOfBoundsException e) {
    return sections
        .info()
        .malformed(
            "unit", header.offset(), "entries within the unit", String.valueOf(e.getMessage()));
  }

  /// Offset of the unit in `.debug_info`; places in it are relative to this.
  long offset() {
    return header.offset();
  }

  int version() {
    return header.version();
  }

  int addressBytes() {
    return header.addressBytes();
  }

  int offsetBytes() {
    return header.offsetBytes();
  }

  byte[] data() {
    return data;
  }

  int firstEntry() {
    return header.headerBytes();
  }

  DwarfEntry entries() {
    return new DwarfEntry(this);
  }

  DwarfAbbreviation abbreviation(long code) {
    DwarfAbbreviation found = abbreviations.get(code);
    if (found == null) {
      throw new IndexOutOfBoundsException("an entry of code " + code + ", which is not declared");
    }
    return found;
  }

  /// Place of the type in the type unit of that signature, or [DwarfEntry#ABSENT].
  long typeUnit(long signature) {
    return sections.typeUnits().getOrDefault(signature, DwarfEntry.ABSENT);
  }

  /// The name of the entry that was read last; empty if it has none.
  String name(DwarfEntry entry) {
    return switch (entry.nameIn) {
      case NOWHERE -> "";
      case UNIT -> inUnit((int) entry.nameAt);
      case STR -> string(sections.str(), entry.nameAt);
      case LINE_STR -> string(sections.lineStr(), entry.nameAt);
      case STR_OFFSETS -> string(sections.str(), offsetOf(entry.nameAt));
    };
  }

  private long offsetOf(long index) {
    ByteView offsets = sections.strOffsets();
    long at = strOffsetsBase + index * header.offsetBytes();
    return offsets == null || at < 0 || at > offsets.size() - header.offsetBytes()
        ? -1
        : header.offsetBytes() == 8 ? offsets.u64(at) : offsets.u32(at);
  }

  private String inUnit(int at) {
    int end = at;
    while (data[end] != 0 && end - at < MAX_NAME) {
      end++;
    }
    return new String(data, at, end - at, StandardCharsets.ISO_8859_1);
  }

  private static String string(ByteView section, long at) {
    return section == null || at < 0 || at >= section.size() ? "" : section.string(at, MAX_NAME);
  }

  /// Whether the entry that was read last has this name, without making a string of its own.
  boolean isNamed(DwarfEntry entry, byte[] wanted) {
    return switch (entry.nameIn) {
      case NOWHERE -> false;
      case UNIT -> {
        int at = (int) entry.nameAt;
        yield at + wanted.length < data.length
            && data[at + wanted.length] == 0
            && Arrays.equals(data, at, at + wanted.length, wanted, 0, wanted.length);
      }
      case STR -> matches(sections.str(), entry.nameAt, wanted);
      case LINE_STR -> matches(sections.lineStr(), entry.nameAt, wanted);
      case STR_OFFSETS -> matches(sections.str(), offsetOf(entry.nameAt), wanted);
    };
  }

  private static boolean matches(ByteView section, long at, byte[] wanted) {
    if (section == null || at < 0 || at >= section.size() - wanted.length) {
      return false;
    }
    // The end first: most names differ in length.
    if (section.u8(at + wanted.length) != 0) {
      return false;
    }
    for (int i = 0; i < wanted.length; i++) {
      if ((byte) section.u8(at + i) != wanted[i]) {
        return false;
      }
    }
    return true;
  }
}
