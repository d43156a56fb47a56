package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.Freelist;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.Words;

/// The differential diagnosis of one broken freelist: which of the known ways to break it fits the
/// bytes, and what speaks against it.
///
/// Hypotheses are asked in the order of how rarely chance imitates them: the word before, a wiped
/// page, a zeroed object, one or two flipped bits, a pointer that is right for another slab, what
/// comes over the object's border, and last a write into the free object.
public final class FreelistDiagnosis {
  /// Breaks of one list that are looked at.
  private static final int MAX_BREAKS = 8;

  private static final int MIN_TELLING_CHAIN = 2;

  private static final ListHypothesis ONE_BIT = new FlippedPointer(false);

  /// For a pointer that is no object of the slab; the last always fits.
  private static final List<ListHypothesis> OF_POINTER =
      List.of(
          new BadHead(),
          new WipedPage(),
          new ZeroedObject(),
          new FlippedPointer(true),
          new CrosslinkedPointer(),
          ONE_BIT,
          new NeighbourOverflow(),
          new WriteAfterFree());

  private FreelistDiagnosis() {}

  /// What broke a list: one result, and after flipped bits, which can be put back, what is broken
  /// behind them.
  public static List<Diagnosis> of(Kernel kernel, FreelistDecoder decoder, SlabFault.Broken fault) {
    List<Diagnosis> results = new ArrayList<>();
    BrokenList rest = BrokenList.of(kernel, decoder, fault);
    while (rest != null) {
      BrokenList before = rest;
      Diagnosis found = diagnose(before);
      Optional<BrokenList> behind =
          results.size() + 1 < MAX_BREAKS ? putBack(before, found) : Optional.empty();
      results.add(behind.map(next -> withLength(found, next)).orElse(found));
      rest = behind.filter(next -> isBrokenBehind(next, before)).orElse(null);
    }
    return results;
  }

  /// What is wrong with a list that ends well and has another length than the counters say; empty
  /// if no word of it can be told to be the bad one.
  ///
  /// @param isListed whether some list keeps the slab: a full slab is on none
  /// @param held objects of the slab that a CPU's list or a sheaf holds
  public static Optional<Diagnosis> ofLength(
      Kernel kernel, FreelistDecoder decoder, Slab slab, boolean isListed, BitSet held) {
    Freelist whole = new Freelist(0, new Freelist.End.Closed());
    BrokenList list =
        BrokenList.of(kernel, decoder, new SlabFault.Broken(slab, -1, slab.freelist(), whole));
    return new WrongLength(isListed, held).ask(list.measured());
  }

  /// The same list with the flipped bit put back, if the bit is not all that is wrong with it.
  private static Optional<BrokenList> putBack(BrokenList list, Diagnosis found) {
    BadWord word = found.word();
    if (found.cause() != Cause.BIT_FLIP
        || word.isHead()
        || list.isRepaired(word.slot())
        || !(list.list().end() instanceof Freelist.End.BadPointer bad
            && bad.slot() == word.slot())) {
      return Optional.empty();
    }
    return Flip.nearest(list, word)
        .filter(flip -> !list.closes(flip.target()))
        .map(flip -> list.with(word.slot(), word.raw() ^ flip.bits()));
  }

  private static boolean isBrokenBehind(BrokenList next, BrokenList before) {
    return !next.list().isClosed() && next.list().length() > before.list().length();
  }

  /// If the list closes then with another length than the counters say, that is said beside the
  /// flip.
  private static Diagnosis withLength(Diagnosis found, BrokenList next) {
    int length = next.list().length();
    return next.list().isClosed() && !next.isOfCpu() && length != next.free()
        ? found.withMore(
            List.of(
                new Evidence.CountMismatch(
                    "free objects",
                    length,
                    next.free(),
                    "with the bits flipped back the list has %s, the counters say %d: inuse is wrong too, or objects were lost"
                        .formatted(Words.plural(length, "object", "objects"), next.free()))))
        : found;
  }

  private static Diagnosis diagnose(BrokenList list) {
    return switch (list.list().end()) {
      case Freelist.End.BadPointer(int holder, long slot, long raw, long decoded) ->
          badPointer(list, new BadWord(holder, slot, raw, decoded));
      case Freelist.End.Cycle end ->
          FreedTwice.inCircle(
              list, new BadWord(end.holder(), end.slot(), end.raw(), end.decoded()), end);
      case Freelist.End.OnOtherList(int holder, long slot, long raw, long decoded, int target) ->
          FreedTwice.onTwoLists(list, new BadWord(holder, slot, raw, decoded), target);
      case Freelist.End.Unreadable(int holder, long slot, PageRead why) ->
          new Diagnosis(
              MissingSlabs.cause(why),
              new BadWord(holder, slot, Evidence.UNKNOWN, Evidence.UNKNOWN),
              new Evidence.PageLooksLike(
                  list.kernel().memory().pfn(list.physical(slot)),
                  why.words(),
                  "the slab page that holds the object is " + why.words()));
      case Freelist.End.Closed() -> throw new IllegalArgumentException("the list is whole");
    };
  }

  private static Diagnosis badPointer(BrokenList list, BadWord word) {
    Optional<Diagnosis> before = new LedAstray().ask(list, word);
    if (before.isPresent()) {
      return before.get();
    }
    List<Evidence> common = new ArrayList<>();
    common.add(
        list.chain(
            word,
            "after %s the free pointer leads to 0x%x, which is not an object of the slab"
                .formatted(
                    Words.plural(list.list().length(), "object", "objects"), word.decoded())));
    common.add(list.word(word));
    if (!word.isHead()) {
      lostBehind(list, common);
    }
    Diagnosis found =
        OF_POINTER.stream()
            .flatMap(hypothesis -> hypothesis.ask(list, word).stream())
            .findFirst()
            .orElseThrow()
            .withMore(common);
    return LedAstray.doubt(list, word).map(found::withAgainst).orElse(found);
  }

  /// What is left of the list behind the break: objects that still hold a free pointer of the slab.
  private static void lostBehind(BrokenList list, List<Evidence> evidence) {
    int lost = list.free() - list.list().length();
    if (list.isOfCpu() || lost <= 0) {
      return;
    }
    long rest = list.lost().only(lost);
    if (rest == -1) {
      evidence.add(
          new Evidence.CountMismatch(
              "chain behind the break",
              lost,
              0,
              "no single chain of %s lies behind the break: another word of the list may be bad too"
                  .formatted(Words.plural(lost, "lost object", "lost objects"))));
    }
    if (LostObjects.isObject(rest) && lost >= MIN_TELLING_CHAIN) {
      evidence.addFirst(
          new Evidence.WhatIf(
              "the rest of the list",
              "if the pointer led to %s, where the only chain of %d objects on no list begins, the freelist would close with the length that the slab's counters say"
                  .formatted(list.targetWords(rest), lost)));
    }
    int leading = list.unmet().leading();
    evidence.add(
        new Evidence.CountMismatch(
            "free objects behind the break",
            lost,
            leading,
            "by the slab's counters %s behind the break; %d of the objects on no list still %s"
                .formatted(
                    Words.plural(lost, "free object is", "free objects are"),
                    leading,
                    leading == 1 ? "holds a free pointer" : "hold free pointers")));
  }
}
