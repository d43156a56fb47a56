package org.vmcheck.object;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.function.ToLongFunction;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.ListPoison;
import org.vmcheck.kernel.PairedLinks;
import org.vmcheck.kernel.WordCache;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabView;
import org.vmcheck.slab.SlabViews;
import org.vmcheck.slab.StaleWords;

/// The pass of an [ObjectSurvey].
///
/// First every word of every allocated object is counted at its place (cache and offset), and the
/// words that may be wrong are put aside. Then these are judged by what their siblings have there.
/// Only a word that one bit makes right is a fault: values that merely are unlike their siblings'
/// are met in every healthy kernel.
final class ObjectPass {
  private static final int WORD = AllocatedObjects.WORD;
  private static final int MAX_FAULTS = 64;

  /// A pointer that was null has one bit. Of smaller ones, numbers kept in pointers, and sizes.
  private static final long LEAST_BIT = 1 << 12;

  /// Objects of which types say what is a pointer.
  private static final int FEW = 16;

  /// Bits that choose a word within a line of the caches: see [PairedLinks].
  private static final int LOWEST_BIT = 6;

  private final Kernel kernel;
  private final MemMap memMap;
  private final VirtualMemory memory;
  private final AddressMap map;
  private final boolean isStill;

  /// From this bit on all are set in the kernel's addresses.
  private final int highest;

  private final WordCache words;
  private final StructNames structs;
  private final PairedLinks paired;
  private final TreeLinks trees;
  private final Optional<SlabViews> views;
  private final TypedWords typed;
  private final Map<SlabCache, Siblings[]> places = new HashMap<>();
  private final StaleWords stale;
  private final Map<Long, ObjectFault> faults = new TreeMap<>(Long::compareUnsigned);
  private final Map<SlabCache, long[]> objectsBy = new HashMap<>();
  private long objects;
  private SlabCache cacheAtHand;
  private long objectAtHand;

  ObjectPass(Kernel kernel, MemMap memMap, boolean isStill) {
    this.kernel = kernel;
    this.memMap = memMap;
    this.memory = kernel.memory();
    this.map = memory.map();
    this.isStill = isStill;
    this.highest = Math.max(47, Long.SIZE - Long.numberOfLeadingZeros(~map.directMapAddress(0)));
    this.words = new WordCache(memory);
    this.structs = new StructNames(kernel);
    this.views = SlabViews.of(kernel);
    this.stale = new StaleWords(kernel, places.keySet());
    this.typed = new TypedWords(this, kernel);
    this.trees = new TreeLinks(words);
    this.paired = new PairedLinks(words::word, isStill, LOWEST_BIT, this::isNoAddress, this::link);
  }

  ObjectSurvey run() {
    AllocatedObjects allocated = new AllocatedObjects(kernel, memMap, words);
    allocated.each(this::object);
    Map<String, Long> notRead = new TreeMap<>(allocated.notRead());
    FlippedWords flipped = new FlippedWords(this, paired);
    places.forEach(flipped::judge);
    typed.judge();
    OverwrittenWords overwritten = new OverwrittenWords(this, paired, places);
    new UnlikeWords(this, places, overwritten).sweep(allocated);
    overwritten.sweep(allocated);
    Map<String, Long> lookedAt = new TreeMap<>();
    long links = sum(Siblings::linkedWords);
    long pointers = sum(at -> at.arePointers() && at.linkedWords() == 0 ? at.pointers() : 0);
    lookedAt.put("allocated objects", objects);
    lookedAt.put("links", links);
    lookedAt.put("pointers like their siblings'", pointers);
    lookedAt.put("words with unused bits", typed.lookedAt());
    lookedAt.values().removeIf(count -> count == 0);
    return new ObjectSurvey(
        lookedAt,
        notRead,
        faults.values().stream().limit(MAX_FAULTS).toList(),
        (links + pointers) * WORD + typed.bytes());
  }

  private long sum(ToLongFunction<Siblings> counted) {
    long sum = 0;
    for (Siblings[] cache : places.values()) {
      for (Siblings at : cache) {
        sum += at == null ? 0 : counted.applyAsLong(at);
      }
    }
    return sum;
  }

