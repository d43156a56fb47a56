package org.vmcheck.lowmem;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.memory.PageMask;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabHeads;
import org.vmcheck.slab.SlabMemory;

/// Finds the mask that lies over each page of a range, if one does.
///
/// A mask is proven by freelists: under the right one a broken list leads through objects of its
/// slab to its end. Where it was taken from the page's commonest block, every link is a test that
/// chance passes once in 10^17; where it was fitted to a link, that link tests nothing. A list that
/// is damaged under its mask proves it as far as it leads. Pages without a free pointer take over a
/// mask that is proven elsewhere if it makes their commonest block zero. A block that repeats every
/// one or two bytes fills memory and is no mask, nor is one of so few bits that a stuck line would
/// do, and a page that comes out as zeros alone proves none.
final class MaskSearch {
  private static final ValueLayout.OfLong WORD =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /// Steps that one list may cost.
  private static final int MAX_STEPS = 20_000;

  /// Fitting a mask to a link tries each object of the slab.
  private static final int MAX_FITTED_OBJECTS = 512;

  private static final int MIN_REPEATS = 2;

  /// Links that a mask must pass where the list breaks later on.
  private static final int MIN_TESTS_OF_BROKEN = 2;

  /// Bits that each half of a mask has at least: a half drawn by chance has fewer once in 10^8, one
  /// that repeats every 32 bits once in 10^5.
  private static final int MIN_BITS = 10;

  /// Blocks that must come out zero before a page takes a proven mask over.
  private static final int MIN_ZERO_BLOCKS = 4;

  /// Blocks that repeat every 32 bits, as all proven masks do, before a page's own is believed.
  private static final int MIN_BLOCKS_OF_PERIOD = 16;

  private final PhysicalMemory memory;
  private final FreelistDecoder decoder;
  private final long endPfn;
  private final Map<Long, PageStatistics> statistics;
  private final Set<Long> clear;
  private final SlabMemory slabMemory;
  private final Map<Long, PageMask> masks = new TreeMap<>();
  private final Set<PageMask> proven = new LinkedHashSet<>();
  private final List<Closed> closed = new ArrayList<>();
  private final Map<Long, Long> commonestWords = new HashMap<>();
  private final Map<SlabHeads.Head, Open> open = new LinkedHashMap<>();

  /// Halves that a free pointer was read through, by frame times two plus half.
  private final Set<Long> read = new TreeSet<>();

  /// What is known of a list that no mask was found for.
  enum Open {
    /// Every mask was tried: the list is broken under each.
    UNDER_ALL,
    /// It closes under masks that nothing else speaks for.
    UNPROVEN,
    /// There were too many masks to try.
    GIVEN_UP
  }

  /// A list that closes under masks and does not without.
  ///
  /// @param links free pointers read on masked pages
  /// @param tests of these, those that the masks were not fitted to and that lead to an object
  /// @param isConfirmed whether the masks are more than what the links have in common: the page's
  ///   own commonest block, or constants that repeat every 32 bits as the hardware's do
  record Closed(SlabHeads.Head head, int links, int tests, boolean isConfirmed) {}

  /// @param statistics of the stored pages of the range
  /// @param clear frames that are known to hold plain data
  MaskSearch(
      PhysicalMemory memory,
      FreelistDecoder decoder,
      long endPfn,
      Map<Long, PageStatistics> statistics,
      Set<Long> clear) {
    this.clear = Set.copyOf(clear);
    this.memory = memory;
    this.decoder = decoder;
    this.endPfn = endPfn;
    this.statistics = statistics;
    this.slabMemory = new SlabMemory(memory);
  }

  /// Looks for masks that close the given lists, all of them broken as they stand.
  void search(List<SlabHeads.Head> broken) {
    List<SlabHeads.Head> left = close(broken);
    if (!proven.isEmpty()) {
      for (SlabHeads.Head head : left) {
        keepAsFarAsItLeads(head);
      }
      takeOver();
      left = close(left);
    }
    for (SlabHeads.Head head : left) {
      Walk walk = new Walk(head);
      boolean closes = walk.closes(head.first()) || walk.isAmbiguous;
      open.put(head, closes ? Open.UNPROVEN : walk.isExhaustive() ? Open.UNDER_ALL : Open.GIVEN_UP);
    }
  }

