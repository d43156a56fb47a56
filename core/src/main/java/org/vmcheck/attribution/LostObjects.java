package org.vmcheck.attribution;

import java.util.BitSet;
import org.vmcheck.slab.Freelist;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabMemory;

/// The objects of a slab that no list meets, and where their slots lead: behind a break lies the
/// rest of the list. An allocated object keeps its last free pointer until its owner writes there,
/// so a chain proves something only by its length, against the slab's counters.
final class LostObjects {
  private static final int ELSEWHERE = -2;
  private static final int END = -1;

  private final Slab slab;

  /// For each object: the next one, [#END], or [#ELSEWHERE]; the last for objects that were met.
  private final int[] next;

  private final boolean[] isLedTo;

  /// @param met knows which objects are on the lists as far as these go
  /// @param held objects that are elsewhere and not lost
  LostObjects(
      Slab slab, FreelistDecoder decoder, SlabMemory memory, Freelist.Walker met, BitSet held) {
    this.slab = slab;
    int objects = slab.walkableObjects();
    next = new int[objects];
    isLedTo = new boolean[objects];
    for (int i = 0; i < objects; i++) {
      next[i] = ELSEWHERE;
      long slot = slab.slot(i);
      if (met.isMet(i) || held.get(i) || !memory.isReadable(slot)) {
        continue;
      }
      long pointer = decoder.decode(memory.word(slot), slot, slab.cache().random());
      int target = pointer == 0 ? END : slab.index(pointer);
      if (pointer == 0) {
        next[i] = END;
      } else if (target >= 0 && !met.isMet(target)) {
        next[i] = target;
        isLedTo[target] = true;
      }
    }
  }

  /// Whether another lost object leads to this one.
  boolean isLedTo(int index) {
    return isLedTo[index];
  }

  /// Whether [#only] found a chain; addresses of the kernel are negative numbers here.
  static boolean isObject(long found) {
    return found != 0 && found != -1;
  }

  /// How many objects the chain from an object has; -1 if it does not end well.
  int length(int first) {
    int length = 0;
    for (int at = first; at != END; at = next[at]) {
      if (at == ELSEWHERE || length > next.length) {
        return -1;
      }
      length++;
    }
    return length;
  }

  /// The address of the object with which the only chain of that length begins to which no other
  /// lost object leads; 0 if the length is 0, -1 if there is no such chain or more than one.
  long only(int length) {
    if (length <= 0) {
      return length == 0 ? 0 : -1;
    }
    long found = -1;
    for (int i = 0; i < next.length; i++) {
      if (next[i] != ELSEWHERE && !isLedTo[i] && length(i) == length) {
        if (found != -1) {
          return -1;
        }
        found = slab.object(i);
      }
    }
    return found;
  }
}
