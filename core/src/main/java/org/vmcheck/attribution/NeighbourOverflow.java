package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabLayout;
import org.vmcheck.slab.SlabMemory;

/// The bytes over the free pointer are the end of what was written from the object before on.
///
/// Three marks tell it: a short pattern that repeats from before the border to the pointer; text
/// that does, where the other objects have none over their borders; and, where free objects are
/// cleared, a cleared part that is not zero from its first byte on, with a left neighbour that is
/// written to its end. What the other objects hold at the same place is no mark.
final class NeighbourOverflow implements ListHypothesis {
  /// Bytes of the run that must lie before the object.
  private static final int MIN_IN_NEIGHBOUR = 4;

  /// Bytes before the border at which other objects are compared.
  private static final int COMPARED = 16;

  private static final int WORD = 8;

  @Override
  public Optional<Diagnosis> ask(BrokenList list, BadWord word) {
    // Zeros are what most objects hold anyway: a run of them shows nothing.
    if (word.isHead()
        || word.holder() == 0
        || word.slot() < list.slab().object(word.holder())
        || word.raw() == 0) {
      return Optional.empty();
    }
    return repeated(list, word).or(() -> text(list, word)).or(() -> cleared(list, word));
  }

  // ---- a pattern

  private static Optional<Diagnosis> repeated(BrokenList list, BadWord word) {
    Slab slab = list.slab();
    Optional<Run> run =
        Run.periodic(list.memory(), word.slot(), slab.base(), slab.base() + slab.byteCount())
            .filter(one -> isOverBorder(list, word, one.start()));
    if (run.isEmpty() || isUsual(list, word, run.get())) {
      return Optional.empty();
    }
    return Optional.of(diagnosis(list, word, run.get(), "covers"));
  }

  private static boolean isOverBorder(BrokenList list, BadWord word, long start) {
    return start <= list.slab().object(word.holder()) - MIN_IN_NEIGHBOUR;
  }

  /// Whether half of the other objects hold the same pattern over their borders.
  private static boolean isUsual(BrokenList list, BadWord word, Run run) {
    Slab slab = list.slab();
    SlabMemory memory = list.memory();
    long border = slab.object(word.holder());
    long from = border - MIN_IN_NEIGHBOUR;
    int others = 0;
    int alike = 0;
    for (int i = 1; i < slab.walkableObjects(); i++) {
      long its = slab.object(i);
      if (i == word.holder() || (its > run.start() && its < run.end())) {
        continue;
      }
      others++;
      boolean isAlike = true;
      for (long at = from; at < border + MIN_IN_NEIGHBOUR && isAlike; at++) {
        long there = its + (at - border);
        boolean isPointer =
            there >= slab.slot(i) && there < slab.slot(i) + WORD && holdsPointer(list, i);
        isAlike =
            isPointer
                || (memory.page(there) instanceof PageRead.Present
                    && memory.page(at) instanceof PageRead.Present
                    && memory.u8(there) == memory.u8(at));
      }
      alike += isAlike ? 1 : 0;
    }
    return alike > 0 && alike * 2 >= others;
  }

  // ---- text

  /// Text that runs over the border into the pointer: to its end, or with its NUL in it. The zeros
  /// behind the NUL may be the string's buffer too; else the allocator's own bytes stand there.
  private static Optional<Diagnosis> text(BrokenList list, BadWord word) {
    Slab slab = list.slab();
    SlabMemory memory = list.memory();
    long end = word.slot() + WORD;
    Optional<Run> run =
        Run.textBefore(memory, word.slot(), slab.base(), slab.base() + slab.byteCount())
            .filter(one -> isOverBorder(list, word, one.start()));
    if (run.isEmpty()
        || (run.get().end() < end && !endsAsString(list, word, run.get().end()))
        || hasTextOverBorders(list, word, run.get())) {
      return Optional.empty();
    }
    return Optional.of(
        diagnosis(list, word, run.get(), run.get().end() >= end ? "covers" : "ends in"));
  }

  private static boolean endsAsString(BrokenList list, BadWord word, long end) {
    int length = (int) (end - word.slot());
    long behind = length == WORD - 1 ? 0 : word.raw() >>> (8 * (length + 1));
    if ((word.raw() >>> (8 * length) & 0xff) != 0) {
      return false;
    }
    // The low byte 00 of a pointer is no end of a string, nor is that of a small number.
    boolean isZero = length > 0 && behind == 0;
    for (int i = -1; i < list.slab().walkableObjects() && !isZero; i++) {
      long target = i < 0 ? 0 : list.slab().object(i);
      long written = list.encode(target, word);
      isZero = length < WORD - 1 && written >>> (8 * (length + 1)) == behind;
    }
    return isZero;
  }

