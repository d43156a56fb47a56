package org.vmcheck.check;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.dump.PageRead;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Freelist;
import org.vmcheck.kernel.FreelistDecoder;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.MemMap;
import org.vmcheck.kernel.PageState;
import org.vmcheck.kernel.Slab;
import org.vmcheck.kernel.SlabCache;
import org.vmcheck.kernel.SlabFault;
import org.vmcheck.kernel.SlabMemory;

/// The differential diagnosis of one broken freelist: which of the known ways to break it fits the
/// bytes, and what speaks against it.
///
/// Hypotheses are tried in the order of how rarely chance imitates them: a wiped page, one or two
/// flipped bits (2e-16 and 7e-15 for 65 objects), a pointer that is right for another slab, a run
/// of foreign bytes that comes over the object's border, and last a write into the free object.
final class FreelistDiagnosis {
  private static final int MAX_FLIPPED_BITS = 2;

  /// Breaks of one list that are looked at.
  private static final int MAX_BREAKS = 8;

  /// A chain of lost objects shorter than this may be what the last allocations left behind.
  private static final int MIN_TELLING_CHAIN = 2;

  /// Bytes of a foreign run that must lie before the object for an overflow.
  private static final int MIN_RUN_IN_NEIGHBOUR = 4;

  private final Kernel kernel;
  private final FreelistDecoder decoder;
  private final SlabMemory memory;
  private final Freelist.Walker walker;
  private final Slab slab;
  private final SlabFault.Broken fault;
  private final List<Evidence> evidence = new ArrayList<>();
  private final List<Evidence> against = new ArrayList<>();

  /// Words put right, by address: what was found before on the same list.
  private final Map<Long, Long> repaired;

  /// The word that [#BIT_FLIP][Cause#BIT_FLIP] would put back; 0 as its address if there is none.
  private long flippedSlot;

  private long flippedTo;

  private FreelistDiagnosis(
      Kernel kernel, FreelistDecoder decoder, SlabFault.Broken fault, Map<Long, Long> repaired) {
    this.kernel = kernel;
    this.decoder = decoder;
    this.fault = fault;
    this.slab = fault.slab();
    this.repaired = repaired;
    this.memory = new SlabMemory(kernel.memory().physical());
    this.walker = new Freelist.Walker(decoder, memory);
    start(walker, memory);
  }

  private void start(Freelist.Walker someWalker, SlabMemory itsMemory) {
    someWalker.start(slab);
    repaired.forEach(itsMemory::put);
  }

  /// The answer.
  ///
  /// @param holder index of the object that holds the bad word, [Freelist#HEAD] for a head
  /// @param slot address of the bad word
  record Result(
      Cause cause,
      int holder,
      long slot,
      long raw,
      long decoded,
      List<Evidence> evidence,
      List<Evidence> against) {}

  /// What broke a list: one result, and after flipped bits, which can be put back, what is broken
  /// behind them.
  static List<Result> of(Kernel kernel, FreelistDecoder decoder, SlabFault.Broken fault) {
    List<Result> results = new ArrayList<>();
    Map<Long, Long> repaired = new LinkedHashMap<>();
    SlabFault.Broken rest = fault;
    while (rest != null) {
      FreelistDiagnosis diagnosis = new FreelistDiagnosis(kernel, decoder, rest, repaired);
      results.add(diagnosis.diagnose());
      rest = results.size() < MAX_BREAKS ? diagnosis.behind() : null;
    }
    return results;
  }

  /// The same list with the flipped bits put back, if it breaks again further on. If it closes with
  /// another length than the counters say, that is said beside the flip.
  private SlabFault.Broken behind() {
    if (flippedSlot == 0 || repaired.containsKey(flippedSlot)) {
      return null;
    }
    repaired.put(flippedSlot, flippedTo);
    start(walker, memory);
    Freelist list = walker.walk(slab, fault.head(), slab.address());
    int free = slab.objects() - slab.inuse();
    if (list.isClosed() && fault.cpu() < 0 && list.length() != free) {
      evidence.add(
          new Evidence.CountMismatch(
              "free objects",
              list.length(),
              free,
              "with the bits put back the list has %s, the counters say %d: inuse is wrong too, or objects were lost"
                  .formatted(Words.plural(list.length(), "object", "objects"), free)));
    }
    return list.isClosed() || list.length() <= fault.list().length()
        ? null
        : new SlabFault.Broken(slab, fault.cpu(), fault.head(), list);
  }