  /// Whether a block can be a mask: it neither fills memory as a pattern does, nor has so few bits,
  /// or so many, that a line stuck at one level would do.
  static boolean canBeMask(PageMask block) {
    return !block.isFillPattern() && canBeHalf(block.low()) && canBeHalf(block.high());
  }

  private static boolean canBeHalf(long half) {
    return Long.bitCount(half) >= MIN_BITS
        && Long.bitCount(half) <= Long.SIZE - MIN_BITS
        && !new PageMask(half, half).isFillPattern();
  }

  /// Takes a page's mask from what its bytes show.
  void adopt(long pfn, PageMask mask) {
    masks.putIfAbsent(pfn, mask);
    proven.add(mask);
  }

  /// A list that was damaged under its mask: the links before the damage prove the masks that they
  /// were read through.
  private void keepAsFarAsItLeads(SlabHeads.Head head) {
    Walk walk = new Walk(head);
    if (walk.closes(head.first()) || walk.mostTests < MIN_TESTS_OF_BROKEN) {
      return;
    }
    walk.halves.clear();
    walk.halves.putAll(walk.farthest);
    for (long pfn : walk.pages()) {
      PageMask mask = masks.containsKey(pfn) ? null : walk.whole(pfn);
      if (mask != null && canBeMask(mask)) {
        masks.put(pfn, mask);
        proven.add(mask);
        read(walk, pfn);
      }
    }
  }

  private void read(Walk walk, long pfn) {
    for (long key = pfn * 2; key <= pfn * 2 + 1; key++) {
      if (walk.halves.containsKey(key)) {
        read.add(key);
      }
    }
  }

  /// Looks for masks that close lists; returns those that stay open.
  private List<SlabHeads.Head> close(List<SlabHeads.Head> broken) {
    // A second round: what the first one proved helps lists of one object.
    List<SlabHeads.Head> left = broken;
    for (int round = 0; round < 2 && !left.isEmpty(); round++) {
      List<SlabHeads.Head> open = new ArrayList<>();
      for (SlabHeads.Head head : left) {
        Walk walk = new Walk(head);
        if (!walk.closes(head.first())) {
          open.add(head);
        } else if (walk.tests() > 0 || walk.usesProvenOnly()) {
          keep(walk);
        } else {
          open.add(head);
        }
      }
      if (open.size() == left.size()) {
        break;
      }
      left = open;
    }
    return left;
  }

  private void keep(Walk walk) {
    closed.add(new Closed(walk.head, walk.maskedLinks, walk.tests(), walk.isConfirmed()));
    for (long pfn : walk.pages()) {
      PageMask mask = walk.whole(pfn);
      if (mask != null && !mask.isZero()) {
        masks.put(pfn, mask);
        proven.add(mask);
        read(walk, pfn);
      }
    }
  }

  /// Once one mask is proven, so is that the range is masked: each page takes over the proven mask
  /// that turns most of it to zeros, or else its own commonest block.
  void takeOver() {
    boolean period = proven.stream().allMatch(PageMask::hasPeriod32);
    for (Map.Entry<Long, PageStatistics> entry : statistics.entrySet()) {
      long pfn = entry.getKey();
      if (masks.containsKey(pfn) || clear.contains(pfn) || entry.getValue().zeroBlocks() > 0) {
        continue;
      }
      PageMask best = null;
      int most = MIN_ZERO_BLOCKS - 1;
      for (PageMask mask : proven) {
        int zeros = blocks(pfn, mask);
        if (zeros > most) {
          best = mask;
          most = zeros;
        }
      }
      PageStatistics page = entry.getValue();
      boolean isMost = page.commonestCount() * 2 >= page.blocks();
      boolean isLikely = isMost || (period && page.commonestCount() >= MIN_BLOCKS_OF_PERIOD);
      if (best == null
          && isLikely
          && canBeMask(page.commonest())
          && (!period || page.commonest().hasPeriod32())) {
        best = page.commonest();
      }
      if (best != null) {
        masks.put(pfn, best);
      }
    }
  }

