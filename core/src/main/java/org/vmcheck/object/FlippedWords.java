package org.vmcheck.object;

import java.util.List;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.PairedLinks;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCache;

/// Words that one bit makes what their siblings have: links, pointers, null, an error number.
final class FlippedWords {
  private static final int WORD = AllocatedObjects.WORD;

  /// Of ten samples as many must be of the kind that the right value is of.
  private static final int LIKE = 5;

  private final ObjectPass pass;
  private final PairedLinks paired;

  FlippedWords(ObjectPass pass, PairedLinks paired) {
    this.pass = pass;
    this.paired = paired;
  }

  /// The words of one cache's objects that were put aside.
  void judge(SlabCache cache, Siblings[] at) {
    for (int i = 0; i < at.length; i++) {
      if (at[i] != null) {
        nonCanonical(cache, at[i], i * WORD);
        nearError(cache, at[i], i * WORD);
        for (Siblings.Suspect suspect : List.copyOf(at[i].suspects())) {
          Cancellation.check();
          if (suspect.pair() == null) {
            pointer(cache, at[i], i * WORD, suspect);
          } else if (ObjectPass.isOfOneType(cache)
              && (suspect.pair() == PairedLinks.Pair.HALF_EMPTY
                  ? at[i].areHeads()
                  : at[i].areLinks())) {
            link(cache, i * WORD, suspect);
          }
        }
      }
    }
  }

  /// Where several siblings have such a value, it is one. In memory that holds whatever its users
  /// put there, random bytes and tags of pointers come near addresses: it must lead to where an
  /// object or what a symbol names begins.
  private void nonCanonical(SlabCache cache, Siblings at, int offset) {
    if (at.nonCanonical() == null || at.nonCanonicals() != 1) {
      return;
    }
    long value = at.nonCanonical().value();
    long right = pass.withHighestBits(value);
    if ((right & 7) == 0
        ? leadsToAStart(right)
        : ObjectPass.isOfOneType(cache) && at.areMarkedPointers()) {
      pass.add(
          cache,
          at.nonCanonical().object(),
          offset,
          value,
          right,
          ObjectFault.Witness.ADDRESS,
          "it lacks one of the highest bits, which are set in all addresses of the kernel; with"
              + " that bit it leads to memory");
    }
  }

  /// Many siblings have the very same error number there (`ACL_NOT_CACHED`).
  private void nearError(SlabCache cache, Siblings at, int offset) {
    Siblings.Suspect suspect = at.nearError();
    if (suspect != null
        && pass.nearError(suspect.value()) == at.sameError()
        && ObjectPass.isOfOneType(cache)
        && !pass.pointee(cache, offset).isEmpty()) {
      pass.add(
          cache,
          suspect.object(),
          offset,
          suspect.value(),
          at.sameError(),
          ObjectFault.Witness.SIBLINGS,
          "many siblings have %d in that pointer".formatted(at.sameError()));
    }
  }

  private boolean leadsToAStart(long address) {
    if (pass.isImage(address)) {
      return pass.kind(address) != null;
    }
    Slab slab = pass.slabOf(address);
    int index = slab == null ? -1 : slab.indexHolding(address);
    return index >= 0 && (slab.object(index) == address || ObjectPass.isOfOneType(slab.cache()));
  }

  /// Where nearly all siblings have a link, one bit and the neighbour's way back are proof enough.
  private void link(SlabCache cache, int offset, Siblings.Suspect suspect) {
    long at = suspect.object() + offset;
    long next = suspect.value();
    long prev = pass.words().word(at + WORD);
    if (suspect.pair() == PairedLinks.Pair.FORWARD) {
      long right = pass.isStill() ? paired.rightPrev(at, prev) : 0;
      // The word behind the next node's own link leads here as well, of a list of one.
      if (isFlip(prev, right)
          && right != next
          && right != next + WORD
          && pass.words().word(right + WORD) != prev) {
        pass.add(
            cache, suspect.object(), offset + WORD, prev, right, ObjectFault.Witness.NEIGHBOUR, "");
      }
    } else if (suspect.pair() == PairedLinks.Pair.BACKWARD) {
      long right = pass.isStill() ? paired.rightNext(at, next) : 0;
      if (isFlip(next, right)
          && right != prev
          && right != prev - WORD
          && pass.words().word(right) != next) {
        pass.add(cache, suspect.object(), offset, next, right, ObjectFault.Witness.NEIGHBOUR, "");
      }
    } else if (next == at && isFlip(prev, at) && pass.words().word(prev) != at) {
      pass.add(
          cache, suspect.object(), offset + WORD, prev, at, ObjectFault.Witness.EMPTY_HEAD, "");
    } else if (prev == at && isFlip(next, at)) {
      pass.add(cache, suspect.object(), offset, next, at, ObjectFault.Witness.EMPTY_HEAD, "");
    }
  }

  private static boolean isFlip(long value, long right) {
    return right != 0 && Long.bitCount(value ^ right) == 1;
  }

  /// A value that leads nowhere is wrong if one bit makes it what siblings have there: nothing, or
  /// a pointer to the kind of thing that theirs lead to, or any if the type says that it is a
  /// pointer.
  private void pointer(SlabCache cache, Siblings at, int offset, Siblings.Suspect suspect) {
    String pointee = pass.pointee(cache, offset);
    long value = suspect.value();
    if (Long.bitCount(value) == 1) {
      if (at.isOneWild()
          && ObjectPass.isOfOneType(cache)
          && pass.areCleared(cache)
          && (at.areManyPointers() || pass.isKernelsOwn(cache, offset))) {
        String others =
            "all other objects of the cache that were read have a pointer there (%,d) or nothing"
                .formatted(at.pointers());
        pass.add(cache, suspect.object(), offset, value, 0, ObjectFault.Witness.SIBLINGS, others);
      }
      return;
    }
    if (!at.arePointers() && (pointee.isEmpty() || !at.isOneWild())) {
      return;
    }
    long right = 0;
    for (int bit = 0; bit < Long.SIZE; bit++) {
      long other = value ^ (1L << bit);
      if ((bit > 2 && pass.isPlain(other)) || (ObjectPass.isError(other) && at.areErrors())) {
        if (right != 0) {
          return;
        }
        right = other;
      }
    }
    if (right == 0) {
      return;
    }
    if (at.isOneWild()
        && (ObjectPass.isError(right)
            || (!pointee.isEmpty() && pass.areMany(cache) && pass.kind(right) != null))) {
      String others =
          pointee.isEmpty()
              ? "all other objects of the cache that were read have a pointer or an error number"
                  + " there, or nothing"
              : "its type says that it is a pointer to %s, and all other objects of the cache that were read have one there, or nothing"
                  .formatted(Printable.of(pointee));
      pass.add(cache, suspect.object(), offset, value, right, ObjectFault.Witness.SIBLINGS, others);
      return;
    }
    Object kind = pass.kind(right);
    int like = kind == null ? 0 : at.like(kind, pass::kind);
    if (like > 0 && like * 10 >= at.sampleCount() * LIKE) {
      pass.add(
          cache,
          suspect.object(),
          offset,
          value,
          right,
          ObjectFault.Witness.SIBLINGS,
          "%,d siblings have a pointer there, %d of %d looked at to %s"
              .formatted(at.pointers(), like, at.sampleCount(), kind));
    }
  }
}
