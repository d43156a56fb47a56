package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.LongPredicate;
import org.vmcheck.finding.Evidence;

/// Bits that turn a word into one that leads to an object of the slab.
///
/// @param target the object, 0 for the end of the list
/// @param bits one or two
record Flip(long target, long bits) {
  static final int MAX_BITS = 2;

  /// The fewest bits, at most two, that lead a word to one of the targets that will do.
  static Optional<Flip> nearest(BrokenList list, BadWord word, LongPredicate isRight) {
    Flip best = null;
    for (long target : list.targets()) {
      long bits = word.raw() ^ list.encode(target, word);
      int known = best == null ? MAX_BITS + 1 : best.count();
      if (Long.bitCount(bits) < known && isRight.test(target)) {
        best = new Flip(target, bits);
      }
    }
    return Optional.ofNullable(best);
  }

  /// The fewest bits, at most two, that make a pointer right; of several ways, one that closes the
  /// list, else the one that leads furthest.
  static Optional<Flip> nearest(BrokenList list, BadWord word) {
    Flip best = null;
    int bestReach = -1;
    for (long target : list.targets()) {
      long bits = word.raw() ^ list.encode(target, word);
      int distance = Long.bitCount(bits);
      int known = best == null ? MAX_BITS + 1 : best.count();
      if (distance > known || distance > MAX_BITS) {
        continue;
      }
      int reach = list.closes(target) ? Integer.MAX_VALUE : list.rest(target).length();
      if (distance < known || reach > bestReach) {
        best = new Flip(target, bits);
        bestReach = reach;
      }
    }
    return Optional.ofNullable(best);
  }

  int count() {
    return Long.bitCount(bits);
  }

  boolean isOneBit() {
    return count() == 1;
  }

  /// Whether the same bit of both 32-bit halves is set and should not be: stores of 32 bits that
  /// set a bit do that, a memory module does not.
  boolean isSetInBothHalves(long raw) {
    return count() == 2 && (bits & 0xffff_ffffL) == bits >>> 32 && (raw & bits) == bits;
  }

  String itOrThem() {
    return isOneBit() ? "the bit" : "the bits";
  }

  /// The bits as evidence: the word as it is and as it was.
  Evidence evidence(BrokenList list, BadWord word) {
    List<String> numbers = new ArrayList<>();
    for (int bit = 0; bit < 64; bit++) {
      if ((bits >>> bit & 1) != 0) {
        numbers.add(
            "%d (bit %d of the byte at physical 0x%x)"
                .formatted(bit, bit & 7, list.physical(word.slot()) + bit / 8));
      }
    }
    return new Evidence.WordAt(
        word.slot(),
        list.physical(word.slot()),
        word.raw(),
        word.raw() ^ bits,
        "bit %s of the word at 0x%x differs from the word that leads to %s"
            .formatted(String.join(" and ", numbers), word.slot(), list.targetWords(target)));
  }
}
