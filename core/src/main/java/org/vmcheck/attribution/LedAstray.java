package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.slab.Freelist;

/// The word before the bad one is to blame: it led the list to an object that is not free, whose
/// bytes are its owner's. The slab's counters tell: without that object, and with the word led
/// elsewhere, the list closes with the right length. On a CPU's list, which nothing counts, this is
/// only said beside another answer.
final class LedAstray implements ListHypothesis {
  /// What is known of the word before.
  ///
  /// @param rest free objects that the counters still tell of, without the one at which the list
  ///   broke
  /// @param flip that leads the word to them; null if none does
  /// @param isFreeAsWell whether the object at which the list broke may be free all the same
  private record Before(BadWord word, LostObjects lost, int rest, Flip flip, boolean isFreeAsWell) {
    boolean isToBlame(BrokenList list) {
      return !isFreeAsWell || (isOneBit() && rest == 1 && !list.isOfCpu());
    }

    boolean isOneBit() {
      return flip != null && flip.isOneBit();
    }
  }

  @Override
  public Optional<Diagnosis> ask(BrokenList list, BadWord word) {
    Optional<Before> known = before(list, word).filter(before -> before.isToBlame(list));
    if (known.isEmpty()) {
      return Optional.empty();
    }
    Before before = known.get();
    long target = before.flip != null ? before.flip.target() : before.lost.only(before.rest);
    if (target == -1) {
      return Optional.empty();
    }
    BadWord bad = before.word;
    // A head is a plain pointer, and the objects of a slab differ in few bits: that is no mark.
    boolean isFlip = before.flip != null && !bad.isHead();
    List<Evidence> evidence = new ArrayList<>();
    List<Evidence> against = new ArrayList<>();
    evidence.add(
        new Evidence.WhatIf(
            "the word before led elsewhere",
            "if %s led to %s, the freelist would close with the length that the slab's counters say"
                .formatted(bad.name(), list.targetWords(target))));
    if (before.flip != null) {
      (isFlip ? evidence : against).add(before.flip.evidence(list, bad));
    }
    evidence.add(
        new Evidence.ChainBroken(
            list.fault().listName(),
            list.slab().object(word.holder()),
            word.decoded(),
            list.list().length(),
            "%s leads to object %d, which is not free: its word at 0x%x, 0x%016x, is its owner's and no free pointer"
                .formatted(bad.name(), word.holder(), word.slot(), word.raw())));
    evidence.add(list.word(bad));
    if (before.isFreeAsWell) {
      against.add(
          new Evidence.CountMismatch(
              "free objects",
              before.rest,
              before.rest,
              "if object %d is free its own word is to blame, and the length agrees too"
                  .formatted(word.holder())));
    }
    return Optional.of(
        new Diagnosis(
            isFlip
                ? Cause.BIT_FLIP
                : bad.isHead() ? Cause.METADATA_OVERWRITTEN : Cause.FREELIST_CROSSLINKED,
            bad,
            evidence,
            against));
  }

  /// The bit of the word before that would explain the break as well, where the object at which the
  /// list broke is free by the counters: it speaks against any other answer.
  static Optional<Evidence> doubt(BrokenList list, BadWord word) {
    return before(list, word)
        .filter(before -> !before.isToBlame(list) && before.isOneBit())
        .map(before -> before.flip.evidence(list, before.word));
  }

  private static Optional<Before> before(BrokenList list, BadWord word) {
    if (word.isHead()) {
      return Optional.empty();
    }
    int rest = list.free() - (list.list().length() - 1);
    Optional<Flip> own = Flip.nearest(list, word);
    if ((own.isPresent() && list.closes(own.get().target())) || (rest < 0 && !list.isOfCpu())) {
      return Optional.empty();
    }
    int holder = holderBefore(list, word.holder());
    boolean isHead = holder == Freelist.HEAD;
    if (isHead && list.isOfCpu()) {
      return Optional.empty();
    }
    LostObjects lost = list.lost();
    BadWord before =
        isHead
            ? new BadWord(holder, list.headSlot(), list.fault().head(), list.fault().head())
            : list.wordOf(holder);
    Flip flip = flip(list, lost, before, rest);
    boolean isFreeAsWell = list.isOfCpu() || rest == 1 || LostObjects.isObject(lost.only(rest - 1));
    return Optional.of(new Before(before, lost, rest, flip, isFreeAsWell));
  }

  /// The object before the one at which the list broke, in list order.
  private static int holderBefore(BrokenList list, int holder) {
    List<Integer> order = list.order();
    int at = order.indexOf(holder);
    return at > 0 ? order.get(at - 1) : Freelist.HEAD;
  }

  /// The fewest bits that lead a word to a chain of lost objects that ends well: of the right
  /// length where the slab's counters give one. Null if there is none.
  private static Flip flip(BrokenList list, LostObjects lost, BadWord word, int rest) {
    return Flip.nearest(
            list,
            word,
            target -> {
              int length = target == 0 ? 0 : lost.length(list.slab().index(target));
              return list.isOfCpu() ? length > 0 : length == rest;
            })
        .orElse(null);
  }
}
