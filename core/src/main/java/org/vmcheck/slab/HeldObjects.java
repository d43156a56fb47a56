package org.vmcheck.slab;

import java.util.Arrays;

/// Objects that are free for their users and that something beside their slab holds, a sheaf or an
/// array cache: pointers in ascending order, each with the number of its holder.
final class HeldObjects {
  private long[] objects = new long[0];
  private int[] holders = new int[0];
  private int count;

  /// Takes one more; [#sort] comes after the last.
  void add(long object, int holder) {
    if (count == objects.length) {
      int capacity = Math.max(1024, count * 2);
      objects = Arrays.copyOf(objects, capacity);
      holders = Arrays.copyOf(holders, capacity);
    }
    objects[count] = object;
    holders[count++] = holder;
  }

  /// Puts the pointers in order; those of one object in the order in which they were added.
  void sort() {
    long[] given = objects;
    int[] givenHolders = holders;
    objects = Arrays.copyOf(given, count);
    Arrays.sort(objects);
    holders = new int[count];
    Arrays.fill(holders, -1);
    for (int i = 0; i < count; i++) {
      int at = from(given[i]);
      while (holders[at] >= 0) {
        at++;
      }
      holders[at] = givenHolders[i];
    }
  }

  int count() {
    return count;
  }

  long object(int entry) {
    return objects[entry];
  }

  int holder(int entry) {
    return holders[entry];
  }

  /// Whether the entry before holds the same object.
  boolean isSameAsBefore(int entry) {
    return entry > 0 && objects[entry - 1] == objects[entry];
  }

  /// The first entry whose object is not below an address; [#count] if there is none. Only after
  /// [#sort].
  int from(long address) {
    int low = 0;
    int high = objects.length;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (objects[middle] < address) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