  private Result diagnose() {
    return switch (fault.list().end()) {
      case Freelist.End.BadPointer(int holder, long slot, long raw, long decoded) -> {
        Result before = ledAstray(holder, slot, raw, decoded);
        yield before != null
            ? before
            : result(badPointer(holder, slot, raw, decoded), holder, slot, raw, decoded);
      }
      case Freelist.End.Cycle(
              int holder,
              long slot,
              long raw,
              long decoded,
              int target,
              int firstStep) ->
          blamed(
              cycle(holder, slot, raw, decoded, target, firstStep),
              target,
              result(Cause.BIT_FLIP, holder, slot, raw, decoded));
      case Freelist.End.OnOtherList(int holder, long slot, long raw, long decoded, int target) ->
          blamed(
              onOtherList(holder, slot, raw, decoded, target),
              target,
              result(Cause.BIT_FLIP, holder, slot, raw, decoded));
      case Freelist.End.Unreadable(int holder, long slot, PageRead why) ->
          result(unreadable(slot, why), holder, slot, Evidence.UNKNOWN, Evidence.UNKNOWN);
      case Freelist.End.Closed() -> throw new IllegalArgumentException("the list is whole");
    };
  }

  /// A second free writes the free pointer of the object that is freed, not of the one that led to
  /// it: that word is to blame.
  private Result blamed(Cause cause, int target, Result asFound) {
    if (cause == Cause.BIT_FLIP) {
      return asFound;
    }
    long slot = slab.slot(target);
    if (!memory.isReadable(slot)) {
      return new Result(
          cause, asFound.holder, asFound.slot, asFound.raw, asFound.decoded, evidence, against);
    }
    long raw = memory.word(slot);
    long decoded = decoder.decode(raw, slot, slab.cache().random());
    int next = slab.index(decoded);
    evidence.add(
        new Evidence.WordAt(
            slot,
            physical(slot),
            raw,
            decoded,
            "the free pointer of object %d, at 0x%x, is 0x%016x and leads to %s"
                .formatted(
                    target,
                    slot,
                    raw,
                    decoded == 0
                        ? "the list's end"
                        : next >= 0 ? "object " + next : "0x%x".formatted(decoded))));
    return result(cause, target, slot, raw, decoded);
  }

  private Result result(Cause cause, int holder, long slot, long raw, long decoded) {
    return new Result(cause, holder, slot, raw, decoded, evidence, against);
  }

  private Cause unreadable(long slot, PageRead why) {
    evidence.add(
        new Evidence.PageLooksLike(
            kernel.memory().physicalAddress(slot) >>> 12,
            why.words(),
            "the slab page that holds the object is " + why.words()));
    return MissingSlabs.cause(why);
  }

  // ---- a list that ends well and has another length than the counters say

  /// Which word a list that ends well is too short or too long for, so that the slab's counters are
  /// right after all: led elsewhere, the list closes with the length that they say.
  ///
  /// @param isListed whether some list keeps the slab: a full slab is on none
  /// @return empty if no word can be told to be the bad one
  static Optional<Result> ofLength(
      Kernel kernel, FreelistDecoder decoder, Slab slab, boolean isListed) {
    SlabFault.Broken whole =
        new SlabFault.Broken(slab, -1, slab.freelist(), new Freelist(0, new Freelist.End.Closed()));
    return Optional.ofNullable(
        new FreelistDiagnosis(kernel, decoder, whole, Map.of()).wrongLength(isListed));
  }

