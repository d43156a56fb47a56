package org.vmcheck.debuginfo;

import java.util.Arrays;

/// Names that end with a NUL each, anywhere in one array, as ELF has them.
final class StringTableNames implements NamePool {
  private final byte[] bytes;
  private final int[] starts;
  private final byte[] types;

  /// @param bytes ends with a NUL
  /// @param starts start of each name
  /// @param types the letters of nm
  StringTableNames(byte[] bytes, int[] starts, byte[] types) {
    this.bytes = bytes;
    this.starts = starts;
    this.types = types;
  }

  @Override
  public int count() {
    return starts.length;
  }

  @Override
  public int hash(int index) {
    int hash = 0;
    for (int i = starts[index]; bytes[i] != 0; i++) {
      hash = HASH_FACTOR * hash + bytes[i];
    }
    return hash;
  }

  @Override
  public boolean isEqual(int index, byte[] name) {
    int from = starts[index];
    int to = from + name.length;
    return from < bytes.length - name.length
        && bytes[to] == 0
        && Arrays.equals(bytes, from, to, name, 0, name.length);
  }

  @Override
  public byte[] name(int index) {
    int end = starts[index];
    while (bytes[end] != 0) {
      end++;
    }
    return Arrays.copyOfRange(bytes, starts[index], end);
  }

  @Override
  public char type(int index) {
    return (char) (types[index] & 0xff);
  }
}
