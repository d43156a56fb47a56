package org.vmcheck.object;

import java.util.ArrayList;
import java.util.List;
import java.util.function.LongFunction;
import org.vmcheck.kernel.PairedLinks;

/// What the objects of one cache have at one offset.
final class Siblings {
  /// Objects of which fewer agree by chance.
  private static final int LEAST = 16;

  /// How many must have a pointer, and how many the very same, before a value is compared with
  /// these.
  private static final int MANY = 64;

  private static final int AS_MANY = 24;

  /// Values that are kept to tell what kind of pointer it is.
  private static final int SAMPLES = 16;

  private static final int MAX_SUSPECTS = 64;

  /// Objects of a cache that hold what no state of theirs allows. More are a use of the word that
  /// the others do not show.
  static final int FEW_WRONG = 4;

  /// Links answered on both sides, heads that lead to themselves, and pairs of which one side is.
  private long whole;

  private long empty;
  private long odd;

  /// Last nodes of chains that end in null or an odd number.
  private long last;

  /// Nodes of trees whose parent leads back to them.
  private long rightChildren;

  private long leftChildren;

  /// Words that are not 0, of these the addresses of memory that exists, and what else kernels keep
  /// in pointers.
  private long filled;

  private long pointers;
  private long marked;
  private long errors;
  private long wild;
  private final long[] samples = new long[SAMPLES];
  private final List<Suspect> suspects = new ArrayList<>();
  private Suspect nonCanonical;
  private int nonCanonicals;
  private final List<Suspect> noAddresses = new ArrayList<>();
  private long noAddress;
  private long sameError;
  private long sameErrors;
  private Suspect nearError;
  private int nearErrors;
  private FrequentWords values;
  private FrequentWords distances;

  /// A word that may be wrong.
  ///
  /// @param pair for a link: what it is with its neighbour; null for a pointer that leads nowhere
  record Suspect(long object, long value, PairedLinks.Pair pair) {}

  void link(PairedLinks.Pair pair) {
    switch (pair) {
      case WHOLE -> whole++;
      case EMPTY -> empty++;
      case FORWARD, BACKWARD, HALF_EMPTY -> odd++;
      case NONE -> {}
    }
  }

  /// A link of a chain's last node. The first ones may be nodes of a list of which the link was
  /// cleared.
  void last(long object, long value) {
    if (last++ < FEW_WRONG) {
      suspect(object, value, PairedLinks.Pair.BACKWARD);
    }
  }

  /// A value that no processor takes for an address. It is counted as what else it is, too.
  void noAddress(long object, long value) {
    if (noAddress++ < FEW_WRONG) {
      noAddresses.add(new Suspect(object, value, null));
    }
  }

  void treeNode(boolean isLeft) {
    if (isLeft) {
      leftChildren++;
    } else {
      rightChildren++;
    }
  }

  /// @param distance from the object to what the pointer leads to, in bytes
  void pointer(long value, long distance) {
    filled++;
    // The first ones, and then others now and then: first come the oldest slabs.
    if (pointers < SAMPLES) {
      samples[(int) pointers] = value;
    } else if ((pointers & 63) == 0) {
      samples[(int) (pointers >>> 6) % SAMPLES] = value;
    }
    if (pointers == 0) {
      values = new FrequentWords();
      distances = new FrequentWords();
    }
    pointers++;
    values.add(value);
    distances.add(distance);
  }

  /// A pointer with marks in its lowest bits, an error number, poison.
  void marked() {
    filled++;
    marked++;
  }

  /// An error number, as [#marked] takes too.
  void error(long value) {
    errors++;
    if (value == sameError || sameErrors == 0) {
      sameError = value;
      sameErrors++;
    } else {
      sameErrors--;
    }
  }

  /// A value that is an error number but for one bit. It is counted as what else it is, too.
  void nearError(long object, long value) {
    nearError = nearErrors++ == 0 ? new Suspect(object, value, null) : null;
  }

  /// The only one; null if there is none, or if others have no error number there.
  Suspect nearError() {
    return sameErrors >= MANY ? nearError : null;
  }

  /// The error number that most have there that have any.
  long sameError() {
    return sameError;
  }

