package org.vmcheck.debuginfo;

import java.util.function.IntConsumer;
import org.vmcheck.io.Cancellation;

/// Names found by their text. Never changed once it is made.
final class NameIndex {
  private final NamePool names;

  /// Hash of the name → index + 1 of the first such entry.
  private final int[] slots;

  /// Index + 1 of the next entry whose name falls into the same slot: however many do, and whoever
  /// chose them, each is put in with one step.
  private final int[] next;

  NameIndex(NamePool names) {
    this.names = names;
    int count = names.count();
    this.slots = new int[Integer.highestOneBit(Math.max(16, count)) * 2];
    this.next = new int[count];
    // The last first: each slot then begins with the entry that the table has first.
    for (int i = count - 1; i >= 0; i--) {
      insert(names.hash(i), i);
    }
  }

  /// A method for one entry, not a loop over all: it is compiled after a few hundred of them.
  private void insert(int hash, int entry) {
    int slot = spread(hash) & slots.length - 1;
    next[entry] = slots[slot];
    slots[slot] = entry + 1;
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
    for (int entry = slots[slot]; entry != 0; entry = next[entry - 1]) {
      Cancellation.check();
      if (names.isEqual(entry - 1, name)) {
        sink.accept(entry - 1);
      }
    }
  }
}
