package org.vmcheck.object;

import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.ToLongFunction;
import org.vmcheck.debuginfo.Symbol;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.PairedLinks;
import org.vmcheck.kernel.WordCache;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;

/// The pass of an [ObjectSurvey].
///
/// First every word of every allocated object is counted at its place (cache and offset), and the
/// words that may be wrong are put aside. Then these are judged by what their siblings have there.
/// Only a word that one bit makes right is a fault: values that merely are unlike their siblings'
/// are met in every healthy kernel.
final class ObjectPass {
  private static final int WORD = 8;
  private static final int MAX_FAULTS = 64;

  /// Objects of a megabyte are no structures.
  private static final int MAX_WORDS = 1 << 13;

  /// Of ten samples as many must be of the kind that the right value is of.
  private static final int LIKE = 5;

  /// Bits that choose a word within a line of the caches: see [PairedLinks].
  private static final int LOWEST_BIT = 6;

  /// Pages of the largest slabs.
  private static final int MAX_PAGES = 32;

  private final Kernel kernel;
  private final MemMap memMap;
  private final VirtualMemory memory;
  private final AddressMap map;
  private final boolean isStill;
  private final WordCache words;
  private final StructNames structs;
  private final PairedLinks paired;
  private final Map<SlabCache, Siblings[]> places = new HashMap<>();
  private final Map<Long, Optional<Slab>> slabsAt = new HashMap<>();
  private final Map<String, Long> notRead = new TreeMap<>();
  private final Map<Long, ObjectFault> faults = new TreeMap<>(Long::compareUnsigned);
  private long objects;
  private SlabCache cacheAtHand;
  private long objectAtHand;

  ObjectPass(Kernel kernel, MemMap memMap, boolean isStill) {
    this.kernel = kernel;
    this.memMap = memMap;
    this.memory = kernel.memory();
    this.map = memory.map();
    this.isStill = isStill;
    this.words = new WordCache(memory);
    this.structs = new StructNames(kernel);
    this.paired = new PairedLinks(words::word, isStill, LOWEST_BIT, this::link);
  }

