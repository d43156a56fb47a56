package org.vmcheck.attribution;

import java.util.Optional;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;

/// One bit or two of a free pointer are flipped: 2e-16 and 7e-15 for 65 objects by chance.
///
/// @param mustClose whether the list must close with the bits put back; else one bit is enough
record FlippedPointer(boolean mustClose) implements ListHypothesis {
  @Override
  public Optional<Diagnosis> ask(BrokenList list, BadWord word) {
    Optional<Flip> nearest = Flip.nearest(list, word);
    if (word.isHead() || nearest.isEmpty()) {
      return Optional.empty();
    }
    Flip flip = nearest.get();
    if (!mustClose) {
      return flip.isOneBit()
          ? Optional.of(new Diagnosis(Cause.BIT_FLIP, word, flip.evidence(list, word)))
          : Optional.empty();
    }
    if (!list.closes(flip.target())) {
      return Optional.empty();
    }
    Evidence whatIf =
        new Evidence.WhatIf(
            "flipped bits put back",
            "with %s flipped back the freelist would close%s"
                .formatted(
                    flip.itOrThem(),
                    list.isOfCpu() ? "" : ", with the length that the slab's counters say"));
    Evidence bits = flip.evidence(list, word);
    if (flip.isSetInBothHalves(word.raw())) {
      return Optional.of(
          new Diagnosis(
              Cause.USE_AFTER_FREE_WRITE,
              word,
              whatIf,
              bits,
              list.word(
                  word,
                  "the same bit is set in both halves of the word at 0x%x: two stores of 4 bytes that set a bit do that, and no memory module does"
                      .formatted(word.slot()))));
    }
    return Optional.of(new Diagnosis(Cause.BIT_FLIP, word, whatIf, bits));
  }
}
