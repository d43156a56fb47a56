package org.vmcheck.object;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.PairedLinks;
import org.vmcheck.slab.SlabCache;

/// Words that are no address at all where all siblings have links, nodes of trees or pointers: what
/// a stray write leaves.
///
/// No state of an object allows them, so they are faults whether or not anything says what they
/// were. That is looked for: the other nodes of a list's circle say it, and else the one object of
/// the cache that leads to the node, which a sweep of its own finds, made only where such words
/// are.
final class OverwrittenWords {
  private static final int WORD = AllocatedObjects.WORD;
  private static final int MAX_LOST = 256;

  private final ObjectPass pass;
  private final PairedLinks paired;
  private final Map<SlabCache, Siblings[]> places;
  private final Map<SlabCache, List<Lost>> lost = new HashMap<>();
  private int lostCount;

  /// What a word was for.
  private enum Role {
    NEXT,
    PREV,
    PARENT,
    CHILD
  }

  /// A link that was overwritten, and whoever leads to its node.
  private static final class Lost {
    final long object;
    final Role role;

    /// Of the node's first word in an object, in words; and of the lost link.
    final int first;

    final int index;
    final long value;

    /// The other child of a tree's node.
    final long beside;

    long neighbour;
    int neighbours;

    Lost(long object, Role role, int first, int index, long value, long beside) {
      this.object = object;
      this.role = role;
      this.first = first;
      this.index = index;
      this.value = value;
      this.beside = beside;
    }

    /// The last word of such a node: a tree's has three.
    int last() {
      return first + (role == Role.NEXT || role == Role.PREV ? 1 : 2);
    }

    long node() {
      return object + (long) first * WORD;
    }
  }

  OverwrittenWords(ObjectPass pass, PairedLinks paired, Map<SlabCache, Siblings[]> places) {
    this.pass = pass;
    this.paired = paired;
    this.places = places;
    places.forEach(this::judge);
  }

  private void judge(SlabCache cache, Siblings[] at) {
    if (!ObjectPass.isOfOneType(cache)) {
      return;
    }
    for (int i = 0; i < at.length; i++) {
      if (at[i] == null) {
        continue;
      }
      for (Siblings.Suspect suspect : at[i].suspects()) {
        if (suspect.pair() != null && i + 1 < at.length) {
          link(cache, at[i], i, suspect);
        }
      }
    }
  }

  /// Last: what a neighbour proves says more.
  private void pointers(SlabCache cache, Siblings[] at) {
    for (int i = 0; i < at.length; i++) {
      if (at[i] != null) {
        pointers(cache, at[i], i * WORD);
      }
    }
  }

  private void link(SlabCache cache, Siblings at, int index, Siblings.Suspect suspect) {
    long node = suspect.object() + (long) index * WORD;
    long next = suspect.value();
    long prev = pass.words().word(node + WORD);
    switch (suspect.pair()) {
      case FORWARD -> {
        if (at.areLinks()) {
          half(cache, suspect.object(), index, Role.PREV, prev, next);
        }
      }
      case BACKWARD -> {
        if (at.areLinks()) {
          half(cache, suspect.object(), index, Role.NEXT, next, prev);
        }
      }
      case HALF_EMPTY -> {
        boolean isNext = prev == node;
        long value = isNext ? next : prev;
        if (at.areHeads() && pass.isNoAddress(value)) {
          pass.add(
              cache,
              suspect.object(),
              (isNext ? index : index + 1) * WORD,
              value,
              OptionalLong.of(node),
              ObjectFault.Witness.EMPTY_HEAD,
              "");
        }
      }
      case NONE, EMPTY, WHOLE -> {}
    }
  }

  /// A pair of which one link is answered. A list's circle says what the other must be, also where
  /// that is null now.
  private void half(SlabCache cache, long object, int index, Role role, long value, long answered) {
    if (!pass.isStill() || (value != 0 && !pass.isNoAddress(value))) {
      return;
    }
    long node = object + (long) index * WORD;
    int word = role == Role.NEXT ? index : index + 1;
    long right = paired.lastOf(node, answered, role == Role.NEXT ? WORD : 0, 1);
    if (right != 0) {
      pass.add(
          cache,
          object,
          word * WORD,
          value,
          OptionalLong.of(right),
          ObjectFault.Witness.NEIGHBOUR,
          "");
    } else if (value != 0) {
      lost(cache, new Lost(object, role, index, word, value, 0));
    }
  }

