package org.vmcheck.object;

import java.util.ArrayList;
import java.util.List;
import java.util.function.LongFunction;
import org.vmcheck.kernel.PairedLinks;

/// What the objects of one cache have at one offset.
final class Siblings {
  /// Objects of which fewer agree by chance.
  private static final int LEAST = 16;

  /// Values that are kept to tell what kind of pointer it is.
  private static final int SAMPLES = 16;

  private static final int MAX_SUSPECTS = 64;

  /// Links answered on both sides, heads that lead to themselves, and pairs of which one side is.
  private long whole;

  private long empty;
  private long odd;

  /// Words that are not 0, and of these the addresses of memory that exists.
  private long filled;

  private long pointers;
  private final long[] samples = new long[SAMPLES];
  private final List<Suspect> suspects = new ArrayList<>();

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

  void pointer(long value) {
    filled++;
    // The first ones, and then others now and then: first come the oldest slabs.
    if (pointers < SAMPLES) {
      samples[(int) pointers] = value;
    } else if ((pointers & 63) == 0) {
      samples[(int) (pointers >>> 6) % SAMPLES] = value;
    }
    pointers++;
  }

  void other() {
    filled++;
  }

  void suspect(long object, long value, PairedLinks.Pair pair) {
    if (suspects.size() < MAX_SUSPECTS) {
      suspects.add(new Suspect(object, value, pair));
    }
  }

  List<Suspect> suspects() {
    return suspects;
  }

  /// Whether the word is the first of a list's two in nearly all siblings.
  boolean areLinks() {
    return whole >= LEAST && odd * 20 <= whole + empty + odd;
  }

  /// Whether the word is the first of a list's head in nearly all siblings, mostly of an empty one.
  boolean areHeads() {
    return whole + empty >= LEAST && odd * 20 <= whole + empty + odd;
  }

  /// Whether nearly all siblings, but for the suspects, have a pointer there or nothing.
  boolean arePointers() {
    return pointers >= LEAST && (filled - pointers - suspects.size()) * 20 <= filled;
  }

  long linkedWords() {
    return 2 * (whole + empty);
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
