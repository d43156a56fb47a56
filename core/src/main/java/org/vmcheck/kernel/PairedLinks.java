package org.vmcheck.kernel;

import java.util.function.Consumer;
import java.util.function.LongPredicate;
import java.util.function.LongUnaryOperator;
import org.vmcheck.io.Cancellation;

/// Links of memory, found without types: two words of which the first leads to a word that is
/// followed by the way back, or the second to the way back itself (`struct list_head`, `struct
/// hlist_node`, and their heads). Heads without nodes lead to themselves.
///
/// A link is wrong only where one bit makes it whole, or where no processor takes it for an
/// address, and all other links of the same circle are whole: trees, hash chains and pointers to a
/// word's own struct look like links here and there, but close no circle.
public final class PairedLinks {
  /// Nodes that are followed in all, from words that may be wrong links.
  private static final int MAX_STEPS = 1 << 22;

  /// Nodes besides the pair that make a circle of what may be no list: two words that lead to each
  /// other are met elsewhere.
  private static final int FEWEST = 2;

  private final LongUnaryOperator words;
  private final boolean isStill;
  private final int lowestBit;
  private final LongPredicate isNoAddress;
  private final Consumer<Wrong> sink;
  private int steps;

  /// What two words are.
  public enum Pair {
    /// No link.
    NONE,
    /// A head without nodes.
    EMPTY,
    /// Two links, both answered.
    WHOLE,
    /// The first word is an answered link, the second is none.
    FORWARD,
    /// The second word is, the first is none.
    BACKWARD,
    /// One word leads to the pair itself, the other does not.
    HALF_EMPTY
  }

  /// A link that one bit, or what the circle says of it, makes whole.
  ///
  /// @param node address of the pair
  /// @param member `next` or `prev`
  /// @param address of the word
  /// @param value what it holds
  /// @param right what it must hold
  public record Wrong(long node, String member, long address, long value, long right) {
    /// Whether one bit makes it right.
    public boolean isFlip() {
      return Long.bitCount(value ^ right) == 1;
    }
  }

  /// @param words the word at an address; 0 where there is none
  /// @param isStill whether all memory is of one moment, as it is after a panic
  /// @param lowestBit of which a flip is told: below it lie the other words of a neighbour's own
  ///   structure, which lead back as well where nodes of trees are met
  /// @param isNoAddress whether no processor takes a value for an address, and no kernel keeps it
  ///   in a link
  /// @param sink takes links that are wrong
  public PairedLinks(
      LongUnaryOperator words,
      boolean isStill,
      int lowestBit,
      LongPredicate isNoAddress,
      Consumer<Wrong> sink) {
    this.words = words;
    this.isStill = isStill;
    this.lowestBit = lowestBit;
    this.isNoAddress = isNoAddress;
    this.sink = sink;
  }

  /// Looks at the two words at an address.
  ///
  /// @param behind the word behind them; 0 if there is none
  public Pair look(long at, long next, long prev, long behind) {
    if (next >= 0 && prev >= 0) {
      return Pair.NONE; // Of a link one may have lost its top bit.
    }
    if (next == at || prev == at) {
      if (next == at && prev == at) {
        return Pair.EMPTY;
      }
      empty(at, next, prev, behind);
      return Pair.HALF_EMPTY;
    }
    boolean isForward = word(next + 8) == at;
    boolean isBackward = word(prev) == at;
    if (isForward && isBackward) {
      return Pair.WHOLE;
    }
    if (isForward) {
      if (isStill) {
        prev(at, next, prev, behind);
      }
      return Pair.FORWARD;
    }
    if (isBackward) {
      if (isStill) {
        next(at, next, prev);
      }
      return Pair.BACKWARD;
    }
    return Pair.NONE;
  }

