package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.slab.Freelist;
import org.vmcheck.slab.Words;

/// Lists that meet an object twice: a second free writes the free pointer of the object that is
/// freed, not of the one that led to it, so that word is to blame. One flipped bit does the same
/// and is not counted as a free.
final class FreedTwice {
  private FreedTwice() {}

  /// A list that comes back to an object of its own.
  static Diagnosis inCircle(BrokenList list, BadWord word, Freelist.End.Cycle end) {
    List<Evidence> evidence = new ArrayList<>();
    evidence.add(
        list.chain(
            word,
            "after %s the list comes back to object %d, which it met at step %d"
                .formatted(
                    Words.plural(list.list().length(), "object", "objects"),
                    end.target(),
                    end.firstStep())));
    evidence.add(leading(list, word));
    if (list.isOfCpu()) {
      Optional<Evidence> doubt =
          Optional.of(word)
              .filter(one -> !one.isHead())
              .flatMap(one -> Flip.nearest(list, one))
              .filter(flip -> flip.isOneBit() && list.closes(flip.target()))
              .map(flip -> flip.evidence(list, word));
      Diagnosis blamed = blamed(list, Cause.DOUBLE_FREE, end.target(), word, evidence);
      return doubt.map(blamed::withAgainst).orElse(blamed);
    }
    Optional<Diagnosis> flipped = flipped(list, word);
    if (flipped.isPresent()) {
      return flipped.get().withMore(evidence);
    }
    evidence.add(
        new Evidence.CountMismatch(
            "free objects",
            list.free(),
            list.list().length(),
            "%d different objects are on the list, the counters say that %d are free"
                .formatted(list.list().length(), list.free())));
    return blamed(list, Cause.DOUBLE_FREE, end.target(), word, evidence);
  }

  /// A list that leads to an object that is on the CPU's list.
  static Diagnosis onTwoLists(BrokenList list, BadWord word, int target) {
    List<Evidence> evidence = new ArrayList<>();
    evidence.add(
        list.chain(
            word,
            "the list leads to object %d, which is on the CPU's freelist already"
                .formatted(target)));
    evidence.add(leading(list, word));
    return flipped(list, word)
        .map(flip -> flip.withMore(evidence))
        .orElseGet(() -> blamed(list, Cause.FREELIST_CROSSLINKED, target, word, evidence));
  }

  /// Whether one bit put back makes the list close with the length that the counters say: then no
  /// free happened twice, for a second free is counted.
  private static Optional<Diagnosis> flipped(BrokenList list, BadWord word) {
    return word.isHead() || list.isOfCpu()
        ? Optional.empty()
        : Flip.nearest(list, word)
            .filter(flip -> flip.isOneBit() && list.closes(flip.target()))
            .map(
                flip ->
                    new Diagnosis(
                        Cause.BIT_FLIP,
                        word,
                        new Evidence.WhatIf(
                            "flipped bit put back",
                            "with the bit flipped back the freelist would close with the right"
                                + " length"),
                        flip.evidence(list, word)));
  }

  private static Diagnosis blamed(
      BrokenList list, Cause cause, int target, BadWord found, List<Evidence> evidence) {
    if (!list.memory().isReadable(list.slab().slot(target))) {
      return new Diagnosis(cause, found, evidence, List.of());
    }
    BadWord word = list.wordOf(target);
    int next = list.slab().index(word.decoded());
    evidence.add(
        list.word(
            word,
            "the free pointer of object %d, at 0x%x, is 0x%016x and leads to %s"
                .formatted(
                    target,
                    word.slot(),
                    word.raw(),
                    word.decoded() == 0
                        ? "the list's end"
                        : next >= 0 ? "object " + next : "0x%x".formatted(word.decoded()))));
    return new Diagnosis(cause, word, evidence, List.of());
  }

  /// The word that leads to an object for the second time.
  private static Evidence leading(BrokenList list, BadWord word) {
    return list.word(
        word,
        "the pointer to it is %s, 0x%016x at 0x%x".formatted(word.name(), word.raw(), word.slot()));
  }
}
