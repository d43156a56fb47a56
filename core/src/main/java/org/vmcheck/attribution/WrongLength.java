package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.slab.Freelist;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabLayout;
import org.vmcheck.slab.SlabMemory;
import org.vmcheck.slab.Words;

/// A list that ends well and has another length than the slab's counters say: which word of it is
/// wrong, so that the counters are right after all.
///
/// @param isListed whether some list keeps the slab: a full slab is on none
/// @param held objects of the slab that a CPU's list or a sheaf holds: counted as in use, not lost
record WrongLength(boolean isListed, BitSet held) {
  private static final int RED_INACTIVE = 0xbb;

  /// A chain of lost objects shorter than this may be what the last allocations left behind.
  private static final int MIN_TELLING_CHAIN = 2;

  /// @return empty if no word can be told to be the bad one
  Optional<Diagnosis> ask(BrokenList list) {
    int free = list.free();
    int length = list.list().length();
    if (!list.list().isClosed() || free < 0 || length == free) {
      return Optional.empty();
    }
    if (length > free) {
      return free == 0 && !isListed ? Optional.of(headOfFull(list)) : Optional.empty();
    }
    return headAstray(list).or(() -> tail(list)).or(() -> freedTwiceAtOnce(list));
  }

  /// The head of a slab that is full by its counters and by its place.
  private static Diagnosis headOfFull(BrokenList list) {
    BadWord head = list.head();
    return new Diagnosis(
        // Any power of two is one bit away from zero, and an address that high up is none.
        Long.bitCount(head.raw()) == 1 && head.raw() >>> 32 != 0
            ? Cause.BIT_FLIP
            : Cause.METADATA_OVERWRITTEN,
        head,
        new Evidence.WhatIf(
            "the head empty",
            "with an empty freelist the slab is full, as its counters and its place on no list"
                + " say"),
        list.chain(
            head,
            "the head leads to %s, which were handed out"
                .formatted(Words.plural(list.list().length(), "object", "objects"))),
        list.word(head));
  }

  /// The head skips objects: from the only one to which nothing leads, the list is as long as the
  /// counters say.
  private Optional<Diagnosis> headAstray(BrokenList list) {
    if (list.free() < MIN_TELLING_CHAIN) {
      return Optional.empty();
    }
    LostObjects lost = list.lost(held);
    long first = -1;
    for (int i = 0; i < list.slab().walkableObjects(); i++) {
      if (!list.isMet(i) && !held.get(i) && !lost.isLedTo(i)) {
        Freelist from = list.rest(list.slab().object(i));
        if (from.isClosed() && from.length() == list.free()) {
          if (first != -1) {
            return Optional.empty();
          }
          first = list.slab().object(i);
        }
      }
    }
    if (first == -1) {
      return Optional.empty();
    }
    return Optional.of(
        new Diagnosis(Cause.METADATA_OVERWRITTEN, list.head(), tooShort(list, list.head(), first)));
  }

  /// The last object ends the list too early: behind it a chain is lost that is as long as what is
  /// missing.
  private Optional<Diagnosis> tail(BrokenList list) {
    int missing = list.free() - list.list().length();
    if (list.list().length() == 0) {
      return Optional.empty();
    }
    BadWord last = list.wordOf(list.order().getLast());
    long behind = list.lost(held).only(missing);
    boolean isTelling = missing >= MIN_TELLING_CHAIN && LostObjects.isObject(behind);
    boolean isMarked = markedFree(list) == missing;
    if (!isTelling && !isMarked) {
      return Optional.empty();
    }
    List<Evidence> evidence = new ArrayList<>();
    if (LostObjects.isObject(behind)) {
      evidence.addAll(List.of(tooShort(list, last, behind)));
    } else {
      evidence.add(tooFew(list));
      evidence.add(list.word(last));
    }
    if (isMarked) {
      evidence.add(
          new Evidence.CountMismatch(
              "free objects on no list",
              0,
              missing,
              "%s on no list and %s the red zones of free ones: as many as are missing"
                  .formatted(
                      Words.plural(missing, "object is", "objects are"),
                      missing == 1 ? "has" : "have")));
    }
    if (last.raw() == 0) {
      return Optional.of(
          new WipedPage()
              .ask(list, last)
              .or(() -> new ZeroedObject().ask(list, last))
              .orElseGet(() -> new Diagnosis(Cause.USE_AFTER_FREE_WRITE, last))
              .withMore(evidence));
    }
    Optional<Flip> flip =
        LostObjects.isObject(behind)
            ? Flip.nearest(list, last, target -> target == behind)
            : Optional.empty();
    if (flip.isPresent()) {
      return Optional.of(
          new Diagnosis(Cause.BIT_FLIP, last, flip.get().evidence(list, last)).withMore(evidence));
    }
    // Before a debug cache refuses the second free, slab_free_freelist_hook has ended the list at
    // the object.
    return Optional.of(
        new Diagnosis(
                Cause.DOUBLE_FREE,
                last,
                list.word(
                    last,
                    "the free pointer of object %d, at 0x%x, is exactly the null pointer as the allocator encodes it: it ended the list there when the object was freed once more"
                        .formatted(last.holder(), last.slot())))
            .withMore(evidence));
  }