  /// How often a block stands in a page.
  private int blocks(long pfn, PageMask mask) {
    if (!(memory.read(pfn) instanceof PageRead.Present(MemorySegment page))) {
      return 0;
    }
    int count = 0;
    for (int at = 0; at + 16 <= page.byteSize(); at += 16) {
      if (page.get(WORD, at) == mask.low() && page.get(WORD, at + 8L) == mask.high()) {
        count++;
      }
    }
    return count;
  }

  /// The masks found, by page frame.
  Map<Long, PageMask> masks() {
    return masks;
  }

  List<Closed> closed() {
    return closed;
  }

  /// The broken lists that stay so under the masks found.
  Map<SlabHeads.Head, Open> open() {
    return open;
  }

  /// Halves of masks that rest on no free pointer, by frame times two plus half: none lies over
  /// them, the other half does not repeat every 32 bits, and no page shows the same mask whole.
  Set<Long> guessed() {
    Set<PageMask> whole = new LinkedHashSet<>();
    masks.forEach(
        (pfn, mask) -> {
          if (isRead(pfn * 2, mask) && isRead(pfn * 2 + 1, mask)) {
            whole.add(mask);
          }
        });
    Set<Long> guessed = new TreeSet<>();
    masks.forEach(
        (pfn, mask) -> {
          for (long key = pfn * 2; key <= pfn * 2 + 1; key++) {
            if (!whole.contains(mask) && !isRead(key, mask)) {
              guessed.add(key);
            }
          }
        });
    return guessed;
  }

  private boolean isRead(long key, PageMask mask) {
    return read.contains(key) || (mask.hasPeriod32() && read.contains(key ^ 1));
  }

  /// One list, followed under assumptions about the masks of its pages.
  private final class Walk {
    private final SlabHeads.Head head;
    private final Slab slab;
    private final BitSet visited = new BitSet();

    /// Assumed halves, by frame times two plus half.
    private final Map<Long, Long> halves = new LinkedHashMap<>();

    /// Halves that were fitted to a link.
    private final Set<Long> fitted = new LinkedHashSet<>();

    private int length;
    private int maskedLinks;
    private int maskedPointers;
    private int steps;

    /// The halves under which the list led farthest, and the links that tested them.
    private final Map<Long, Long> farthest = new LinkedHashMap<>();

    private int mostTests;
    private boolean isCut;

    /// Whether it closed under masks that nothing else bears out.
    private boolean isAmbiguous;

    Walk(SlabHeads.Head head) {
      this.head = head;
      this.slab = head.slab();
      slabMemory.set(slab);
    }

    /// Links that prove something. A list that is all null pointers proves nothing: a page filled
    /// with one block would do.
    int tests() {
      return maskedPointers == 0 ? 0 : maskedLinks - fitted.size();
    }

    /// Whether every mask was tried.
    boolean isExhaustive() {
      return steps <= MAX_STEPS && !isCut;
    }

    /// Whether each half that was fitted to a link is the only one that fits. One that differs in
    /// the bits of the slab's own length leads to objects too, only to others, and may hide a
    /// damaged link: what tells is the end of the list, read through it.
    private boolean isSupported() {
      Map<Long, Integer> links = new HashMap<>();
      long last = -1;
      int left = slab.walkableObjects();
      for (long pointer = head.first(); pointer != 0 && left > 0; left--) {
        long slot = slab.slot(slab.index(pointer));
        last = key(slot);
        links.merge(last, 1, Integer::sum);
        pointer =
            decoder.decode(
                slabMemory.word(slot) ^ halves.getOrDefault(last, 0L), slot, slab.cache().random());
      }
      for (long key : fitted) {
        if (!isBorneOut(key, halves.get(key)) && (key != last || links.get(key) < 2)) {
          return false;
        }
      }
      return true;
    }