  /// A word of a tree's node of which one bit does not explain what it holds.
  ///
  /// @param first index of the node's first word in the object; `index` that of the word
  /// @param beside the other child, for a child
  void node(SlabCache cache, long object, int first, int index, long value, long beside) {
    if (pass.isNoAddress(value)) {
      Role role = index == first ? Role.PARENT : Role.CHILD;
      lost(cache, new Lost(object, role, first, index, value, beside));
    }
  }

  private void lost(SlabCache cache, Lost one) {
    if (lostCount++ < MAX_LOST) {
      lost.computeIfAbsent(cache, _ -> new ArrayList<>()).add(one);
    }
  }

  private void pointers(SlabCache cache, Siblings at, int offset) {
    if (offset == cache.offset() || !ObjectPass.isOfOneType(cache) || !pass.isStill()) {
      // Whoever takes an object that is not cleared finds its old free pointer there. In memory of
      // more
      // than one moment a slab's objects may be of another time than its list.
      return;
    }
    boolean isTyped = pass.isKernelsOwn(cache, offset);
    String pointee = pass.pointee(cache, offset);
    List<Siblings.Suspect> wrong =
        pass.areCleared(cache)
            ? at.wrongPointers(isTyped)
            : at.wrongAmongPointers(pass.objectsOf(cache));
    String why =
        isTyped
            ? "its type says that it is a pointer to " + Printable.of(pointee)
            : "%s of the cache that were read have a pointer there (%,d) or none"
                .formatted(
                    wrong.size() == 1
                        ? "all other objects"
                        : "all but %d objects".formatted(wrong.size()),
                    at.pointers());
    for (Siblings.Suspect suspect : wrong) {
      if (!pass.isStale(suspect.value(), suspect.object() + offset)) {
        pass.add(
            cache,
            suspect.object(),
            offset,
            suspect.value(),
            OptionalLong.empty(),
            ObjectFault.Witness.SIBLINGS,
            "no processor takes that for an address, and " + why);
      }
    }
  }

  /// Looks for who leads to the nodes that lost a link.
  void sweep(AllocatedObjects allocated) {
    if (!lost.isEmpty()) {
      allocated.each(
          (cache, object, words, count) -> {
            for (Lost one : lost.getOrDefault(cache, List.of())) {
              if (object != one.object && one.last() < count && leads(one, object, words)) {
                one.neighbour = object + (long) one.first * WORD;
                one.neighbours++;
              }
            }
          });
      lost.forEach((cache, all) -> all.forEach(one -> found(cache, one)));
    }
    places.forEach(this::pointers);
  }

  private boolean leads(Lost one, long object, long[] words) {
    long node = one.node();
    long here = object + (long) one.first * WORD;
    long first = words[one.first];
    long second = words[one.first + 1];
    return switch (one.role) {
      case NEXT -> second == node;
      // One that was taken off its list may still lead on.
      case PREV -> first == node && pass.words().word(second) == here;
      case PARENT -> second == node || words[one.first + 2] == node;
      case CHILD -> (first & ~TreeLinks.COLOUR) == node && here != one.beside;
    };
  }

  private void found(SlabCache cache, Lost one) {
    long right = one.neighbours == 1 ? one.neighbour : 0;
    if (right != 0 && one.role == Role.PARENT) {
      right = pass.trees().isBlack(one.node(), right) ? right | 1 : 0;
    }
    boolean isList = one.role == Role.NEXT || one.role == Role.PREV;
    String like =
        isList && right == 0
            ? "no processor takes that for an address, and the list's other link at 0x%x is answered"
                .formatted(one.node() + (one.role == Role.NEXT ? WORD : 0))
            : one.neighbours == 1
                ? "no processor takes that for an address; the tree's node at 0x%x leads to this one"
                    .formatted(one.neighbour)
                : "no processor takes that for an address, and the object is a tree's node as its"
                    + " siblings are";
    pass.add(
        cache,
        one.object,
        one.index * WORD,
        one.value,
        right == 0 ? OptionalLong.empty() : OptionalLong.of(right),
        isList && right != 0 ? ObjectFault.Witness.NEIGHBOUR : ObjectFault.Witness.TREE,
        like);
  }
}