  ObjectSurvey run() {
    SlabSurvey.eachView(kernel, memMap, 0, memory.physical().endPfn(), _ -> true, this::slab);
    places.forEach(this::judge);
    Map<String, Long> lookedAt = new TreeMap<>();
    long links = sum(Siblings::linkedWords);
    long pointers = sum(at -> at.arePointers() && at.linkedWords() == 0 ? at.pointers() : 0);
    lookedAt.put("allocated objects", objects);
    lookedAt.put("links", links);
    lookedAt.put("pointers like their siblings'", pointers);
    lookedAt.values().removeIf(count -> count == 0);
    return new ObjectSurvey(
        lookedAt,
        notRead,
        faults.values().stream().limit(MAX_FAULTS).toList(),
        (links + pointers) * WORD);
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

  private boolean slab(SlabView view) {
    Cancellation.check();
    Slab slab = view.slab();
    cacheAtHand = slab.cache();
    int count = Math.min(cacheAtHand.objectSize() / WORD, MAX_WORDS);
    if (count < 1) {
      return true;
    }
    if (!view.lists().stream().allMatch(list -> list.list().isClosed())) {
      // Which of its objects are free is not known.
      notRead.merge("slabs with a broken freelist", 1L, Long::sum);
      return true;
    }
    Siblings[] at = places.computeIfAbsent(cacheAtHand, _ -> new Siblings[count]);
    BitSet free = free(view);
    for (int i = free.nextClearBit(0); i < slab.walkableObjects(); i = free.nextClearBit(i + 1)) {
      object(slab.object(i), at);
    }
    return true;
  }

  /// Objects that nobody holds, those on their way to be freed among them.
  private static BitSet free(SlabView view) {
    BitSet free = new BitSet();
    for (SlabView.FreeObjects list : view.lists()) {
      list.objects().forEach(free::set);
    }
    return free;
  }

  private void object(long object, Siblings[] at) {
    if (words.page(object) == null) {
      notRead.merge("objects", 1L, Long::sum);
      return;
    }
    objects++;
    objectAtHand = object;
    long value = words.word(object);
    for (int i = 0; i < at.length; i++) {
      long next = i + 1 < at.length ? words.word(object + (i + 1L) * WORD) : 0;
      if (value != 0) {
        word(at, i, value, next, i + 2 < at.length ? words.word(object + (i + 2L) * WORD) : 0);
      }
      value = next;
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
    if (pair != PairedLinks.Pair.NONE) {
      siblings.link(pair);
      if (pair != PairedLinks.Pair.WHOLE && pair != PairedLinks.Pair.EMPTY) {
        siblings.suspect(objectAtHand, value, pair);
      }
    }
    if (isPlain(value)) {
      siblings.pointer(value);
    } else if (isWild(value)) {
      siblings.suspect(objectAtHand, value, null);
      siblings.other();
    } else {
      siblings.other();
    }
  }

  /// Whether a value is an address of memory that exists, not marked in its lowest bits.
  private boolean isPlain(long value) {
    return value < 0 && (value & 7) == 0 && (map.isDirectMap(value) || map.isImage(value));
  }

  /// Whether a value is no address that a processor takes, nor anything else that kernels keep in
  /// pointers (an error number, list poison, a number that fits into 56 bits), or an address of the
  /// kernel's half where nothing is.
  private boolean isWild(long value) {
    long top = value >> 56;
    if (top == 0 || (value >= -4095 && value < 0) || value >>> 48 == 0xdead) {
      return false;
    }
    return (value & 7) == 0
        && (top != -1 || (words.page(value) == null && memory.physicalAddress(value) < 0));
  }

  /// A link that no other word of its circle contradicts.
  private void link(PairedLinks.Wrong wrong) {
    if (wrong.right() == wrong.node() && isPlain(wrong.value())) {
      // A tree's node that is in no tree leads to itself and keeps its children (RB_CLEAR_NODE): an
      // object beside it may lie one bit away. What all siblings have tells, see below.
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

  private void judge(SlabCache cache, Siblings[] at) {
    for (int i = 0; i < at.length; i++) {
      if (at[i] != null) {
        for (Siblings.Suspect suspect : List.copyOf(at[i].suspects())) {
          Cancellation.check();
          if (suspect.pair() == null) {
            pointer(cache, at[i], i * WORD, suspect);
          } else if (isOfOneType(cache)
              && (suspect.pair() == PairedLinks.Pair.HALF_EMPTY
                  ? at[i].areHeads()
                  : at[i].areLinks())) {
            link(cache, i * WORD, suspect);
          }
        }
      }
    }
  }

  /// Whether all objects of a cache are of one structure: not where it serves all who ask for so
  /// many bytes, and not where caches were merged.
  private static boolean isOfOneType(SlabCache cache) {
    return cache.refcount() <= 1 && !cache.name().contains("kmalloc");
  }

  /// Where nearly all siblings have a link, one bit and the neighbour's way back are proof enough.
  private void link(SlabCache cache, int offset, Siblings.Suspect suspect) {
    long at = suspect.object() + offset;
    long next = suspect.value();
    long prev = words.word(at + WORD);
    if (suspect.pair() == PairedLinks.Pair.FORWARD) {
      long right = isStill ? paired.rightPrev(at, prev) : 0;
      if (paired.isFlip(prev, right) && words.word(right + WORD) != prev) {
        add(cache, suspect.object(), offset + WORD, prev, right, ObjectFault.Witness.NEIGHBOUR, "");
      }
    } else if (suspect.pair() == PairedLinks.Pair.BACKWARD) {
      long right = isStill ? paired.rightNext(at, next) : 0;
      if (paired.isFlip(next, right) && words.word(right) != next) {
        add(cache, suspect.object(), offset, next, right, ObjectFault.Witness.NEIGHBOUR, "");
      }
    } else if (next == at && paired.isFlip(prev, at) && words.word(prev) != at) {
      add(cache, suspect.object(), offset + WORD, prev, at, ObjectFault.Witness.EMPTY_HEAD, "");
    } else if (prev == at && paired.isFlip(next, at)) {
      add(cache, suspect.object(), offset, next, at, ObjectFault.Witness.EMPTY_HEAD, "");
    }
  }

  /// Where nearly all siblings have a pointer to one kind of thing, a value that leads nowhere is
  /// wrong if one bit makes it a pointer to such a thing.
  private void pointer(SlabCache cache, Siblings at, int offset, Siblings.Suspect suspect) {
    if (!at.arePointers()) {
      return;
    }
    long right = 0;
    for (int bit = 3; bit < Long.SIZE; bit++) {
      long other = suspect.value() ^ (1L << bit);
      if (isPlain(other)) {
        if (right != 0) {
          return;
        }
        right = other;
      }
    }
    Object kind = right == 0 ? null : kind(right);
    if (kind == null) {
      return;
    }
    int like = at.like(kind, this::kind);
    if (like * 10 >= at.sampleCount() * LIKE) {
      add(
          cache,
          suspect.object(),
          offset,
          suspect.value(),
          right,
          ObjectFault.Witness.SIBLINGS,
          "%,d siblings have a pointer there, %d of %d looked at to %s"
              .formatted(at.pointers(), like, at.sampleCount(), kind));
    }
  }

  /// What kind of thing begins at an address, or lies there: an object's word or a symbol; null if
  /// that cannot be told.
  private Object kind(long address) {
    if (map.isImage(address)) {
      return kernel
          .symbols()
          .flatMap(all -> all.atOrBefore(address))
          .filter(symbol -> symbol.address() == address)
          .map(Symbol::name)
          .orElse(null);
    }
    Slab slab = slabAt(memory.directMapPfn(address)).orElse(null);
    int index = slab == null ? -1 : slab.indexHolding(address);
    return index < 0
        ? null
        : "%s of %s".formatted(place(address - slab.object(index)), slab.cache().name());
  }

  private static String place(long inner) {
    return inner == 0 ? "an object" : "byte %d of an object".formatted(inner);
  }

  /// The slab that a page frame is of.
  private Optional<Slab> slabAt(long pfn) {
    return slabsAt.computeIfAbsent(
        pfn,
        frame ->
            SlabSurvey.views(
                    kernel, memMap, Math.max(0, frame - MAX_PAGES), frame + 1, _ -> true, MAX_PAGES)
                .stream()
                .map(SlabView::slab)
                .filter(slab -> slab.pfn() + slab.pageCount() > frame)
                .findFirst());
  }

  private void add(
      SlabCache cache,
      long object,
      int offset,
      long value,
      long right,
      ObjectFault.Witness witness,
      String like) {
    if (faults.size() < 2 * MAX_FAULTS) {
      faults.putIfAbsent(
          object + offset,
          new ObjectFault(
              cache, object, offset, member(cache, offset), value, right, witness, like));
    }
  }

  private String member(SlabCache cache, int offset) {
    return structs
        .of(cache)
        .flatMap(layout -> layout.pathAt(offset).map(path -> layout.name() + "." + path))
        .orElse("");
  }
}