    /// Whether more than links speaks for a half: a period of 32 bits, which a link elsewhere in
    /// the slab would break, or the page's commonest word.
    private boolean isBorneOut(long key, long half) {
      return (int) half == (int) (half >>> 32)
          || commonestWord(key >>> 1, (int) (key & 1) * 8) == half;
    }

    private long key(long slot) {
      long pfn = slab.pfn() + ((slot - slab.base()) >>> 12);
      return pfn * 2 + ((slot & 8) == 0 ? 0 : 1);
    }

    boolean usesProvenOnly() {
      for (Map.Entry<Long, Long> half : halves.entrySet()) {
        boolean known =
            half.getValue() == 0
                || proven.stream().anyMatch(m -> m.over((half.getKey() & 1) * 8) == half.getValue())
                || (masks.containsKey(half.getKey() >>> 1)
                    && masks.get(half.getKey() >>> 1).over((half.getKey() & 1) * 8)
                        == half.getValue());
        if (!known) {
          return false;
        }
      }
      return maskedLinks > 0;
    }

    /// Hardened pointers that were encoded for another cache differ by one constant too, the XOR of
    /// two `kmem_cache.random`: plain ones have no such constant.
    boolean isConfirmed() {
      if (decoder == FreelistDecoder.PLAIN) {
        return true;
      }
      for (Map.Entry<Long, Long> half : halves.entrySet()) {
        long value = half.getValue();
        PageStatistics page = statistics.get(half.getKey() >>> 1);
        boolean isCommonest =
            page != null
                && page.commonestCount() >= MIN_ZERO_BLOCKS
                && page.commonest().over((half.getKey() & 1) * 8) == value;
        if (value != 0 && !isCommonest && (int) value != (int) (value >>> 32)) {
          return false;
        }
      }
      return true;
    }

    Set<Long> pages() {
      Set<Long> pages = new LinkedHashSet<>();
      halves.keySet().forEach(key -> pages.add(key >>> 1));
      return pages;
    }

    /// Both halves of a page's mask: one that no link read is taken from the page's commonest word,
    /// or from the other where that repeats every 32 bits. Null if it cannot be told, or if the
    /// page is in the clear.
    PageMask whole(long pfn) {
      Long low = halves.get(pfn * 2);
      Long high = halves.get(pfn * 2 + 1);
      if (low != null && high != null) {
        return new PageMask(low, high);
      }
      long known = low != null ? low : high;
      if (known == 0) {
        // The list reads the page as it stands: what repeats there is data.
        return null;
      }
      for (PageMask mask : proven) {
        if (mask.over(low != null ? 0 : 8) == known) {
          return mask;
        }
      }
      PageStatistics page = statistics.get(pfn);
      if (page != null
          && page.commonestCount() >= MIN_REPEATS
          && page.commonest().over(low != null ? 0 : 8) == known) {
        return page.commonest();
      }
      if ((int) known == (int) (known >>> 32)) {
        return new PageMask(known, known);
      }
      long other = commonestWord(pfn, low != null ? 8 : 0);
      if (other == 0) {
        return null;
      }
      return low != null ? new PageMask(known, other) : new PageMask(other, known);
    }

    /// Whether the rest of the list, from a pointer on, ends as it should.
    boolean closes(long first) {
      int mark = length;
      BitSet before = (BitSet) visited.clone();
      int masked = maskedLinks;
      int pointers = maskedPointers;
      long pointer = first;
      while (pointer != 0) {
        int index = slab.index(pointer);
        if (++steps > MAX_STEPS || index < 0 || visited.get(index)) {
          return back(mark, before, masked, pointers);
        }
        long slot = slab.slot(index);
        if ((slot & 7) != 0 || !slabMemory.isReadable(slot)) {
          return back(mark, before, masked, pointers);
        }
        visited.set(index);
        length++;
        long word = slabMemory.word(slot);
        long key = key(slot);
        long pfn = key >>> 1;
        Long half = pfn >= endPfn ? Long.valueOf(0) : halves.get(key);
        if (half == null) {
          if (closesUnderSome(pfn, key, word, slot)) {
            return true;
          }
          return back(mark, before, masked, pointers);
        }
        pointer = decoder.decode(word ^ half, slot, slab.cache().random());
        count(half, pointer);
      }
      if (head.expectedLength() >= 0 && length != head.expectedLength()) {
        return back(mark, before, masked, pointers);
      }
      if (!isSupported()) {
        isAmbiguous = true;
        return back(mark, before, masked, pointers);
      }
      return true;
    }

