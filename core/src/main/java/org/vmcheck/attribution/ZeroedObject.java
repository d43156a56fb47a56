package org.vmcheck.attribution;

import java.util.Optional;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.slab.Slab;

/// The object is all zero although free objects of this slab usually keep old bytes.
final class ZeroedObject implements ListHypothesis {
  private static final int WORD = 8;

  @Override
  public Optional<Diagnosis> ask(BrokenList list, BadWord word) {
    if (!isZero(list, word) || share(list, word).isMost()) {
      return Optional.empty();
    }
    return Optional.of(new Diagnosis(Cause.OBJECT_ZEROED, word, evidence(list, word)));
  }

  /// What the zeros of the object say where others of the slab are zero too: they were not written.
  static Optional<Evidence> usual(BrokenList list, BadWord word) {
    if (!isZero(list, word)) {
      return Optional.empty();
    }
    Share share = share(list, word);
    return Optional.of(
        new Evidence.CountMismatch(
            "zeroed free objects",
            0,
            share.zero,
            "the object at 0x%x is zero, and %d of the %d other objects of this slab are too, but for their free pointers"
                .formatted(list.slab().object(word.holder()), share.zero, share.others)));
  }

  private static Evidence evidence(BrokenList list, BadWord word) {
    long object = list.slab().object(word.holder());
    int length = list.cache().objectSize();
    return new Evidence.Run(
        object,
        list.physical(object),
        length,
        "00",
        "all %d bytes of the free object at 0x%x are zero".formatted(length, object));
  }

  private static boolean isZero(BrokenList list, BadWord word) {
    return !word.isHead()
        && word.raw() == 0
        && list.cache().objectSize() > WORD
        && isZero(list, word.holder());
  }

  /// How many of the other objects are zero too.
  private record Share(int zero, int others) {
    boolean isMost() {
      return zero * 2 > others;
    }
  }

  private static Share share(BrokenList list, BadWord word) {
    int zero = 0;
    int others = 0;
    for (int i = 0; i < list.slab().walkableObjects(); i++) {
      if (i != word.holder()) {
        others++;
        zero += isZero(list, i) ? 1 : 0;
      }
    }
    return new Share(zero, others);
  }

  /// Whether an object is zero everywhere but, perhaps, in its free pointer.
  private static boolean isZero(BrokenList list, int index) {
    Slab slab = list.slab();
    long slot = slab.slot(index);
    long object = slab.object(index);
    for (long at = object; at < object + slab.cache().objectSize(); at++) {
      boolean isInSlot = at >= slot && at < slot + WORD;
      if (!isInSlot
          && (!(list.memory().page(at) instanceof PageRead.Present) || list.memory().u8(at) != 0)) {
        return false;
      }
    }
    return true;
  }
}
