package org.vmcheck.debuginfo;

import org.vmcheck.debuginfo.DwarfAbbreviations.DwarfAbbreviation;

/// Reads entries of one unit, one after the other: a cursor whose fields hold the attributes of the
/// entry that was read last, as far as types need them.
final class DwarfEntry {
  /// An attribute that the entry does not have.
  static final long ABSENT = Long.MIN_VALUE;

  static final int TAG_ARRAY = 0x01;
  static final int TAG_ENUMERATION = 0x04;
  static final int TAG_MEMBER = 0x0d;
  static final int TAG_POINTER = 0x0f;
  static final int TAG_STRUCTURE = 0x13;
  static final int TAG_SUBROUTINE = 0x15;
  static final int TAG_TYPEDEF = 0x16;
  static final int TAG_UNION = 0x17;
  static final int TAG_SUBRANGE = 0x21;
  static final int TAG_BASE = 0x24;
  static final int TAG_CONST = 0x26;
  static final int TAG_ENUMERATOR = 0x28;
  static final int TAG_VOLATILE = 0x35;
  static final int TAG_RESTRICT = 0x37;
  static final int TAG_ATOMIC = 0x47;

  private static final int MAX_INDIRECTIONS = 4;

  private final DwarfUnit unit;
  private final DwarfBytes bytes;

  /// 0 for the entry that ends a list of children.
  int tag;

  boolean hasChildren;

  /// Where the entry behind the attributes starts: the first child, or the next entry.
  int next;

  /// Where a name stands: in the unit itself, or in a section of strings.
  NameIn nameIn;

  long nameAt;
  long sibling;
  long byteSize;
  long bitOffset;
  long bitSize;
  long constValue;
  long upperBound;
  long count;
  long location;
  long dataBitOffset;
  long type;
  long strOffsetsBase;
  boolean isDeclaration;

  /// Whether `upperBound` is the largest number of its form, which means: no element.
  boolean isUpperBoundAllOnes;

  enum NameIn {
    NOWHERE,
    UNIT,
    STR,
    LINE_STR,
    STR_OFFSETS
  }

  DwarfEntry(DwarfUnit unit) {
    this.unit = unit;
    this.bytes = new DwarfBytes(unit.data());
  }

  /// Reads the entry that starts at an offset of the unit.
  void read(int at) {
    bytes.at = at;
    long code = bytes.uleb();
    hasChildren = false;
    nameIn = NameIn.NOWHERE;
    if (code == 0) {
      tag = 0;
      next = bytes.at;
      return;
    }
    DwarfAbbreviation abbreviation = unit.abbreviation(code);
    tag = abbreviation.tag;
    hasChildren = abbreviation.hasChildren;
    sibling = byteSize = bitOffset = bitSize = constValue = ABSENT;
    upperBound = count = location = dataBitOffset = type = strOffsetsBase = ABSENT;
    isDeclaration = false;
    isUpperBoundAllOnes = false;
    int[] attributes = abbreviation.attributes;
    int[] forms = abbreviation.forms;
    for (int i = 0; i < forms.length; i++) {
      attribute(attributes[i], forms[i], abbreviation.implicit, i);
    }
    next = bytes.at;
  }

  private void attribute(int attribute, int form, long[] implicit, int index) {
    switch (attribute) {
      case 0x01 -> sibling = value(form, implicit, index);
      case 0x03 -> name(form);
      case 0x0b -> byteSize = value(form, implicit, index);
      case 0x0c -> bitOffset = signExtended(form, value(form, implicit, index));
      case 0x0d -> bitSize = value(form, implicit, index);
      case 0x1c -> constValue = value(form, implicit, index);
      case 0x2f -> {
        upperBound = value(form, implicit, index);
        isUpperBoundAllOnes = upperBound == -1 || (form == 0x06 && upperBound == 0xffff_ffffL);
      }
      case 0x37 -> count = value(form, implicit, index);
      case 0x38 -> location = value(form, implicit, index);
      case 0x3c -> isDeclaration = value(form, implicit, index) != 0;
      case 0x49 -> type = value(form, implicit, index);
      case 0x6b -> dataBitOffset = value(form, implicit, index);
      case 0x72 -> strOffsetsBase = value(form, implicit, index);
      default -> skip(form);
    }
  }

  /// GCC writes negative bit offsets of old kinds in unsigned forms.
  private static long signExtended(int form, long value) {
    return switch (form) {
      case 0x0b -> (byte) value;
      case 0x05 -> (short) value;
      case 0x06 -> (int) value;
      default -> value;
    };
  }

