package org.vmcheck.debuginfo;

import java.util.Arrays;

/// Names one after the other in one array.
final class PlainNames implements NamePool {
  private final byte[] bytes;

  /// Start of each name in `bytes`, and one past the last.
  private final int[] starts;

  private final byte[] types;

  /// @param types the letters of nm
  PlainNames(byte[] bytes, int[] starts, byte[] types) {
    this.bytes = bytes;
    this.starts = starts;
    this.types = types;
  }

  @Override
  public int count() {
    return types.length;
  }

  @Override
  public int hash(int index) {
    return NamePool.hash(bytes, starts[index], starts[index + 1]);
  }

  @Override
  public boolean isEqual(int index, byte[] name) {
    return Arrays.equals(bytes, starts[index], starts[index + 1], name, 0, name.length);
  }

  @Override
  public byte[] name(int index) {
    return Arrays.copyOfRange(bytes, starts[index], starts[index + 1]);
  }

  @Override
  public char type(int index) {
    return (char) (types[index] & 0xff);
  }
}
