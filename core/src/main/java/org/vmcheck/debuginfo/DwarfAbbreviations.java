package org.vmcheck.debuginfo;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.MalformedFileException;

/// The abbreviation table of one unit: what the entries of each code are made of.
final class DwarfAbbreviations {
  /// Compilers use a few hundred in a unit; link-time optimisation some thousands.
  private static final int MAX_CODES = 1 << 20;

  private static final int MAX_BYTES = 1 << 20;
  private static final int MAX_ATTRIBUTES = 256;
  private static final int FORM_IMPLICIT_CONST = 0x21;

  /// Codes below this one stand in an array: compilers count from 1.
  private static final int IN_ARRAY = 4096;

  private DwarfAbbreviation[] byCode = new DwarfAbbreviation[128];
  private final Map<Integer, DwarfAbbreviation> others = new HashMap<>();

  /// Bytes of the table.
  private int byteCount;

  /// What entries of one code have: attributes and their forms, alternately; the values of implicit
  /// constants by the index of their attribute.
  static final class DwarfAbbreviation {
    final int tag;
    final boolean hasChildren;
    final int[] attributes;
    final int[] forms;
    final long[] implicit;

    private DwarfAbbreviation(
        int tag, boolean hasChildren, int[] attributes, int[] forms, long[] implicit) {
      this.tag = tag;
      this.hasChildren = hasChildren;
      this.attributes = attributes;
      this.forms = forms;
      this.implicit = implicit;
    }
  }

  private DwarfAbbreviations() {}

  /// @param lastCode the code after which reading may stop; all are read if it is -1
  static DwarfAbbreviations read(ByteView section, long offset, long lastCode)
      throws MalformedFileException {
    if (offset < 0 || offset >= section.size()) {
      throw section.malformed("offset", 0, "below " + section.size(), Long.toString(offset));
    }
    return read(section, offset, lastCode, 4096);
  }

  private static DwarfAbbreviations read(ByteView section, long offset, long lastCode, int most)
      throws MalformedFileException {
    DwarfAbbreviations table = new DwarfAbbreviations();
    int length = (int) Math.min(section.size() - offset, most);
    DwarfBytes bytes = new DwarfBytes(section.bytes(offset, length));
    try {
      while (bytes.at < length) {
        Cancellation.check();
        table.byteCount = bytes.at;
        long code = bytes.uleb();
        if (code == 0) {
          return table;
        }
        if (code < 0 || code > MAX_CODES) {
          throw section.malformed("code", offset + bytes.at, "at most " + MAX_CODES, "" + code);
        }
        table.put((int) code, one(bytes));
        if (code == lastCode) {
          return table;
        }
      }
    } catch (IndexOutOfBoundsException _) {
      // The table goes on behind the bytes that were copied, or has no end.
    }
    if (most < MAX_BYTES) {
      return read(section, offset, lastCode, most << 4);
    }
    throw section.malformed("table", offset, "an end (code 0)", "none within " + length + " bytes");
  }

  private static DwarfAbbreviation one(DwarfBytes bytes) {
    int tag = (int) bytes.uleb();
    boolean hasChildren = bytes.u8() != 0;
    int[] attributes = new int[8];
    int[] forms = new int[8];
    long[] implicit = null;
    int count = 0;
    while (true) {
      int attribute = (int) bytes.uleb();
      int form = (int) bytes.uleb();
      if (attribute == 0 && form == 0) {
        return new DwarfAbbreviation(
            tag,
            hasChildren,
            Arrays.copyOf(attributes, count),
            Arrays.copyOf(forms, count),
            implicit);
      }
      if (count == MAX_ATTRIBUTES) {
        throw new IndexOutOfBoundsException(count);
      }
      if (count == forms.length) {
        attributes = Arrays.copyOf(attributes, count * 2);
        forms = Arrays.copyOf(forms, count * 2);
        implicit = implicit == null ? null : Arrays.copyOf(implicit, count * 2);
      }
      attributes[count] = attribute;
      forms[count] = form;
      if (form == FORM_IMPLICIT_CONST) {
        implicit = implicit == null ? new long[forms.length] : implicit;
        implicit[count] = bytes.sleb();
      }
      count++;
    }
  }

  private void put(int code, DwarfAbbreviation abbreviation) {
    if (code >= IN_ARRAY) {
      others.put(code, abbreviation);
      return;
    }
    if (code >= byCode.length) {
      byCode = Arrays.copyOf(byCode, Math.max(byCode.length * 2, code + 1));
    }
    byCode[code] = abbreviation;
  }

  /// Null if the table has no such code.
  DwarfAbbreviation get(long code) {
    if (code >= IN_ARRAY) {
      return code > MAX_CODES ? null : others.get((int) code);
    }
    return code > 0 && code < byCode.length ? byCode[(int) code] : null;
  }

  /// Bytes of the section that were read for it.
  int byteCount() {
    return byteCount;
  }
}