  private void name(int form) {
    nameIn =
        switch (form) {
          case 0x08 -> NameIn.UNIT;
          case 0x0e -> NameIn.STR;
          case 0x1f -> NameIn.LINE_STR;
          case 0x1a, 0x25, 0x26, 0x27, 0x28 -> NameIn.STR_OFFSETS;
          default -> NameIn.NOWHERE;
        };
    switch (form) {
      case 0x08 -> {
        nameAt = bytes.at;
        bytes.skipString();
      }
      case 0x0e, 0x1f -> nameAt = bytes.offset(unit.offsetBytes());
      case 0x1a -> nameAt = bytes.uleb();
      case 0x25 -> nameAt = bytes.u8();
      case 0x26 -> nameAt = bytes.u16();
      case 0x27 -> nameAt = bytes.u24();
      case 0x28 -> nameAt = bytes.u32();
      default -> skip(form);
    }
  }

  /// A number, or a place in `.debug_info`, or [#ABSENT] for a form that is neither.
  private long value(int form, long[] implicit, int index) {
    return switch (form) {
      case 0x0b, 0x0c -> bytes.u8();
      case 0x05 -> bytes.u16();
      case 0x06 -> bytes.u32();
      case 0x07 -> bytes.u64();
      case 0x0d -> bytes.sleb();
      case 0x0f -> bytes.uleb();
      case 0x19 -> 1;
      case 0x21 -> implicit[index];
      case 0x17 -> bytes.offset(unit.offsetBytes());
      case 0x11 -> unit.offset() + bytes.u8();
      case 0x12 -> unit.offset() + bytes.u16();
      case 0x13 -> unit.offset() + bytes.u32();
      case 0x14 -> unit.offset() + bytes.u64();
      case 0x15 -> unit.offset() + bytes.uleb();
      case 0x10 -> bytes.offset(unit.version() == 2 ? unit.addressBytes() : unit.offsetBytes());
      case 0x20 -> unit.typeUnit(bytes.u64());
      case 0x0a, 0x09, 0x18, 0x03, 0x04 -> expression(form);
      default -> {
        skip(form);
        yield ABSENT;
      }
    };
  }

  /// The one operation that member places of DWARF 2 and 3 have: add a constant.
  private long expression(int form) {
    long length = blockLength(form);
    int start = bytes.at;
    bytes.skip(length);
    int end = bytes.at;
    if (length < 2 || bytes.bytes[start] != 0x23) {
      return ABSENT;
    }
    bytes.at = start + 1;
    long value = bytes.uleb();
    bytes.at = end;
    return value;
  }

  private long blockLength(int form) {
    return switch (form) {
      case 0x0a -> bytes.u8();
      case 0x03 -> bytes.u16();
      case 0x04 -> bytes.u32();
      default -> bytes.uleb();
    };
  }

  private void skip(int form) {
    int actual = form;
    for (int depth = 0; actual == 0x16; depth++) {
      if (depth == MAX_INDIRECTIONS) {
        throw new IndexOutOfBoundsException("a form that leads to itself");
      }
      actual = (int) bytes.uleb();
    }
    switch (actual) {
      case 0x19, 0x21 -> {
        // No bytes.
      }
      case 0x0b, 0x0c, 0x11, 0x25, 0x29 -> bytes.skip(1);
      case 0x05, 0x12, 0x26, 0x2a -> bytes.skip(2);
      case 0x27, 0x2b -> bytes.skip(3);
      case 0x06, 0x13, 0x28, 0x2c, 0x1c -> bytes.skip(4);
      case 0x07, 0x14, 0x20, 0x24 -> bytes.skip(8);
      case 0x1e -> bytes.skip(16);
      case 0x01 -> bytes.skip(unit.addressBytes());
      case 0x0d, 0x0f, 0x15, 0x1a, 0x1b, 0x22, 0x23 -> bytes.uleb();
      case 0x08 -> bytes.skipString();
      case 0x0e, 0x1f, 0x17, 0x1d, 0x1f20, 0x1f21 -> bytes.skip(unit.offsetBytes());
      case 0x10 -> bytes.skip(unit.version() == 2 ? unit.addressBytes() : unit.offsetBytes());
      case 0x0a, 0x03, 0x04, 0x09, 0x18 -> bytes.skip(blockLength(actual));
      default ->
          throw new IndexOutOfBoundsException("a form not known: 0x" + Integer.toHexString(actual));
    }
  }

  /// Where the entry after this one and all its children starts. The fields keep the last entry
  /// that had to be read for it.
  int afterChildren() {
    if (!hasChildren) {
      return next;
    }
    if (sibling != ABSENT) {
      long inUnit = sibling - unit.offset();
      if (inUnit < next || inUnit > unit.data().length) {
        throw new IndexOutOfBoundsException("a sibling that lies before its entry");
      }
      return (int) inUnit;
    }
    int depth = 1;
    int at = next;
    while (depth > 0) {
      read(at);
      if (tag == 0) {
        depth--;
        at = next;
      } else if (hasChildren && sibling != ABSENT && sibling - unit.offset() >= next) {
        at = (int) Math.min(unit.data().length, sibling - unit.offset());
      } else {
        at = next;
        depth += hasChildren ? 1 : 0;
      }
    }
    return at;
  }
}