  private Result wrongLength(boolean isListed) {
    Freelist list = walker.walk(slab, fault.head(), headSlot());
    int free = slab.objects() - slab.inuse();
    if (!list.isClosed() || free < 0) {
      return null;
    }
    if (list.length() > free) {
      return free == 0 && !isListed ? headOfFull(list) : null;
    }
    LostObjects lost = new LostObjects(slab, decoder, memory, walker);
    long head = -1;
    for (int i = 0; i < slab.walkableObjects(); i++) {
      if (!walker.isMet(i) && !lost.isLedTo(i)) {
        Freelist from = rest(slab.object(i));
        if (from.isClosed() && from.length() == free) {
          head = head == -1 ? slab.object(i) : -2;
        }
      }
    }
    if (head != -1 && head != -2 && free >= MIN_TELLING_CHAIN) {
      return tooShort(list, free, Freelist.HEAD, headSlot(), fault.head(), head);
    }
    int missing = free - list.length();
    long tail = missing < MIN_TELLING_CHAIN ? -1 : lost.only(missing);
    if (tail == -1 || list.length() == 0) {
      return null;
    }
    int last = walker.lastMet(list).getLast();
    return tooShort(list, free, last, slab.slot(last), memory.word(slab.slot(last)), tail);
  }

  private Result tooShort(Freelist list, int free, int holder, long slot, long raw, long target) {
    boolean isHead = holder == Freelist.HEAD;
    long right = isHead ? target : decoder.decode(target, slot, slab.cache().random());
    evidence.add(
        new Evidence.WhatIf(
            "the lost objects on the list again",
            "with %s led to %s, to which nothing leads, the freelist closes and its length agrees with the slab's counters"
                .formatted(
                    isHead ? "the head" : "the free pointer of object " + holder,
                    targetWords(target))));
    evidence.add(
        new Evidence.CountMismatch(
            "free objects",
            free,
            list.length(),
            "the list ends after %s, the counters say that %d are free"
                .formatted(Words.plural(list.length(), "object", "objects"), free)));
    long decoded = isHead ? raw : decoder.decode(raw, slot, slab.cache().random());
    evidence.add(word(slot, raw, decoded));
    if (Long.bitCount(raw ^ right) <= MAX_FLIPPED_BITS) {
      evidence.add(flipEvidence(slot, raw, new Flip(target, raw ^ right)));
      return result(Cause.BIT_FLIP, holder, slot, raw, decoded);
    }
    if (isHead) {
      return result(Cause.METADATA_OVERWRITTEN, holder, slot, raw, decoded);
    }
    Cause zeroed =
        raw != 0
            ? Cause.USE_AFTER_FREE_WRITE
            : isWholePageOneByte(slot)
                ? Cause.PAGE_WIPED
                : isObjectZeroed(holder, slot) ? Cause.OBJECT_ZEROED : Cause.USE_AFTER_FREE_WRITE;
    return result(zeroed, holder, slot, raw, decoded);
  }

  /// The head of a slab that is full by its counters and by its place.
  private Result headOfFull(Freelist list) {
    long slot = headSlot();
    evidence.add(
        new Evidence.WhatIf(
            "the head empty",
            "with an empty freelist the slab is full, as its counters and its place on no list"
                + " say"));
    evidence.add(
        new Evidence.ChainBroken(
            "slab.freelist",
            slab.address(),
            fault.head(),
            list.length(),
            "the head leads to %s, which were handed out"
                .formatted(Words.plural(list.length(), "object", "objects"))));
    evidence.add(word(slot, fault.head(), fault.head()));
    return result(
        Long.bitCount(fault.head()) <= MAX_FLIPPED_BITS
            ? Cause.BIT_FLIP
            : Cause.METADATA_OVERWRITTEN,
        Freelist.HEAD,
        slot,
        fault.head(),
        fault.head());
  }

  // ---- a pointer that leads to an object that is not free

