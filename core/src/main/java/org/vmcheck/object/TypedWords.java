package org.vmcheck.object;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.SlabCache;

/// Words of allocated objects that have a bit which their type never has: see [LegalBits].
///
/// Types are believed where all objects of a cache but a few keep to them, and where members that
/// were not written yet are null.
final class TypedWords {
  private static final int WORD = AllocatedObjects.WORD;

  /// Objects with such a word, of one member. Of more, the type is another than it is taken for.
  private static final int FEW_WRONG = 4;

  private final ObjectPass pass;
  private final LegalBits legal;
  private final Map<SlabCache, Types> types = new HashMap<>();

  private record Wrong(long object, long value) {}

  /// What is known of a cache's objects.
  private static final class Types {
    final List<LegalBits.Leaf> leaves;

    /// By word.
    final long[] never;

    final List<List<Wrong>> wrong = new ArrayList<>();
    long typed;
    long bytes;

    Types(List<LegalBits.Leaf> leaves, int words) {
      this.leaves = leaves;
      this.never = new long[words];
      for (LegalBits.Leaf leaf : leaves) {
        int word = (int) (leaf.bits() / Long.SIZE);
        if (word < words) {
          never[word] |= never(leaf);
          typed++;
          bytes += leaf.width() / Byte.SIZE;
        }
      }
      for (int i = 0; i < words; i++) {
        wrong.add(null);
      }
    }

    static long never(LegalBits.Leaf leaf) {
      long all = leaf.width() == Long.SIZE ? -1 : (1L << leaf.width()) - 1;
      return (~leaf.legal() & all) << (leaf.bits() % Long.SIZE);
    }
  }

  TypedWords(ObjectPass pass, Kernel kernel) {
    this.pass = pass;
    this.legal =
        new LegalBits(
            kernel.perCpu().cpus().stream().reduce(0, Integer::max) + 1,
            kernel.memory().physical().endPfn());
  }

  void object(SlabCache cache, long object, long[] words, int count) {
    Types known = types.computeIfAbsent(cache, one -> of(one, count));
    long[] never = known.never;
    for (int i = 0; i < Math.min(count, never.length); i++) {
      if ((words[i] & never[i]) != 0) {
        List<Wrong> all = known.wrong.get(i);
        if (all == null) {
          all = new ArrayList<>();
          known.wrong.set(i, all);
        }
        if (all.size() <= FEW_WRONG) {
          all.add(new Wrong(object, words[i]));
        }
      }
    }
  }

  private Types of(SlabCache cache, int words) {
    return ObjectPass.isOfOneType(cache) && pass.areCleared(cache) && pass.isStill()
        ? pass.struct(cache)
            .map(struct -> new Types(legal.of(struct), words))
            .orElseGet(() -> new Types(List.of(), 0))
        : new Types(List.of(), 0);
  }

  /// Words that the types say something of.
  long lookedAt() {
    long sum = 0;
    for (Map.Entry<SlabCache, Types> one : types.entrySet()) {
      sum += one.getValue().typed * pass.objectsOf(one.getKey());
    }
    return sum;
  }

  /// How much memory that is.
  long bytes() {
    long sum = 0;
    for (Map.Entry<SlabCache, Types> one : types.entrySet()) {
      sum += one.getValue().bytes * pass.objectsOf(one.getKey());
    }
    return sum;
  }

  /// In memory of more than one moment a slab's objects may be of another time than its list.
  void judge() {
    if (!pass.isStill()) {
      return;
    }
    types.forEach(this::judge);
  }

  private void judge(SlabCache cache, Types known) {
    for (int i = 0; i < known.never.length; i++) {
      List<Wrong> all = known.wrong.get(i);
      if (all == null || all.size() > FEW_WRONG || !pass.areMany(cache)) {
        continue;
      }
      for (Wrong wrong : all) {
        long address = wrong.object + (long) i * WORD;
        if (i * WORD != cache.offset() && !pass.isStale(wrong.value, address)) {
          word(cache, known, i, wrong);
        }
      }
    }
  }

  private void word(SlabCache cache, Types known, int index, Wrong wrong) {
    long bits = wrong.value & known.never[index];
    int lowest = Long.numberOfTrailingZeros(bits);
    for (LegalBits.Leaf leaf : known.leaves) {
      long never = leaf.bits() / Long.SIZE == index ? Types.never(leaf) : 0;
      if ((never & 1L << lowest) == 0) {
        continue;
      }
      int shift = (int) (leaf.bits() % Long.SIZE);
      long value =
          leaf.width() == Long.SIZE
              ? wrong.value
              : wrong.value >>> shift & (1L << leaf.width()) - 1;
      if (leaf.width() < Long.SIZE && value == (1L << leaf.width()) - 1) {
        continue; // -1, of what has no sign.
      }
      boolean isOne = (bits & bits - 1) == 0;
      pass.add(
          cache,
          wrong.object,
          index * WORD,
          (int) (leaf.bits() / Byte.SIZE),
          wrong.value,
          isOne ? OptionalLong.of(wrong.value ^ bits) : OptionalLong.empty(),
          ObjectFault.Witness.TYPE,
          ("by its type it is %s, and 0x%x is none: the kernel never sets any of the bits 0x%x"
                  + " there, and no other"
                  + " object of the cache that was read has one of them set")
              .formatted(leaf.what(), value, never >>> shift));
      return;
    }
  }
}