  private void object(SlabCache cache, long object, long[] ofObject, int count) {
    objects++;
    typed.object(cache, object, ofObject, count);
    objectsBy.computeIfAbsent(cache, _ -> new long[1])[0]++;
    cacheAtHand = cache;
    objectAtHand = object;
    Siblings[] at = places.computeIfAbsent(cache, _ -> new Siblings[count]);
    for (int i = 0; i < count; i++) {
      if (ofObject[i] != 0) {
        word(
            at,
            i,
            ofObject[i],
            i + 1 < count ? ofObject[i + 1] : 0,
            i + 2 < count ? ofObject[i + 2] : 0);
      } else if (i + 1 < count && ofObject[i + 1] < 0) {
        lastOfChain(at, i, ofObject[i + 1]);
      }
    }
  }

  /// A null link, before one that is answered.
  private void lastOfChain(Siblings[] at, int index, long prev) {
    if (words.word(prev) == objectAtHand + (long) index * WORD) {
      if (at[index] == null) {
        at[index] = new Siblings();
      }
      at[index].last(objectAtHand, 0);
    }
  }

  private void word(Siblings[] at, int index, long value, long next, long behind) {
    long address = objectAtHand + (long) index * WORD;
    PairedLinks.Pair pair =
        index + 1 < at.length ? paired.look(address, value, next, behind) : PairedLinks.Pair.NONE;
    Siblings siblings = at[index];
    if (siblings == null) {
      siblings = new Siblings();
      at[index] = siblings;
    }
    if (pair == PairedLinks.Pair.BACKWARD && isLast(value)) {
      siblings.last(objectAtHand, value);
    } else if (pair != PairedLinks.Pair.NONE) {
      siblings.link(pair);
      if (pair != PairedLinks.Pair.WHOLE && pair != PairedLinks.Pair.EMPTY) {
        siblings.suspect(objectAtHand, value, pair);
      }
    }
    if (index + 2 < at.length) {
      if (trees.isLeftChild(address, value)) {
        siblings.treeNode(true);
      } else if (trees.isRightChild(address, value)) {
        siblings.treeNode(false);
      }
    }
    if (isNonCanonical(value)) {
      siblings.nonCanonical(objectAtHand, value);
    }
    if (isNoAddress(value)) {
      siblings.noAddress(objectAtHand, value);
    }
    if (nearError(value) != 0) {
      siblings.nearError(objectAtHand, value);
    }
    if (isPlain(value)) {
      siblings.pointer(value, value - objectAtHand);
    } else if (isWild(value)) {
      siblings.wild(objectAtHand, value);
    } else if (isMarked(value)) {
      siblings.marked();
      if (isError(value)) {
        siblings.error(value);
      }
    } else {
      siblings.other();
    }
  }

  /// Whether a value is an address of memory that exists, not marked in its lowest bits.
  boolean isPlain(long value) {
    return value < 0 && (value & 7) == 0 && (map.isDirectMap(value) || map.isImage(value));
  }

  /// Whether a value is no address that a processor takes, nor anything else that kernels keep in
  /// pointers (an error number, list poison, a number that fits into 56 bits), or an address of the
  /// kernel's half where nothing is.
  private boolean isWild(long value) {
    long top = value >> 56;
    if (Long.bitCount(value) == 1) {
      return value >= LEAST_BIT || value < 0;
    }
    if (top == 0 || isError(value) || value >>> 48 == 0xdead) {
      return false;
    }
    return (value & 7) == 0
        && (top != -1 || (words.page(value) == null && memory.physicalAddress(value) < 0));
  }

  /// See [ListPoison#isNoAddress].
  boolean isNoAddress(long value) {
    return ListPoison.isNoAddress(memory, value);
  }

  /// Whether a link ends a chain: null, or the number that marks the end (`hlist_nulls`).
  private static boolean isLast(long link) {
    return link == 0 || ((link & 1) != 0 && link >>> 32 == 0);
  }