  /// A value that may be a damaged pointer.
  void wild(long object, long value) {
    filled++;
    wild++;
    suspect(object, value, null);
  }

  /// A value that one of the highest bits makes an address.
  void nonCanonical(long object, long value) {
    if (nonCanonical == null) {
      nonCanonical = new Suspect(object, value, null);
    }
    nonCanonicals++;
  }

  void other() {
    filled++;
  }

  void suspect(long object, long value, PairedLinks.Pair pair) {
    if (suspects.size() < MAX_SUSPECTS) {
      suspects.add(new Suspect(object, value, pair));
    }
  }

  Suspect nonCanonical() {
    return nonCanonical;
  }

  int nonCanonicals() {
    return nonCanonicals;
  }

  List<Suspect> suspects() {
    return suspects;
  }

  /// Whether the word is the first of a list's two in nearly all siblings.
  boolean areLinks() {
    return whole + last >= LEAST && odd * 20 <= whole + empty + last + odd && !areTreeNodes();
  }

  /// Whether the word is the first of a list's head in nearly all siblings, mostly of an empty one.
  boolean areHeads() {
    return whole + empty >= LEAST && odd * 20 <= whole + empty + odd;
  }

  /// Whether the word is the first of a list's two in many siblings, even if not in all.
  boolean isOfLists() {
    return whole + empty >= LEAST && !areTreeNodes();
  }

  /// Whether nearly all siblings that have anything there have a tree's node, of which this word is
  /// the first. The head of a hash chain looks like a node's right child, but never like a left
  /// one.
  boolean areTreeNodes() {
    long nodes = leftChildren + rightChildren;
    return nodes >= LEAST
        && nodes * 20 >= filled * 17
        && 4 * leftChildren >= nodes
        && 4 * rightChildren >= nodes;
  }

  /// Whether nearly all siblings, but for the suspects, have a pointer there or nothing.
  boolean arePointers() {
    return pointers >= LEAST && (filled - pointers - wild) * 20 <= filled;
  }

  /// The few words that are no address where all others are pointers or null; empty if there is
  /// anything else.
  ///
  /// @param areTyped whether the type says that it is a pointer, and many enough are null
  List<Suspect> wrongPointers(boolean areTyped) {
    return noAddress <= FEW_WRONG
            && filled == pointers + marked + noAddress
            && (areTyped || (pointers >= MANY && marked == errors))
        ? noAddresses
        : List.of();
  }

  /// The few words that are no address where all other objects have a pointer, none of them null:
  /// each that is taken gets one.
  ///
  /// @param objects of the cache
  List<Suspect> wrongAmongPointers(long objects) {
    return noAddress <= FEW_WRONG && pointers >= 4 * MANY && pointers + noAddress == objects
        ? noAddresses
        : List.of();
  }

  /// Whether all siblings but one have a pointer there or nothing.
  boolean isOneWild() {
    return wild == 1 && filled == pointers + marked + wild;
  }

  boolean areManyPointers() {
    return pointers >= MANY;
  }

  /// Whether nearly all siblings have pointers there, also such as are not aligned (names).
  boolean areMarkedPointers() {
    return pointers + marked >= MANY && (filled - pointers - marked) * 20 <= filled;
  }

  /// Whether error numbers are kept there.
  boolean areErrors() {
    return errors >= LEAST;
  }

  /// The very values that many siblings have where all have pointers.
  long[] sameValues() {
    return pointers >= MANY && arePointers() ? values.atLeast(AS_MANY) : new long[0];
  }

  /// The same of the distances from the objects: pointers into an object itself.
  long[] sameDistances() {
    return pointers >= MANY && arePointers() ? distances.atLeast(AS_MANY) : new long[0];
  }

  long linkedWords() {
    return 2 * (whole + empty) + last;
  }

  long pointers() {
    return pointers;
  }

  /// How many of the samples are of a kind.
  ///
  /// @param kinds what kind of thing lies at an address; null if that cannot be told
  int like(Object kind, LongFunction<Object> kinds) {
    int like = 0;
    for (int i = 0; i < sampleCount(); i++) {
      if (kind.equals(kinds.apply(samples[i]))) {
        like++;
      }
    }
    return like;
  }

  int sampleCount() {
    return (int) Math.min(pointers, SAMPLES);
  }
}
