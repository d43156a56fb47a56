package org.vmcheck.testing;

import java.nio.charset.StandardCharsets;

/// ELF note records, back to back.
final class Notes {
  private final boolean bigEndian;
  private final ByteWriter area;

  Notes(boolean bigEndian) {
    this.bigEndian = bigEndian;
    this.area = new ByteWriter(bigEndian);
  }

  boolean isEmpty() {
    return area.size() == 0;
  }

  /// @return where the descriptor starts in the area
  int add(String name, int type, byte[] desc) {
    int at = area.size();
    byte[] owner = (name + "\0").getBytes(StandardCharsets.ISO_8859_1);
    int descAt = at + 12 + (owner.length + 3 & ~3);
    area.u32(at, owner.length).u32(at + 4, desc.length).u32(at + 8, type);
    area.put(at + 12, owner).put(descAt, desc).extendTo(descAt + (desc.length + 3 & ~3));
    return descAt;
  }

  boolean isBigEndian() {
    return bigEndian;
  }

  byte[] toBytes() {
    return area.toBytes();
  }
}