  /// Whether a value is no address that a processor takes for one of its highest bits: whatever it
  /// is for, with that bit it is an address of memory that exists. No number, text or mask comes so
  /// near to where the kernel's memory lies.
  private boolean isNonCanonical(long value) {
    if (Long.bitCount(value >>> highest) != Long.SIZE - highest - 1) {
      return false;
    }
    long right = withHighestBits(value);
    return (map.isDirectMap(right) || map.isImage(right)) && words.page(right & ~7L) != null;
  }

  /// A value with all bits set that all addresses of the kernel have set.
  long withHighestBits(long value) {
    return value | -1L << highest;
  }

  boolean isImage(long address) {
    return map.isImage(address);
  }

  /// Whether a value is a pointer with marks in its lowest bits, or what kernels keep in pointers
  /// beside addresses: small numbers with a mark, error numbers, the poison of lists.
  private boolean isMarked(long value) {
    return isError(value)
        || value >>> 48 == 0xdead
        || ((value & 7) != 0 && (value >>> 12 == 0 || words.page(value & ~7L) != null))
        || (value < 0 && words.page(value) != null);
  }

  /// The error number that a value is but for one bit, which makes it an address of nothing; 0 if
  /// it is none.
  long nearError(long value) {
    long missing = ~(value | 4095);
    return Long.bitCount(missing) == 1 && isError(value | missing) && words.page(value & ~7) == null
        ? value | missing
        : 0;
  }

  /// What `ERR_PTR` makes of an error number.
  static boolean isError(long value) {
    return value >= -4095 && value < 0;
  }

  /// A link that no other word of its circle contradicts.
  private void link(PairedLinks.Wrong wrong) {
    if (wrong.right() == wrong.node() && (isPlain(wrong.value()) || !wrong.isFlip())) {
      // A pointer to its own struct may stand before a number; and a tree's node that is in no tree
      // leads to itself and keeps its children (RB_CLEAR_NODE), and an object beside it may lie one
      // bit away. What all siblings have tells, see FlippedWords.
      return;
    }
    add(
        cacheAtHand,
        objectAtHand,
        (int) (wrong.address() - objectAtHand),
        wrong.value(),
        wrong.right(),
        wrong.right() == wrong.node()
            ? ObjectFault.Witness.EMPTY_HEAD
            : ObjectFault.Witness.NEIGHBOUR,
        "");
  }

  /// Whether all objects of a cache are of one structure: not where it serves all who ask for so
  /// many bytes, and not where caches were merged.
  static boolean isOfOneType(SlabCache cache) {
    return cache.refcount() <= 1 && !cache.name().contains("kmalloc");
  }

  String pointee(SlabCache cache, int offset) {
    return structs.pointee(cache, offset);
  }

  /// Whether the type says that a word is a pointer that only the kernel writes, in enough objects.
  boolean isKernelsOwn(SlabCache cache, int offset) {
    return structs.isKernelsOwn(cache, offset) && areMany(cache);
  }

  /// Whether a cache has enough objects for its types to be believed.
  boolean areMany(SlabCache cache) {
    return objectsOf(cache) >= FEW;
  }

  long objectsOf(SlabCache cache) {
    return objectsBy.getOrDefault(cache, new long[1])[0];
  }

  /// Where what a symbol names begins; 0 if no symbol is known.
  private long symbolAt(long address) {
    return kernel.symbols().flatMap(all -> all.atOrBefore(address)).map(Symbol::address).orElse(0L);
  }

  /// What kind of thing begins at an address, or lies there: an object's word or a symbol; null if
  /// that cannot be told.
  Object kind(long address) {
    if (map.isImage(address)) {
      return kernel
          .symbols()
          .flatMap(all -> all.atOrBefore(address))
          .filter(symbol -> symbol.address() == address)
          .map(Symbol::name)
          .orElse(null);
    }
    Slab slab = slabOf(address);
    int index = slab == null ? -1 : slab.indexHolding(address);
    return index < 0
        ? null
        : "%s of %s".formatted(place(address - slab.object(index)), slab.cache().name());
  }

