package org.vmcheck.archive;

/// One part of the work, for many machines: the same on each of them.
///
/// @param index 0 to `count - 1`
public record Shard(int index, int count) {
  public static final Shard WHOLE = new Shard(0, 1);

  public Shard {
    if (count < 1 || index < 0 || index >= count) {
      throw new IllegalArgumentException("shard " + index + " of " + count);
    }
  }

  boolean has(FileUri location) {
    return location.shard(count) == index;
  }
}
