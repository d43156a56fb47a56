package org.vmcheck.object;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.function.ToLongFunction;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.SlabCache;

/// Words of allocated objects that have a bit which their type never has: see [LegalBits].
///
/// Types are believed where all objects of a cache but a few keep to them, and where members that
/// were not written yet are null.
final class TypedWords {
  private static final int WORD = AllocatedObjects.WORD;

  private final ObjectPass pass;
  private final LegalBits legal;
  private final Map<SlabCache, Types> types = new HashMap<>();

  private record Wrong(long object, long value) {}

  /// What is known of a cache's objects: bits that are never set, and objects that have them, by
  /// word.
  private static final class Types {
    final List<LegalBits.Leaf> leaves = new ArrayList<>();
    final long[] never;
    final Map<Integer, List<Wrong>> wrong = new TreeMap<>();

    Types(List<LegalBits.Leaf> all, int words) {
      this.never = new long[words];
      for (LegalBits.Leaf leaf : all) {
        int word = (int) (leaf.bits() / Long.SIZE);
        if (word < words) {
          never[word] |= leaf.never();
          leaves.add(leaf);
        }
      }
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
        List<Wrong> all = known.wrong.computeIfAbsent(i, _ -> new ArrayList<>());
        if (all.size() <= Siblings.FEW_WRONG) {
          all.add(new Wrong(object, words[i]));
        }
      }
    }
  }

  /// In memory of more than one moment a slab's objects may be of another time than its list.
  private Types of(SlabCache cache, int words) {
    boolean areBelieved = ObjectPass.isOfOneType(cache) && pass.areCleared(cache) && pass.isStill();
    return new Types(
        areBelieved ? pass.struct(cache).map(legal::of).orElse(List.of()) : List.of(), words);
  }

  /// Words that the types say something of.
  long lookedAt() {
    return sum(leaf -> 1);
  }

  /// How much memory that is.
  long bytes() {
    return sum(leaf -> leaf.width() / Byte.SIZE);
  }

  private long sum(ToLongFunction<LegalBits.Leaf> each) {
    long sum = 0;
    for (Map.Entry<SlabCache, Types> one : types.entrySet()) {
      long ofObject = one.getValue().leaves.stream().mapToLong(each).sum();
      sum += ofObject * pass.objectsOf(one.getKey());
    }
    return sum;
  }

  void judge() {
    types.forEach(
        (cache, known) -> {
          if (pass.areMany(cache)) {
            known.wrong.forEach((index, all) -> judge(cache, known, index, all));
          }
        });
  }

  private void judge(SlabCache cache, Types known, int index, List<Wrong> all) {
    if (all.size() > Siblings.FEW_WRONG || index * WORD == cache.offset()) {
      return;
    }
    for (Wrong wrong : all) {
      if (!pass.isStale(wrong.value, wrong.object + (long) index * WORD)) {
        word(cache, known, index, wrong, all.size());
      }
    }
  }

  private void word(SlabCache cache, Types known, int index, Wrong wrong, int count) {
    long bits = wrong.value & known.never[index];
    for (LegalBits.Leaf leaf : known.leaves) {
      boolean isLeaf =
          leaf.bits() / Long.SIZE == index && (leaf.never() & Long.lowestOneBit(bits)) != 0;
      long value = leaf.in(wrong.value);
      if (!isLeaf || (leaf.width() < Long.SIZE && value == leaf.mask())) {
        continue; // -1, of what has no sign.
      }
      boolean isOne = (bits & bits - 1) == 0;
      String others =
          count == 1
              ? "no other object of the cache that was read has one of them set"
              : "of the objects of the cache that were read only %d have one of them set"
                  .formatted(count);
      pass.add(
          cache,
          wrong.object,
          index * WORD,
          (int) (leaf.bits() / Byte.SIZE),
          wrong.value,
          isOne ? OptionalLong.of(wrong.value ^ bits) : OptionalLong.empty(),
          ObjectFault.Witness.TYPE,
          "by its type it is %s, and 0x%x is none: the kernel never sets any of the bits 0x%x there, and %s"
              .formatted(leaf.what(), value, ~leaf.legal() & leaf.mask(), others));
      return;
    }
  }
}