  private static Evidence[] tooShort(BrokenList list, BadWord word, long target) {
    return new Evidence[] {
      new Evidence.WhatIf(
          "the lost objects on the list again",
          "if %s led to %s, to which nothing leads, the freelist would close with the length that the slab's counters say"
              .formatted(word.name(), list.targetWords(target))),
      tooFew(list),
      list.word(word)
    };
  }

  private static Evidence tooFew(BrokenList list) {
    return new Evidence.CountMismatch(
        "free objects",
        list.free(),
        list.list().length(),
        "the list ends after %s, the counters say that %d are free"
            .formatted(Words.plural(list.list().length(), "object", "objects"), list.free()));
  }

  /// Objects of a debug cache that are on no list and whose right red zones are those of free ones.
  private int markedFree(BrokenList list) {
    Slab slab = list.slab();
    boolean hasZones =
        slab.cache().inuse() > slab.cache().objectSize()
            && SlabCaches.of(list.kernel())
                .layout()
                .map(SlabLayout::flags)
                .filter(flags -> flags.hasRedZones(slab.cache()))
                .isPresent();
    int marked = 0;
    for (int i = 0; hasZones && i < slab.walkableObjects(); i++) {
      marked += !list.isMet(i) && isMarkedFree(list.memory(), slab, i) ? 1 : 0;
    }
    return marked;
  }

  private static boolean isMarkedFree(SlabMemory memory, Slab slab, int index) {
    long object = slab.object(index);
    for (long at = object + slab.cache().objectSize(); at < object + slab.cache().inuse(); at++) {
      if (!(memory.page(at) instanceof PageRead.Present) || memory.u8(at) != RED_INACTIVE) {
        return false;
      }
    }
    return true;
  }

  /// One object was freed twice in one go, with others between: build_detached_freelist links o1,
  /// o3, o1 of one slab to o1 → o3 → o1, and `__slab_free` then writes the last one's pointer,
  /// which is the first one's, so that no circle is left. The others are on no list and lead back
  /// to it, and `inuse` was lowered for one free too many.
  private Optional<Diagnosis> freedTwiceAtOnce(BrokenList list) {
    int missing = list.free() - list.list().length();
    if (missing < 2) {
      return Optional.empty();
    }
    // Elsewhere objects in use keep old free pointers: then such a pointer shows nothing.
    int leading = 0;
    int entry = -1;
    int last = -1;
    BitSet next = new BitSet();
    for (int i = 0; i < list.slab().walkableObjects(); i++) {
      if (list.isMet(i) || held.get(i) || !list.memory().isReadable(list.slab().slot(i))) {
        continue;
      }
      long pointer = list.wordOf(i).decoded();
      int target = pointer == 0 ? -1 : list.slab().index(pointer);
      if (pointer != 0 && target < 0) {
        continue;
      }
      leading++;
      if (target < 0) {
        return Optional.empty();
      }
      if (list.isMet(target)) {
        if (last >= 0) {
          return Optional.empty();
        }
        last = i;
        entry = target;
      } else {
        next.set(target);
      }
    }
    if (last < 0 || leading != missing - 1 || next.cardinality() != missing - 2) {
      return Optional.empty();
    }
    BadWord word = list.wordOf(entry);
    BadWord back = list.wordOf(last);
    return Optional.of(
        new Diagnosis(
            Cause.DOUBLE_FREE,
            word,
            list.word(
                back,
                "object %d is on no list, and its free pointer at 0x%x, 0x%016x, leads to object %d, which is on the list: only the allocator writes such a word"
                    .formatted(last, back.slot(), back.raw(), entry)),
            new Evidence.CountMismatch(
                "free objects",
                list.free(),
                list.list().length(),
                "the list has %s and the counters say that %d are free: %s on no list, and object %d was counted twice"
                    .formatted(
                        Words.plural(list.list().length(), "object", "objects"),
                        list.free(),
                        Words.plural(missing - 1, "free object is", "free objects are"),
                        entry)),
            list.word(
                word,
                "the free pointer of object %d, at 0x%x, is 0x%016x: the second free of the same go wrote it"
                    .formatted(entry, word.slot(), word.raw()))));
  }
}