  /// Whether the word before the bad one is to blame: it led the list to an object that is not
  /// free, whose bytes are its owner's. The slab's counters tell: without that object, and with the
  /// word led elsewhere, the list closes with the right length. On a CPU's list, which nothing
  /// counts, this is only said beside the other answer.
  ///
  /// @return null if the counters do not say so
  private Result ledAstray(int holder, long badSlot, long badRaw, long badDecoded) {
    if (holder == Freelist.HEAD) {
      return null;
    }
    replay();
    int rest = slab.objects() - slab.inuse() - (fault.list().length() - 1);
    Flip own = nearestFlip(badSlot, badRaw);
    if ((own != null && closes(own.target)) || (rest < 0 && fault.cpu() < 0)) {
      return null;
    }
    LostObjects lost = new LostObjects(slab, decoder, memory, walker);
    int before = before(holder);
    boolean isHead = before == Freelist.HEAD;
    if (isHead && fault.cpu() >= 0) {
      return null;
    }
    long slot = isHead ? headSlot() : slab.slot(before);
    long raw = isHead ? fault.head() : memory.word(slot);
    Flip flip = flipBefore(lost, slot, raw, isHead, rest);
    boolean isOneBit = flip != null && Long.bitCount(flip.bits) == 1;
    boolean isFreeAsWell =
        fault.cpu() >= 0 || rest == 1 || LostObjects.isObject(lost.only(rest - 1));
    if (isFreeAsWell && !(isOneBit && rest == 1 && fault.cpu() < 0)) {
      if (isOneBit) {
        against.add(flipEvidence(slot, raw, flip));
      }
      return null;
    }
    long target = flip != null ? flip.target : lost.only(rest);
    if (target == -1) {
      return null;
    }
    String name = isHead ? "the head" : "the free pointer of object " + before;
    evidence.add(
        new Evidence.WhatIf(
            "the word before led elsewhere",
            "with %s led to %s the freelist closes and its length agrees with the slab's counters"
                .formatted(name, targetWords(target))));
    if (flip != null) {
      evidence.add(flipEvidence(slot, raw, flip));
    }
    evidence.add(
        new Evidence.ChainBroken(
            fault.listName(),
            slab.object(holder),
            badDecoded,
            fault.list().length(),
            "%s leads to object %d, which is not free: its word at 0x%x, 0x%016x, is its owner's and no free pointer"
                .formatted(name, holder, badSlot, badRaw)));
    evidence.add(word(slot, raw, slab.object(holder)));
    if (isFreeAsWell) {
      against.add(
          new Evidence.CountMismatch(
              "free objects",
              rest,
              rest,
              "if object %d is free its own word is to blame, and the length agrees too"
                  .formatted(holder)));
    }
    return result(
        flip != null
            ? Cause.BIT_FLIP
            : isHead ? Cause.METADATA_OVERWRITTEN : Cause.FREELIST_CROSSLINKED,
        before,
        slot,
        raw,
        slab.object(holder));
  }

  /// The fewest bits that lead a word to a chain of lost objects that ends well: of the right
  /// length where the slab's counters give one. Null if there is none.
  private Flip flipBefore(LostObjects lost, long slot, long raw, boolean isHead, int rest) {
    Flip flip = null;
    for (int i = -1; i < slab.walkableObjects(); i++) {
      int length = i < 0 ? 0 : walker.isMet(i) ? -1 : lost.length(i);
      if (fault.cpu() >= 0 ? length <= 0 : length != rest) {
        continue;
      }
      long target = i < 0 ? 0 : slab.object(i);
      long bits = raw ^ (isHead ? target : decoder.decode(target, slot, slab.cache().random()));
      int known = flip == null ? MAX_FLIPPED_BITS + 1 : Long.bitCount(flip.bits);
      if (Long.bitCount(bits) < known) {
        flip = new Flip(target, bits);
      }
    }
    return flip;
  }

  /// Address of the head of the slab's own list.
  private long headSlot() {
    return slab.address() + kernel.slabCaches().layout().orElseThrow().freelistAt();
  }

  /// The object before the one at which the list broke, in list order.
  private int before(int holder) {
    Integer[] order = walker.lastMet(fault.list()).toArray(Integer[]::new);
    for (int i = 1; i < order.length; i++) {
      if (order[i] == holder) {
        return order[i - 1];
      }
    }
    return Freelist.HEAD;
  }

  private String targetWords(long target) {
    return target == 0
        ? "the end of the list"
        : "object %d of the slab, 0x%x".formatted(slab.index(target), target);
  }

  // ---- a pointer that is no object of the slab

