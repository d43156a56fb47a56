package org.vmcheck.debuginfo;

import org.vmcheck.io.ByteView;

/// Words behind the prefix of a record, by kind: those known here, and those that the blob itself
/// describes (7.1 on), so that kinds of the future can be skipped.
final class BtfRecordSizes {
  private final int[] fixed = new int[32];
  private final int[] each = new int[32];

  BtfRecordSizes(ByteView layout) {
    for (int kind = 0; kind < 32; kind++) {
      fixed[kind] = -1;
      long at = 4L * kind;
      if (layout != null
          && at + 4 <= layout.size()
          && (layout.u8(at) & 3) == 0
          && (layout.u8(at + 1) & 3) == 0) {
        fixed[kind] = layout.u8(at) >> 2;
        each[kind] = layout.u8(at + 1) >> 2;
      }
    }
    fixed[0] = -1;
    set(
        0,
        0,
        BtfKind.PTR,
        BtfKind.FWD,
        BtfKind.TYPEDEF,
        BtfKind.VOLATILE,
        BtfKind.CONST,
        BtfKind.RESTRICT);
    set(0, 0, BtfKind.FUNC, BtfKind.FLOAT, BtfKind.TYPE_TAG);
    set(1, 0, BtfKind.INT, BtfKind.VAR, BtfKind.DECL_TAG);
    set(3, 0, BtfKind.ARRAY);
    set(0, 3, BtfKind.STRUCT, BtfKind.UNION, BtfKind.DATASEC, BtfKind.ENUM64);
    set(0, 2, BtfKind.ENUM, BtfKind.FUNC_PROTO);
  }

  private void set(int fixedWords, int wordsEach, int... kinds) {
    for (int kind : kinds) {
      fixed[kind] = fixedWords;
      each[kind] = wordsEach;
    }
  }

  /// Words that every record of a kind has; -1 if the kind is not known.
  int fixed(int kind) {
    return fixed[kind];
  }

  /// Words for each of the things that its `vlen` counts.
  int each(int kind) {
    return each[kind];
  }
}
