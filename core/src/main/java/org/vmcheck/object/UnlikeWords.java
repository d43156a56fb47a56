package org.vmcheck.object;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.slab.SlabCache;

/// The second sweep over allocated objects, when it is known what siblings have at each place: the
/// very same pointers, pointers into the object itself, nodes of trees.
///
/// A value is wrong where one bit makes it what many siblings have there, and it leads to nothing
/// that begins there. Two values of one place that are a bit apart and both lead to something are
/// met in healthy kernels.
final class UnlikeWords {
  private static final int WORD = AllocatedObjects.WORD;

  /// Marks that kernels keep in a pointer's lowest bits.
  private static final long MARKS = 7;

  private static final int MAX_CANDIDATES = 1024;

  private final ObjectPass pass;
  private final OverwrittenWords overwritten;
  private final Map<SlabCache, Place[]> places = new HashMap<>();
  private final List<Candidate> candidates = new ArrayList<>();
  private final Map<Key, Integer> held = new HashMap<>();

  /// What is known of a place.
  private static final class Place {
    private final Siblings siblings;
    private final long[] values;
    private final long[] distances;
    private final boolean isTreeNode;

    /// @param bytes size of the object
    Place(Siblings siblings, int bytes) {
      this.siblings = siblings;
      this.values = siblings.sameValues();
      this.distances =
          Arrays.stream(siblings.sameDistances())
              .filter(distance -> distance >= 0 && distance < bytes)
              .toArray();
      this.isTreeNode = siblings.areTreeNodes();
    }

    static Place of(Siblings siblings, int bytes) {
      if (siblings == null) {
        return null;
      }
      Place place = new Place(siblings, bytes);
      return place.values.length + place.distances.length > 0 || place.isTreeNode ? place : null;
    }
  }

  private record Candidate(
      SlabCache cache, long object, int offset, long value, long right, String like) {}

  private record Key(long cache, int offset, long value) {}

  /// @param overwritten takes nodes of trees that one bit does not explain
  UnlikeWords(ObjectPass pass, Map<SlabCache, Siblings[]> siblings, OverwrittenWords overwritten) {
    this.pass = pass;
    this.overwritten = overwritten;
    siblings.forEach(
        (cache, at) -> {
          if (!ObjectPass.isOfOneType(cache)) {
            return;
          }
          Place[] known = new Place[at.length];
          boolean isAny = false;
          for (int i = 0; i < at.length; i++) {
            known[i] = isOfList(at, i) ? null : Place.of(at[i], at.length * WORD);
            isAny |= known[i] != null;
          }
          if (isAny) {
            places.put(cache, known);
          }
        });
  }

  /// Whether a word is one of a list's two: these have a rule of their own.
  private static boolean isOfList(Siblings[] at, int index) {
    return (at[index] != null && at[index].isOfLists())
        || (index > 0 && at[index - 1] != null && at[index - 1].isOfLists());
  }

  void sweep(AllocatedObjects allocated) {
    if (places.isEmpty()) {
      return;
    }
    allocated.each(this::object);
    for (Candidate one : candidates) {
      if (held.get(new Key(one.cache.address(), one.offset, one.value)) == 1) {
        pass.add(
            one.cache,
            one.object,
            one.offset,
            one.value,
            one.right,
            ObjectFault.Witness.SIBLINGS,
            one.like);
      }
    }
  }

  private void object(SlabCache cache, long object, long[] words, int count) {
    Place[] at = places.get(cache);
    if (at == null) {
      return;
    }
    for (int i = 0; i < Math.min(count, at.length); i++) {
      if (at[i] == null) {
        continue;
      }
      if (at[i].isTreeNode && i + 2 < count) {
        node(cache, object, i, words);
      } else if (words[i] != 0) {
        word(cache, object, i * WORD, at[i], words[i]);
      }
    }
  }

  private void word(SlabCache cache, long object, int offset, Place at, long value) {
    long right = 0;
    for (long same : at.values) {
      long bits = same ^ value;
      if (bits == 0) {
        return;
      }
      if ((bits & bits - 1) == 0) {
        right = same;
      }
    }
    boolean isOfObject = false;
    for (long distance : at.distances) {
      long bits = object + distance ^ value;
      if (bits == 0) {
        return;
      }
      if ((bits & bits - 1) == 0) {
        right = object + distance;
        isOfObject = true;
      }
    }
    if (right == 0
        || ((right ^ value) & MARKS) != 0
        || !pass.isNothing(value, right, at.siblings)) {
      return;
    }
    Key key = new Key(cache.address(), offset, value);
    if (held.computeIfPresent(key, (_, count) -> count + 1) == null
        && candidates.size() < MAX_CANDIDATES) {
      held.put(key, 1);
      candidates.add(
          new Candidate(
              cache,
              object,
              offset,
              value,
              right,
              isOfObject
                  ? "in many siblings the pointer there leads to byte %d of the object itself"
                      .formatted(right - object)
                  : "many siblings have exactly that pointer there"));
    }
  }

  private void node(SlabCache cache, long object, int index, long[] words) {
    TreeLinks trees = pass.trees();
    long node = object + (long) index * WORD;
    long parent = words[index];
    if (parent == 0 || !pass.isStill()) {
      return; // It is in no tree, or one may be turned just now.
    }
    if (!trees.isAttached(node)) {
      long right = trees.rightParent(node, parent);
      if (right != 0) {
        link(cache, object, index, parent, right);
      } else if (trees.isParentOf(node, words[index + 1])
          && trees.isParentOf(node, words[index + 2])) {
        overwritten.node(cache, object, index, index, parent, 0);
      }
      return;
    }
    for (int i = 1; i <= 2; i++) {
      long child = words[index + i];
      long beside = words[index + 3 - i];
      // A root that was taken out leads to nothing any more, and nothing leads to it.
      boolean isIn = trees.isChild(node, parent) || (beside != 0 && trees.isParentOf(node, beside));
      if (isIn && !trees.isParentOf(node, child)) {
        long right = trees.rightChild(node, child, beside);
        if (right != -1) {
          link(cache, object, index + i, child, right);
        } else {
          overwritten.node(cache, object, index, index + i, child, beside);
        }
      }
    }
  }

  private void link(SlabCache cache, long object, int index, long value, long right) {
    pass.add(
        cache,
        object,
        index * WORD,
        value,
        right,
        ObjectFault.Witness.TREE,
        right == 0
            ? "it is a child of a tree's node, and no node has that address"
            : "the tree's node at 0x%x leads to this one".formatted(right & ~TreeLinks.COLOUR));
  }
}
