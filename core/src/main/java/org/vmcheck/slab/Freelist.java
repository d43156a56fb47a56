package org.vmcheck.slab;

import java.util.Arrays;
import java.util.List;
import org.vmcheck.dump.PageRead;

/// The result of walking one freelist: how many good links, and how it ended.
///
/// @param length objects met before the end
/// @param end why the walk stopped
public record Freelist(int length, End end) {
  /// Stands for the list's head where an object's index is expected.
  public static final int HEAD = -1;

  /// How a freelist ended.
  public sealed interface End {
    /// Address of the word at which the list ended; 0 for one that is whole.
    default long slot() {
      return 0;
    }

    /// With a null pointer.
    record Closed() implements End {}

    /// With a pointer that is no object of the slab.
    ///
    /// @param holder index of the object whose slot holds it, [#HEAD] for the list's head
    record BadPointer(int holder, long slot, long raw, long decoded) implements End {}

    /// With a pointer to an object met before.
    ///
    /// @param target index of that object
    /// @param firstStep at which step it was met
    record Cycle(int holder, long slot, long raw, long decoded, int target, int firstStep)
        implements End {}

    /// With a pointer to an object that another list of the slab holds.
    record OnOtherList(int holder, long slot, long raw, long decoded, int target) implements End {}

    /// At an object whose slot cannot be read.
    record Unreadable(int holder, long slot, PageRead why) implements End {}
  }

  public boolean isClosed() {
    return end instanceof End.Closed;
  }

  /// What the slots of objects on no list are.
  ///
  /// @param read slots that were read
  /// @param unread slots whose page cannot be read
  /// @param leading slots read that hold the free pointer of an object of the slab or a list's end
  public record Unmet(int read, int unread, int leading) {}

  /// Walks freelists with scratch memory of its own; one instance serves one thread.
  public static final class Walker {
    private final FreelistDecoder decoder;
    private final SlabMemory memory;

    /// Step at which each object was met, from 1; 0 if not met.
    private int[] metAt = new int[64];

    /// Objects of the slab: what stands behind them in [#metAt] is another slab's.
    private int objects;

    /// Objects met by the walks since the last [#start].
    private int met;

    public Walker(FreelistDecoder decoder, SlabMemory memory) {
      this.decoder = decoder;
      this.memory = memory;
    }

    /// Points at a slab and forgets what was met before.
    public void start(Slab slab) {
      memory.set(slab);
      objects = slab.walkableObjects();
      if (metAt.length < objects) {
        metAt = new int[objects];
      } else {
        Arrays.fill(metAt, 0, objects, 0);
      }
      met = 0;
    }

    /// How many objects the walks since [#start] met.
    public int met() {
      return met;
    }

    /// The objects that the last walk met, in list order.
    public List<Integer> lastMet(Freelist list) {
      Integer[] order = new Integer[list.length()];
      int before = met - list.length();
      for (int i = 0; i < objects; i++) {
        if (metAt[i] > before) {
          order[metAt[i] - 1 - before] = i;
        }
      }
      return List.of(order);
    }

    /// Whether some walk since [#start] met the object.
    public boolean isMet(int index) {
      return metAt[index] != 0;
    }

    /// Reads the slots of the objects that no walk since [#start] met: those handed out, and those
    /// lost behind a break. An object keeps its last free pointer until its owner writes there, so
    /// what such a word says is a hint and never a proof.
    public Unmet readUnmet(Slab slab) {
      long random = slab.cache().random();
      int objects = slab.walkableObjects();
      int size = slab.cache().size();
      int read = 0;
      int unread = 0;
      int leading = 0;
      long slot = slab.slot(0) - size;
      for (int i = 0; i < objects; i++) {
        slot += size;
        if (metAt[i] != 0) {
          continue;
        }
        if (memory.isReadable(slot)) {
          long pointer = decoder.decode(memory.word(slot), slot, random);
          leading += pointer == 0 || slab.index(pointer) >= 0 ? 1 : 0;
          read++;
        } else {
          unread++;
        }
      }
      return new Unmet(read, unread, leading);
    }

    /// Follows one list. A second list of the same slab must not meet objects of the first.
    ///
    /// @param head first object, 0 if the list is empty
    /// @param headSlot address of the word that holds it
    public Freelist walk(Slab slab, long head, long headSlot) {
      int firstOfThisList = met;
      long random = slab.cache().random();
      int holder = HEAD;
      long slot = headSlot;
      long raw = head;
      long pointer = head;
      while (pointer != 0) {
        int index = slab.index(pointer);
        if (index < 0) {
          return result(firstOfThisList, new End.BadPointer(holder, slot, raw, pointer));
        }
        if (metAt[index] != 0) {
          int step = metAt[index] - 1 - firstOfThisList;
          return result(
              firstOfThisList,
              step >= 0
                  ? new End.Cycle(holder, slot, raw, pointer, index, step)
                  : new End.OnOtherList(holder, slot, raw, pointer, index));
        }
        metAt[index] = ++met;
        holder = index;
        slot = slab.slot(index);
        if (!memory.isReadable(slot)) {
          return result(firstOfThisList, new End.Unreadable(holder, slot, memory.page(slot)));
        }
        raw = memory.word(slot);
        pointer = decoder.decode(raw, slot, random);
      }
      return result(firstOfThisList, new End.Closed());
    }

    private Freelist result(int firstOfThisList, End end) {
      return new Freelist(met - firstOfThisList, end);
    }
  }
}