  private static String place(long inner) {
    return inner == 0 ? "an object" : "byte %d of an object".formatted(inner);
  }

  /// The slab that a page frame is of.
  Optional<Slab> slabAt(long pfn) {
    PageState state = memMap.state(pfn);
    return state.kind() == PageState.Kind.SLAB
        ? views.flatMap(all -> all.at(state.headPfn())).map(SlabView::slab)
        : Optional.empty();
  }

  void add(
      SlabCache cache,
      long object,
      int offset,
      long value,
      long right,
      ObjectFault.Witness witness,
      String like) {
    add(cache, object, offset, value, OptionalLong.of(right), witness, like);
  }

  /// @param right empty if nothing says what the word must be
  void add(
      SlabCache cache,
      long object,
      int offset,
      long value,
      OptionalLong right,
      ObjectFault.Witness witness,
      String like) {
    add(cache, object, offset, offset, value, right, witness, like);
  }

  /// @param member where the member begins that is wrong, in the object
  void add(
      SlabCache cache,
      long object,
      int offset,
      int member,
      long value,
      OptionalLong right,
      ObjectFault.Witness witness,
      String like) {
    if (faults.size() < 2 * MAX_FAULTS) {
      faults.putIfAbsent(
          object + offset,
          new ObjectFault(
              cache, object, offset, member(cache, member), value, right, witness, like));
    }
  }

  /// Whether members that an object's user has not written yet are null.
  boolean areCleared(SlabCache cache) {
    return stale.areCleared(cache);
  }

  /// Whether a word that no member of its object may have was there before the object was taken.
  boolean isStale(long value, long address) {
    return stale.isOne(value, address);
  }

  Optional<StructLayout> struct(SlabCache cache) {
    return structs.of(cache);
  }

  WordCache words() {
    return words;
  }

  /// Whether it is known that nothing begins at an address: it is none, or lies within an object or
  /// what a symbol names, or in a page that is free.
  ///
  /// @param right what it should be: of an array of which both are part, each element may be meant
  boolean isNothing(long address, long right, Siblings siblings) {
    if (!isPlain(address)) {
      return true;
    }
    if (map.isImage(address)) {
      long begin = symbolAt(address);
      return begin != 0 && begin != address && begin != symbolAt(right);
    }
    long pfn = memory.directMapPfn(address);
    Slab slab = slabAt(pfn).orElse(null);
    Slab meant = slabOf(right);
    if (slab == null) {
      return isNoKernels(memMap.state(pfn).kind(), meant != null);
    }
    int index = slab.indexHolding(address);
    return index < 0
        || (slab.object(index) == address
            ? meant != null && !slab.cache().equals(meant.cache()) && !isOfSamples(slab, siblings)
            : slab.indexHolding(right) != index && siblings.like(kind(address), this::kind) == 0);
  }

  /// Whether no object of the kernel lies in a page; in programs' pages none of a slab's.
  private static boolean isNoKernels(PageState.Kind kind, boolean isMeantForSlab) {
    return kind == PageState.Kind.BUDDY
        || (isMeantForSlab
            && (kind == PageState.Kind.ANONYMOUS || kind == PageState.Kind.PAGE_CACHE));
  }

  /// Whether any of the pointers that siblings have there leads to an object of a slab's cache.
  private boolean isOfSamples(Slab slab, Siblings siblings) {
    return siblings.like(
            slab.cache(),
            address -> {
              Slab one = slabOf(address);
              return one == null ? null : one.cache();
            })
        > 0;
  }

  boolean isStill() {
    return isStill;
  }

  /// The slab that an address of the direct map lies in; null if it lies in none.
  Slab slabOf(long address) {
    return map.isDirectMap(address) ? slabAt(memory.directMapPfn(address)).orElse(null) : null;
  }

  TreeLinks trees() {
    return trees;
  }

  private String member(SlabCache cache, int offset) {
    return structs
        .of(cache)
        .flatMap(layout -> layout.pathAt(offset).map(path -> layout.name() + "." + path))
        .orElse("");
  }
}
