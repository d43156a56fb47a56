package org.vmcheck.object;

import org.vmcheck.kernel.WordCache;

/// Links of red-black trees (`struct rb_node`): a word with the parent's address and the colour in
/// its lowest bit, the right child, the left child. Parent and child lead to each other.
final class TreeLinks {
  static final long COLOUR = 3;
  private static final int RIGHT = 8;
  private static final int LEFT = 16;

  private final WordCache words;

  TreeLinks(WordCache words) {
    this.words = words;
  }

  /// Whether a node's first word leads to a parent that leads back.
  boolean isChild(long node, long first) {
    return isRightChild(node, first) || isLeftChild(node, first);
  }

  boolean isRightChild(long node, long first) {
    return isChild(node, first, RIGHT);
  }

  boolean isLeftChild(long node, long first) {
    return isChild(node, first, LEFT);
  }

  private boolean isChild(long node, long first, int member) {
    long parent = first & ~COLOUR;
    return parent < 0 && (parent & 7) == 0 && parent != node && words.word(parent + member) == node;
  }

  /// Whether a node's child leads back, or there is none.
  boolean isParentOf(long node, long child) {
    return child == 0 || ((child & 7) == 0 && parent(child) == node);
  }

  private long parent(long node) {
    return node < 0 ? words.word(node) & ~COLOUR : 0;
  }

  /// Whether a node is a root, or its parent leads back to it: one that was taken out of its tree
  /// keeps its words.
  boolean isAttached(long node) {
    long first = words.word(node);
    return (first & ~COLOUR) == 0 || isChild(node, first);
  }

  /// Whether a node must be black, for its parent or one of its children is red; of others that
  /// cannot be told.
  boolean isBlack(long node, long parent) {
    return isRed(parent) || isRed(words.word(node + RIGHT)) || isRed(words.word(node + LEFT));
  }

  private boolean isRed(long node) {
    return node < 0 && (words.word(node) & 1) == 0;
  }

  /// The first word that a node must have, a bit away from the one that it has: the one node that
  /// leads to it, and whose children are not both another's.
  ///
  /// @return 0 if there is none, or more than one, or if the node's children do not lead back to it
  long rightParent(long node, long first) {
    if ((first & ~COLOUR) == node
        || !isParentOf(node, words.word(node + RIGHT))
        || !isParentOf(node, words.word(node + LEFT))) {
      return 0;
    }
    long right = 0;
    for (int bit = 2; bit < Long.SIZE; bit++) {
      long other = first ^ (1L << bit);
      if (isChild(node, other) && isAttached(other & ~COLOUR)) {
        if (right != 0) {
          return 0;
        }
        right = other;
      }
    }
    return right;
  }

  /// The child that a node must have, a bit away from the one that it has; -1 if there is none, or
  /// more than one. A child that leads to its parent proves itself; no child is right where one bit
  /// is all that there is.
  ///
  /// @param beside the other child
  long rightChild(long node, long child, long beside) {
    long right = -1;
    for (int bit = 0; bit < Long.SIZE; bit++) {
      long other = child ^ (1L << bit);
      if (other == 0) {
        return bit > 2 ? 0 : -1;
      }
      if ((other & 7) == 0 && other != beside && other != node && parent(other) == node) {
        if (right != -1) {
          return -1;
        }
        right = other;
      }
    }
    return right;
  }
}