  private Cause badPointer(int holder, long slot, long raw, long decoded) {
    evidence.add(
        new Evidence.ChainBroken(
            fault.listName(),
            holder == Freelist.HEAD ? slab.address() : slab.object(holder),
            decoded,
            fault.list().length(),
            "after %s the free pointer leads to 0x%x, which is no object of the slab"
                .formatted(Words.plural(fault.list().length(), "object", "objects"), decoded)));
    evidence.add(word(slot, raw, decoded));
    if (holder == Freelist.HEAD) {
      return badHead(slot, raw);
    }
    replay();
    lostBehind();
    if (isWholePageOneByte(slot)) {
      return Cause.PAGE_WIPED;
    }
    if (raw == 0 && isObjectZeroed(holder, slot)) {
      return Cause.OBJECT_ZEROED;
    }
    Flip flip = nearestFlip(slot, raw);
    if (flip != null && closes(flip.target)) {
      evidence.addFirst(flipEvidence(slot, raw, flip));
      evidence.addFirst(
          new Evidence.WhatIf(
              "flipped bits put back",
              "with %s put back the freelist closes%s"
                  .formatted(
                      Long.bitCount(flip.bits) == 1 ? "the bit" : "the bits",
                      fault.cpu() < 0 ? " and its length agrees with the slab's counters" : "")));
      return Cause.BIT_FLIP;
    }
    if (leadsIntoAnotherSlab(slot, raw, decoded)) {
      return Cause.FREELIST_CROSSLINKED;
    }
    if (flip != null && Long.bitCount(flip.bits) == 1) {
      evidence.addFirst(flipEvidence(slot, raw, flip));
      flippedSlot = slot;
      flippedTo = raw ^ flip.bits;
      return Cause.BIT_FLIP;
    }
    if (comesFromNeighbour(holder, slot)) {
      return Cause.OVERFLOW_FROM_NEIGHBOUR;
    }
    WordShape shape = WordShape.of(kernel, raw);
    evidence.add(
        new Evidence.BytesAt(
            slot, physical(slot), "", 0, 0, "what was written looks like " + shape.words()));
    if (!shape.known()) {
      against.add(
          new Evidence.BytesAt(
              slot, physical(slot), "", 0, 0, "the bytes fit no shape that tells a writer"));
    }
    return Cause.USE_AFTER_FREE_WRITE;
  }

  /// A head in `kmem_cache_cpu` or in the slab's descriptor: a plain pointer.
  private Cause badHead(long slot, long raw) {
    Flip flip = null;
    for (int i = -1; i < slab.walkableObjects(); i++) {
      long target = i < 0 ? 0 : slab.object(i);
      long bits = raw ^ target;
      int known = flip == null ? MAX_FLIPPED_BITS + 1 : Long.bitCount(flip.bits);
      if (Long.bitCount(bits) < known && closes(target)) {
        flip = new Flip(target, bits);
      }
    }
    if (flip != null) {
      evidence.addFirst(flipEvidence(slot, raw, flip));
      evidence.addFirst(
          new Evidence.WhatIf(
              "flipped bits put back", "with the bits put back the freelist closes"));
      return Cause.BIT_FLIP;
    }
    if (isObjectOfAnotherSlab(raw)) {
      return Cause.FREELIST_CROSSLINKED;
    }
    return Cause.METADATA_OVERWRITTEN;
  }

  /// Walks the good part again, so that the walker knows which objects are on the list.
  private void replay() {
    walker.walk(slab, fault.head(), slab.address());
  }

