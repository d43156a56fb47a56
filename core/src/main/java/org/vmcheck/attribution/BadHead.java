package org.vmcheck.attribution;

import java.util.List;
import java.util.Optional;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.slab.Slab;

/// A head in `kmem_cache_cpu` or in the slab's descriptor: a plain pointer. Addresses of objects
/// differ in few bits, so that a wrong head is often one bit off by chance: that is a flipped bit
/// only where the head leads out of the slab, and to no object of the same cache.
final class BadHead implements ListHypothesis {
  @Override
  public Optional<Diagnosis> ask(BrokenList list, BadWord word) {
    if (!word.isHead()) {
      return Optional.empty();
    }
    Optional<Flip> flip = Flip.nearest(list, word, list::closes);
    if (flip.isPresent() && isTelling(list, word, flip.get())) {
      return Optional.of(
          new Diagnosis(
              Cause.BIT_FLIP,
              word,
              new Evidence.WhatIf(
                  "flipped bits put back",
                  "with %s flipped back the freelist would close".formatted(flip.get().itOrThem())),
              flip.get().evidence(list, word)));
    }
    Diagnosis other =
        new CrosslinkedPointer()
            .ask(list, word)
            .orElseGet(() -> new Diagnosis(Cause.METADATA_OVERWRITTEN, word));
    return Optional.of(
        flip.map(
                near ->
                    other
                        .withMore(List.of(whatIf(list, near)))
                        .withAgainst(near.evidence(list, word)))
            .orElse(other));
  }

  private static Evidence whatIf(BrokenList list, Flip near) {
    return new Evidence.WhatIf(
        "the head led elsewhere",
        "if the head led to %s, the freelist would close"
            .formatted(list.targetWords(near.target())));
  }

  private static boolean isTelling(BrokenList list, BadWord word, Flip flip) {
    Slab slab = list.slab();
    long raw = word.raw();
    boolean isInSlab = raw >= slab.base() && raw < slab.base() + slab.byteCount();
    // Any power of two is one bit away from an empty list: a small number is no flipped bit.
    boolean isSmall = flip.target() == 0 && raw > 0 && raw < 1L << 32;
    return !isInSlab
        && !isSmall
        && CrosslinkedPointer.owner(list, raw)
            .filter(owner -> owner.address() == list.cache().address())
            .isEmpty();
  }
}
