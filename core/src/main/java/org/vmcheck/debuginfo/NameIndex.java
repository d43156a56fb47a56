package org.vmcheck.debuginfo;

import java.util.function.IntConsumer;

/// Names found by their text. Never changed once it is made.
final class NameIndex {
  private final NamePool names;

  /// Open-addressing table: hash of the name → index + 1.
  private final int[] slots;

  NameIndex(NamePool names) {
    this.names = names;
    int count = names.count();
    int capacity = Integer.highestOneBit(Math.max(16, count)) * 2;
    if (capacity - capacity / 4 < count) {
      capacity *= 2;
    }
    int[] table = new int[capacity];
    for (int i = 0; i < count; i++) {
      insert(table, names.hash(i), i + 1);
    }
    this.slots = table;
  }

  /// A method for one entry, not a loop over all: it is compiled after a few hundred of them.
  private static void insert(int[] table, int hash, int entry) {
    int mask = table.length - 1;
    int slot = spread(hash) & mask;
    while (table[slot] != 0) {
      slot = slot + 1 & mask;
    }
    table[slot] = entry;
  }

  private static int spread(int hash) {
    return hash ^ hash >>> 15;
  }

  NamePool names() {
    return names;
  }

  /// Hands out the index of every entry of that name.
  void forEach(byte[] name, IntConsumer sink) {
    int slot = spread(NamePool.hash(name, 0, name.length)) & slots.length - 1;
    for (; slots[slot] != 0; slot = slot + 1 & slots.length - 1) {
      if (names.isEqual(slots[slot] - 1, name)) {
        sink.accept(slots[slot] - 1);
      }
    }
  }
}