  /// What is left of the list behind the break: objects that still hold a free pointer of the slab.
  private void lostBehind() {
    int lost = slab.objects() - slab.inuse() - fault.list().length();
    if (fault.cpu() >= 0 || lost <= 0) {
      return;
    }
    long rest = new LostObjects(slab, decoder, memory, walker).only(lost);
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
              "led to %s, the only chain of %d objects that no list has, the freelist closes and its length agrees with the slab's counters"
                  .formatted(targetWords(rest), lost)));
    }
    int leading = walker.readUnmet(slab).leading();
    evidence.add(
        new Evidence.CountMismatch(
            "free objects behind the break",
            lost,
            leading,
            "the counters say that %s behind the break; %d of the objects on no list still %s"
                .formatted(
                    Words.plural(lost, "free object is", "free objects are"),
                    leading,
                    leading == 1 ? "holds a free pointer" : "hold free pointers")));
  }

  private boolean isWholePageOneByte(long slot) {
    long page = slot & -4096L;
    int first =
        slab.cache().objectSize() < 4096
                && memory.page(page) instanceof PageRead.Present(MemorySegment bytes)
            ? ByteView.onlyByte(bytes)
            : -1;
    if (first < 0) {
      return false;
    }
    evidence.add(
        new Evidence.PageLooksLike(
            physical(page) >>> 12,
            first == 0 ? "zero" : "one byte",
            "the whole page at 0x%x holds the byte 0x%02x and nothing else"
                .formatted(page, first)));
    return true;
  }

  /// Whether the object is all zero although free objects of this slab usually keep old bytes.
  private boolean isObjectZeroed(int holder, long slot) {
    if (!isZero(slab.object(holder), slot) || slab.cache().objectSize() <= 8) {
      return false;
    }
    int others = 0;
    int alsoZero = 0;
    for (int i = 0; i < slab.walkableObjects(); i++) {
      if (i != holder) {
        others++;
        alsoZero += isZero(slab.object(i), slab.slot(i)) ? 1 : 0;
      }
    }
    evidence.add(
        new Evidence.BytesAt(
            slab.object(holder),
            physical(slab.object(holder)),
            "",
            0,
            0,
            "all %d bytes of the free object are zero".formatted(slab.cache().objectSize())));
    if (alsoZero * 2 > others) {
      against.add(
          new Evidence.CountMismatch(
              "zeroed free objects",
              0,
              alsoZero,
              "%d of the %d other objects of this slab are zero too, but for their free pointers"
                  .formatted(alsoZero, others)));
      return false;
    }
    return true;
  }

  /// Whether an object is zero everywhere but, perhaps, in its free pointer.
  private boolean isZero(long object, long slot) {
    for (long at = object; at < object + slab.cache().objectSize(); at++) {
      boolean inSlot = at >= slot && at < slot + 8;
      if (!inSlot && (!(memory.page(at) instanceof PageRead.Present) || memory.u8(at) != 0)) {
        return false;
      }
    }
    return true;
  }

  /// Bits that turn the word into the free pointer of an object of the slab.
  ///
  /// @param target the object, 0 for the end of the list
  private record Flip(long target, long bits) {}

  /// The fewest bits, at most two, that make the pointer right; of several ways, one that closes
  /// the list, else the one that leads furthest. Null if there is none.
  private Flip nearestFlip(long slot, long raw) {
    Flip best = null;
    int bestReach = -1;
    for (int i = -1; i < slab.walkableObjects(); i++) {
      if (i >= 0 && walker.isMet(i)) {
        continue;
      }
      long target = i < 0 ? 0 : slab.object(i);
      long bits = raw ^ decoder.decode(target, slot, slab.cache().random());
      int distance = Long.bitCount(bits);
      int known = best == null ? MAX_FLIPPED_BITS + 1 : Long.bitCount(best.bits);
      if (distance > known || distance > MAX_FLIPPED_BITS) {
        continue;
      }
      int reach = closes(target) ? Integer.MAX_VALUE : rest(target).length();
      if (distance < known || reach > bestReach) {
        best = new Flip(target, bits);
        bestReach = reach;
      }
    }
    return best;
  }

  private Evidence flipEvidence(long slot, long raw, Flip flip) {
    return flip(slot, raw, flip.bits, targetWords(flip.target));
  }

  /// Whether the list, led on from an object, ends well; on a slab's own list the length must agree
  /// with the counters too.
  private boolean closes(long target) {
    Freelist rest = rest(target);
    return rest.isClosed()
        && (fault.cpu() >= 0
            || fault.list().length() + rest.length() == slab.objects() - slab.inuse());
  }

  /// The list from an object on.
  private Freelist rest(long target) {
    SlabMemory trialMemory = new SlabMemory(kernel.memory().physical());
    Freelist.Walker trial = new Freelist.Walker(decoder, trialMemory);
    start(trial, trialMemory);
    return trial.walk(slab, target, slab.address());
  }

  private Evidence flip(long slot, long raw, long bits, String target) {
    List<String> numbers = new ArrayList<>();
    for (int bit = 0; bit < 64; bit++) {
      if ((bits >>> bit & 1) != 0) {
        numbers.add(
            "%d (bit %d of the byte at physical 0x%x)"
                .formatted(bit, bit & 7, physical(slot) + bit / 8));
      }
    }
    return new Evidence.WordAt(
        slot,
        physical(slot),
        raw,
        raw ^ bits,
        "bit %s differs from the word that leads to %s"
            .formatted(String.join(" and ", numbers), target));
  }

  /// Whether the pointer is right, but for another slab; of this cache or, with its secret,
  /// another.
  private boolean leadsIntoAnotherSlab(long slot, long raw, long decoded) {
    if (isObjectOfAnotherSlab(decoded)) {
      return true;
    }
    if (decoder == FreelistDecoder.PLAIN) {
      return false;
    }
    for (SlabCache other : kernel.slabCaches().caches()) {
      long pointer = decoder.decode(raw, slot, other.random());
      if (other.address() != slab.cache().address() && isObjectOfAnotherSlab(pointer)) {
        evidence.add(
            new Evidence.WordAt(
                slot,
                physical(slot),
                raw,
                pointer,
                "the word was encoded with the secret of cache " + Words.name(other)));
        return true;
      }
      if (other.address() != slab.cache().address() && other.isSane() && slab.index(pointer) >= 0) {
        evidence.add(
            new Evidence.WordAt(
                slot,
                physical(slot),
                raw,
                pointer,
                "with the secret of cache %s the word leads to an object of this slab: the object was"
                        .formatted(Words.name(other))
                    + " freed into the wrong cache"));
        return true;
      }
    }
    return false;
  }

  private boolean isObjectOfAnotherSlab(long pointer) {
    if (!kernel.memory().map().isDirectMap(pointer) || (pointer & 7) != 0) {
      return false;
    }
    MemMap memMap = kernel.memMap().orElseThrow();
    long pfn = (pointer - kernel.memory().map().directMapStart()) >>> 12;
    PageState state = memMap.state(pfn);
    SlabCache owner = kernel.slabCaches().byAddress().get(state.slabCache());
    if (state.kind() != PageState.Kind.SLAB || owner == null || !owner.isSane()) {
      return false;
    }
    long base = kernel.memory().map().directMapAddress(state.headPfn() << 12);
    long distance = pointer - base - owner.redLeftPad();
    if (distance < 0 || distance % owner.size() != 0 || state.headPfn() == slab.pfn()) {
      return false;
    }
    evidence.add(
        new Evidence.WordAt(
            pointer,
            physical(pointer),
            Evidence.UNKNOWN,
            Evidence.UNKNOWN,
            owner.address() == slab.cache().address()
                ? "0x%x is an object of another slab of the same cache".formatted(pointer)
                : "0x%x is an object of cache %s".formatted(pointer, Words.name(owner))));
    return true;
  }

  /// Whether the bytes over the free pointer are the end of a run that begins in an object before:
  /// a run that covers the pointer, or text that ends in it, as a string with its NUL does.
  private boolean comesFromNeighbour(int holder, long slot) {
    long object = slab.object(holder);
    // Zeros are what most objects hold anyway: a run of them shows nothing.
    if (holder == 0 || slot < object || memory.word(slot) == 0) {
      return false;
    }
    long start = Run.startOf(memory, slot, slab.base());
    long end = Run.endOf(memory, slot, slab.base() + slab.byteCount());
    String words = Run.words(memory, slot);
    if (start > object - MIN_RUN_IN_NEIGHBOUR) {
      start = Run.startOfText(memory, slot, slab.base());
      end = Run.endOfText(memory, slot, slot + 8);
      words = "text, \"%s\"".formatted(Run.text(memory, Math.max(start, end - 40), end));
      if (start > object - MIN_RUN_IN_NEIGHBOUR || (end == slot && memory.u8(slot) != 0)) {
        return false;
      }
    }
    int first = Math.max(0, slab.indexHolding(start));
    evidence.addFirst(
        new Evidence.BytesAt(
            start,
            physical(start),
            "",
            0,
            0,
            "a run of %d bytes (%s) starts %d bytes into object %d, crosses the border and %s the free pointer"
                .formatted(
                    end - start,
                    words,
                    Math.max(0, start - slab.object(first)),
                    first,
                    end >= slot + 8 ? "covers" : "ends in")));
    if (walker.isMet(first)) {
      against.add(
          new Evidence.WordAt(
              slab.object(first),
              physical(slab.object(first)),
              Evidence.UNKNOWN,
              Evidence.UNKNOWN,
              "the object in which it starts is free: its former owner would have had to write"));
    }
    return true;
  }

  // ---- a list that comes back

  private Cause cycle(int holder, long slot, long raw, long decoded, int target, int firstStep) {
    evidence.add(
        new Evidence.ChainBroken(
            fault.listName(),
            holder == Freelist.HEAD ? slab.address() : slab.object(holder),
            decoded,
            fault.list().length(),
            "after %s the list comes back to object %d, met at step %d"
                .formatted(
                    Words.plural(fault.list().length(), "object", "objects"), target, firstStep)));
    evidence.add(leading(holder, slot, raw, decoded));
    replay();
    if (fault.cpu() >= 0) {
      Flip flip = holder == Freelist.HEAD ? null : nearestFlip(slot, raw);
      if (flip != null && Long.bitCount(flip.bits) == 1 && closes(flip.target)) {
        against.add(flipEvidence(slot, raw, flip));
      }
    } else {
      if (holder != Freelist.HEAD && flipExplains(slot, raw)) {
        return Cause.BIT_FLIP;
      }
      int free = slab.objects() - slab.inuse();
      evidence.add(
          new Evidence.CountMismatch(
              "free objects",
              free,
              fault.list().length(),
              "%d different objects are on the list, the counters say that %d are free"
                  .formatted(fault.list().length(), free)));
    }
    return Cause.DOUBLE_FREE;
  }

  /// Whether one bit put back makes the list close with the length that the counters say: then no
  /// free happened twice, for a second free is counted.
  private boolean flipExplains(long slot, long raw) {
    Flip flip = nearestFlip(slot, raw);
    if (flip == null || Long.bitCount(flip.bits) != 1 || !closes(flip.target)) {
      return false;
    }
    evidence.addFirst(flipEvidence(slot, raw, flip));
    evidence.addFirst(
        new Evidence.WhatIf(
            "flipped bit put back",
            "with the bit put back the freelist closes with the right length"));
    return true;
  }

  private Cause onOtherList(int holder, long slot, long raw, long decoded, int target) {
    evidence.add(
        new Evidence.ChainBroken(
            fault.listName(),
            holder == Freelist.HEAD ? slab.address() : slab.object(holder),
            decoded,
            fault.list().length(),
            "the list leads to object %d, which is on the CPU's freelist already"
                .formatted(target)));
    evidence.add(leading(holder, slot, raw, decoded));
    replay();
    if (fault.cpu() < 0 && holder != Freelist.HEAD && flipExplains(slot, raw)) {
      return Cause.BIT_FLIP;
    }
    return Cause.FREELIST_CROSSLINKED;
  }

  /// The word that leads to an object for the second time.
  private Evidence leading(int holder, long slot, long raw, long decoded) {
    return new Evidence.WordAt(
        slot,
        physical(slot),
        raw,
        decoded,
        "what leads there is %s, 0x%016x at 0x%x"
            .formatted(
                holder == Freelist.HEAD ? "the head" : "the free pointer of object " + holder,
                raw,
                slot));
  }

  private Evidence word(long slot, long raw, long decoded) {
    return new Evidence.WordAt(
        slot,
        physical(slot),
        raw,
        decoded,
        "the word at 0x%x is 0x%016x (%s)".formatted(slot, raw, WordShape.of(kernel, raw).words()));
  }

  private long physical(long vaddr) {
    return kernel.memory().physicalAddress(vaddr);
  }
}