  /// A head without nodes leads to itself, twice. A pointer to the struct that it begins, as of a
  /// tree's node that is in no tree, may stand before such a head, or before a child.
  private void empty(long at, long next, long prev, long behind) {
    // The second word of the empty head before may be followed by a pointer to it.
    boolean isBehindHead = next == at - 8 && word(at - 8) == at - 8;
    // A node that is being added or taken off leads back.
    if (prev == at
        && ((isStill && isNoAddress.test(next))
            || (isFlip(next, at) && word(next + 8) != at && !isBehindHead))) {
      sink.accept(new Wrong(at, "next", at, next, at));
    } else if (next == at
        && ((isStill && isNoAddress.test(prev))
            || (isFlip(prev, at) && word(prev) != at && !(prev == at + 8 && behind == prev)))) {
      sink.accept(new Wrong(at, "prev", at + 8, prev, at));
    }
  }

  /// Whether a link differs from the address that it must hold by one bit, of those that are told.
  ///
  /// @param right 0 if there is none
  public boolean isFlip(long value, long right) {
    long bits = value ^ right;
    return right != 0 && Long.bitCount(bits) == 1 && bits >>> lowestBit != 0;
  }

  private void prev(long at, long next, long prev, long behind) {
    long right = rightPrev(at, prev);
    if (!isFlip(prev, right)) {
      if (isNoAddress.test(prev)) {
        overwritten(at, "prev", at + 8, prev, lastOf(at, next, 0, FEWEST));
      }
      return;
    }
    // What follows a hash head is no link of it, and the node behind the head leads back to it
    // with its second word. The children of a tree's node lead to it too; and a node that is being
    // taken off its list.
    if (right != behind
        && right != next
        && right != next + 8
        && word(right + 8) != prev
        && lastOf(at, next, 0, 1) == right) {
      sink.accept(new Wrong(at, "prev", at + 8, prev, right));
    }
  }

  private void next(long at, long next, long prev) {
    long right = rightNext(at, next);
    if (!isFlip(next, right)) {
      if (isNoAddress.test(next)) {
        overwritten(at, "next", at, next, lastOf(at, prev, 8, FEWEST));
      }
      return;
    }
    if (right != prev && word(right) != next && lastOf(at, prev, 8, 1) == right) {
      sink.accept(new Wrong(at, "next", at, next, right));
    }
  }

  private void overwritten(long at, String member, long address, long value, long right) {
    if (right != 0) {
      sink.accept(new Wrong(at, member, address, value, right));
    }
  }

  /// The one address, a bit away from the second word of a pair, whose word leads to the pair; 0 if
  /// there is none, or more than one.
  public long rightPrev(long at, long prev) {
    long right = 0;
    for (int bit = 0; bit < 64; bit++) {
      long other = prev ^ (1L << bit);
      if (other != at && other < 0 && word(other) == at) {
        if (right != 0) {
          return 0;
        }
        right = other;
      }
    }
    return right;
  }

  /// The one node, a bit away from the first word of a pair, whose second word leads to the pair; 0
  /// if there is none, or more than one.
  public long rightNext(long at, long next) {
    long right = 0;
    for (int bit = 0; bit < 64; bit++) {
      long other = next ^ (1L << bit);
      if (other != at && other < 0 && word(other + 8) == at) {
        if (right != 0) {
          return 0;
        }
        right = other;
      }
    }
    return right;
  }

  /// The last node of a circle that begins and ends at a pair of which one link is answered: where
  /// the pair's other link must lead, whatever it holds. All links between must be answered.
  ///
  /// @param from what the answered link leads to
  /// @param link offset of the answered link in a node, 0 or 8
  /// @param least nodes that the circle must have besides the pair
  /// @return 0 if no circle of answered links closes there
  public long lastOf(long at, long from, int link, int least) {
    long node = from;
    for (int nodes = 1; ; nodes++) {
      Cancellation.current().step();
      long beside = word(node + link);
      if (beside == at) {
        return nodes >= least ? node : 0;
      }
      if (++steps > MAX_STEPS || beside == from || word(beside + 8 - link) != node) {
        return 0;
      }
      node = beside;
    }
  }

  /// The word at an address; 0 if it is no word that a link could lead to.
  private long word(long at) {
    return at < 0 && (at & 7) == 0 ? words.applyAsLong(at) : 0;
  }
}