    private void count(long half, long pointer) {
      if (half != 0) {
        maskedLinks++;
        maskedPointers += pointer == 0 ? 0 : 1;
        if (slab.index(pointer) >= 0
            && tests() > mostTests
            && fitted.stream().allMatch(key -> isBorneOut(key, halves.get(key)))) {
          mostTests = tests();
          farthest.clear();
          farthest.putAll(halves);
        }
      }
    }

    private boolean back(int mark, BitSet before, int masked, int pointers) {
      length = mark;
      maskedLinks = masked;
      maskedPointers = pointers;
      visited.clear();
      visited.or(before);
      return false;
    }

    /// Tries the page's commonest block, masks proven elsewhere, no mask, and last what fits the
    /// link.
    private boolean closesUnderSome(long pfn, long key, long word, long slot) {
      long place = (key & 1) * 8;
      Set<Long> likely = new LinkedHashSet<>();
      PageMask known = masks.get(pfn);
      if (known != null) {
        likely.add(known.over(place));
      }
      PageStatistics page = statistics.get(pfn);
      if (page != null && page.zeroBlocks() > 0) {
        likely.add(0L);
      } else {
        if (page != null && page.commonestCount() >= MIN_REPEATS && canBeMask(page.commonest())) {
          likely.add(page.commonest().over(place));
        }
        proven.forEach(mask -> likely.add(mask.over(place)));
        likely.add(0L);
      }
      for (long half : likely) {
        if (closesUnder(key, half, word, slot)) {
          return true;
        }
      }
      if (page != null && page.zeroBlocks() > 0) {
        return false;
      }
      if (slab.walkableObjects() > MAX_FITTED_OBJECTS) {
        isCut = true;
        return false;
      }
      fitted.add(key);
      for (int i = -1; i < slab.walkableObjects(); i++) {
        long target = i < 0 ? 0 : slab.object(i);
        long half = word ^ decoder.decode(target, slot, slab.cache().random());
        if (canBeHalf(half) && !likely.contains(half) && closesUnder(key, half, word, slot)) {
          return true;
        }
        if (steps > MAX_STEPS) {
          break;
        }
      }
      fitted.remove(key);
      return false;
    }

    private boolean closesUnder(long key, long half, long word, long slot) {
      Long other = halves.get(key ^ 1);
      if (other != null && (other == 0) != (half == 0)) {
        // A page is masked or it is not: no mask has a half of zeros.
        return false;
      }
      int masked = maskedLinks;
      int pointers = maskedPointers;
      halves.put(key, half);
      long pointer = decoder.decode(word ^ half, slot, slab.cache().random());
      count(half, pointer);
      if (closes(pointer)) {
        return true;
      }
      maskedLinks = masked;
      maskedPointers = pointers;
      halves.remove(key);
      return false;
    }
  }

  /// The commonest word of a page at places 0 or 8 of its blocks; 0 if none comes twice.
  private long commonestWord(long pfn, int place) {
    return commonestWords.computeIfAbsent(pfn * 2 + place / 8, _ -> findCommonest(pfn, place));
  }

  private long findCommonest(long pfn, int place) {
    if (!(memory.read(pfn) instanceof PageRead.Present(MemorySegment page))) {
      return 0;
    }
    Map<Long, Integer> counts = new HashMap<>();
    long best = 0;
    int most = MIN_REPEATS - 1;
    for (int at = place; at + 8 <= page.byteSize(); at += 16) {
      long word = page.get(WORD, at);
      int count = counts.merge(word, 1, Integer::sum);
      if (word != 0 && count > most) {
        best = word;
        most = count;
      }
    }
    return best;
  }
}