  /// Whether a quarter of the other objects have text over their borders too: such a cache holds
  /// text.
  private static boolean hasTextOverBorders(BrokenList list, BadWord word, Run run) {
    Slab slab = list.slab();
    long border = slab.object(word.holder());
    long before = Math.min(COMPARED, border - run.start());
    int others = 0;
    int alike = 0;
    for (int i = 1; i < slab.walkableObjects(); i++) {
      long its = slab.object(i);
      if (i == word.holder() || (its > run.start() && its < run.end())) {
        continue;
      }
      others++;
      long slot = slab.slot(i);
      alike +=
          Run.isText(list.memory(), its - before, slot)
                  && (holdsPointer(list, i) || Run.isText(list.memory(), slot, slot + 1))
              ? 1
              : 0;
    }
    return alike > 0 && alike * 4 >= others;
  }

  /// Whether an object is on the list or, behind the break, may be.
  private static boolean holdsPointer(BrokenList list, int index) {
    if (list.isMet(index) || !list.memory().isReadable(list.slab().slot(index))) {
      return true;
    }
    long pointer = list.wordOf(index).decoded();
    return pointer == 0 || list.slab().index(pointer) >= 0;
  }

  // ---- a cleared object

  /// With init_on_free the bytes before the pointer are zero until somebody writes there.
  private static Optional<Diagnosis> cleared(BrokenList list, BadWord word) {
    Slab slab = list.slab();
    SlabMemory memory = list.memory();
    long object = slab.object(word.holder());
    boolean isCleared =
        SlabCaches.of(list.kernel())
            .layout()
            .map(SlabLayout::flags)
            .filter(flags -> flags.isClearedOnFree(slab.cache()))
            .isPresent();
    if (!isCleared
        || word.slot() - object < WORD
        || !memory.isReadable(object)
        || !memory.isReadable(object - WORD)
        || memory.u8(object) == 0
        || memory.u8(object - 1) == 0
        || isWrittenAlone(list, word)) {
      return Optional.empty();
    }
    long end = object;
    while (end < word.slot() && memory.isReadable(end) && memory.word(end) != 0) {
      end += WORD;
    }
    if (end < word.slot()) {
      return Optional.empty();
    }
    return Optional.of(
        new Diagnosis(
            Cause.OVERFLOW_FROM_NEIGHBOUR,
            word,
            new Evidence.WordAt(
                object,
                list.physical(object),
                memory.word(object),
                Evidence.UNKNOWN,
                "free objects of this cache are cleared, and no word from 0x%x, the first of the object, to the free pointer is zero; nor is the byte before: what was written came over the border"
                    .formatted(object))));
  }

  /// Whether the object was written from its first to its last byte, with a pattern that the byte
  /// before it does not have: its own former owner did that.
  private static boolean isWrittenAlone(BrokenList list, BadWord word) {
    Slab slab = list.slab();
    long object = slab.object(word.holder());
    Optional<Run> run =
        Run.periodic(list.memory(), word.slot(), slab.base(), slab.base() + slab.byteCount());
    return run.isPresent() && run.get().start() >= object - 1;
  }

  // ---- the answer

  private static Diagnosis diagnosis(BrokenList list, BadWord word, Run run, String how) {
    Slab slab = list.slab();
    int first = Math.max(0, slab.indexHolding(run.start()));
    List<Evidence> against = new ArrayList<>();
    if (list.isMet(first)) {
      against.add(
          new Evidence.WordAt(
              slab.object(first),
              list.physical(slab.object(first)),
              Evidence.UNKNOWN,
              Evidence.UNKNOWN,
              "the object in which it starts, at 0x%x, is free: its former owner would have had to write"
                  .formatted(slab.object(first))));
    }
    return new Diagnosis(
        Cause.OVERFLOW_FROM_NEIGHBOUR,
        word,
        List.of(
            run.evidence(
                list.kernel(),
                list.memory(),
                "a run of %d bytes (%s) starts at 0x%x, %d bytes into object %d, crosses the border and %s the free pointer"
                    .formatted(
                        run.length(),
                        run.words(list.memory()),
                        run.start(),
                        Math.max(0, run.start() - slab.object(first)),
                        first,
                        how))),
        against);
  }
}
