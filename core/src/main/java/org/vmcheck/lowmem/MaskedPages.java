package org.vmcheck.lowmem;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.vmcheck.memory.PageMask;
import org.vmcheck.slab.Words;

/// What masks over pages of the low 640 KiB tell, and which they are.
///
/// A freelist that closes under a mask proves it. Where slabs cannot be walked, the bytes alone
/// tell: a range without one block of zeros, in which dozens of pages are one block all over, is
/// the zeros of a kernel under masks.
final class MaskedPages {
  /// A list that closes under a mask which nothing but the list speaks for.
  private static final double LIST = 6;

  /// One whose mask cannot be the constant between two caches' encodings: nothing else that is
  /// known turns a whole list by one constant.
  private static final double CONFIRMED_LIST = 8;

  /// What more free pointers of it add, at most.
  private static final double MORE_POINTERS = 6;

  private static final int MIN_FRAMES_WITHOUT_ZEROS = 8;
  private static final int MIN_WHOLE_RANGE = 64;
  private static final int MIN_SUPPORT = 4;

  /// Pages of one block all over that are more than a driver's buffer.
  private static final int MIN_FILLED = 12;

  private final LowRange range;
  private final LowMemoryLists lists;
  private final double before;
  private final MaskSearch search;
  private final List<LowMemoryReading.Witness> found = new ArrayList<>();
  private final List<String> against = new ArrayList<>();
  private long clear;

  MaskedPages(LowRange range, LowMemoryLists lists, double before) {
    this.range = range;
    this.lists = lists;
    this.before = before;
    this.search =
        new MaskSearch(
            range.memory(),
            lists.decoder(),
            LowMemory.BACKUP_END_PFN,
            range.statistics(),
            lists.sound());
    search.search(lists.broken());
    weigh();
  }

  List<LowMemoryReading.Witness> witnesses() {
    return found;
  }

  List<String> against() {
    return against;
  }

  MaskSearch search() {
    return search;
  }

  /// Whether each stored page that was copied with the range can lie under a mask.
  boolean isWhole() {
    return clear == 0;
  }

  /// Whether a page can lie under a mask: it has no block of zeros, and no list leads through it as
  /// it stands.
  boolean isOpen(LowMemoryReading.Frame frame) {
    return frame.bytes() != null
        && frame.bytes().zeroBlocks() == 0
        && !lists.sound().contains(frame.pfn());
  }

  private void weigh() {
    clear = range.copied(frame -> !isOpen(frame));
    closed();
    boolean isByLists = !search.masks().isEmpty();
    Map<PageMask, List<LowMemoryReading.Frame>> shared = shared();
    if (!isByLists) {
      bytesAlone(shared);
    }
    if (found.isEmpty() && (clear > 0 || range.copied(_ -> true) < MIN_WHOLE_RANGE)) {
      return;
    }
    withoutZeros();
    if (!isByLists && !range.isRestInTheClear()) {
      double sum = before + found.stream().mapToDouble(LowMemoryReading.Witness::weight).sum();
      add(
          -1,
          Math.min(0, LowMemoryReading.OPEN - sum),
          "memory above the range is no different, so that nothing shows a mask of this range");
    }
  }

  private void add(long pfn, double weight, String words) {
    found.add(new LowMemoryReading.Witness(pfn, weight, words));
  }

  private void closed() {
    boolean period = search.masks().values().stream().anyMatch(PageMask::hasPeriod32);
    for (MaskSearch.Closed one : search.closed()) {
      double weight = period ? 3 : 0;
      if (one.tests() > 0) {
        weight =
            (one.isConfirmed() ? CONFIRMED_LIST : LIST)
                + (one.isConfirmed() ? Math.min(MORE_POINTERS, one.tests() - 1) : 0);
      }
      add(
          one.head().slab().pfn(),
          weight,
          "the freelist of slab 0x%x (%s) breaks as it stands and closes with the mask removed: %s"
              .formatted(
                  one.head().slab().address(),
                  Words.name(one.head().slab().cache()),
                  Words.plural(
                      one.links(),
                      "free pointer read through it",
                      "free pointers read through it")));
    }
  }

  /// One commonest block in pages of different use, none of which holds a zero block.
  private Map<PageMask, List<LowMemoryReading.Frame>> shared() {
    Map<PageMask, List<LowMemoryReading.Frame>> byBlock = new LinkedHashMap<>();
    for (LowMemoryReading.Frame frame : range.frames()) {
      if (isOpen(frame)
          && frame.bytes().commonestCount() >= MIN_SUPPORT
          && MaskSearch.canBeMask(frame.bytes().commonest())
          && !range.isTrampoline(frame.pfn())) {
        byBlock.computeIfAbsent(frame.bytes().commonest(), _ -> new ArrayList<>()).add(frame);
      }
    }
    for (Map.Entry<PageMask, List<LowMemoryReading.Frame>> entry : byBlock.entrySet()) {
      Set<String> uses = new TreeSet<>();
      entry.getValue().stream().filter(MaskedPages::isMixed).forEach(f -> uses.add(use(f)));
      boolean known = search.masks().containsValue(entry.getKey());
      if (uses.isEmpty() || (uses.size() < 2 && !known)) {
        continue;
      }
      add(
          entry.getValue().getFirst().pfn(),
          2.0 * (known ? uses.size() : uses.size() - 1),
          "%s of %s share the commonest block %s"
              .formatted(
                  Words.plural(entry.getValue().size(), "page", "pages"),
                  Words.plural(uses.size(), "use", "different uses"),
                  entry.getKey().hex()));
      entry.getValue().forEach(frame -> search.adopt(frame.pfn(), entry.getKey()));
    }
    return byBlock;
  }

  /// Whether a page is more than one block all over: such pages are nothing but zeros under the
  /// mask, or a pattern.
  private static boolean isMixed(LowMemoryReading.Frame frame) {
    return frame.bytes().commonestCount() < frame.bytes().blocks();
  }

  /// The range as a whole, where no list says anything.
  private void bytesAlone(Map<PageMask, List<LowMemoryReading.Frame>> shared) {
    if (clear > 0) {
      return;
    }
    long stored = range.copied(_ -> true);
    shared.forEach(
        (block, frames) -> {
          if (stored >= MIN_WHOLE_RANGE && 2L * frames.size() >= stored) {
            add(
                -1,
                4,
                "%d of %d stored pages share the commonest block %s"
                    .formatted(frames.size(), stored, block.hex()));
            frames.forEach(frame -> search.adopt(frame.pfn(), block));
          }
        });
    Map<Long, PageMask> filled = new TreeMap<>();
    shared.forEach(
        (block, frames) ->
            frames.stream()
                .filter(frame -> !isMixed(frame))
                .forEach(frame -> filled.put(frame.pfn(), block)));
    if (filled.size() >= MIN_FILLED) {
      add(
          -1,
          4,
          "%d pages are one block of 16 bytes all over, and none is zero".formatted(filled.size()));
      filled.forEach(search::adopt);
    }
    // A mask of many pages lies over others too, as far as their zeros show it.
    search.takeOver();
  }

  private void withoutZeros() {
    long stored = range.copied(_ -> true);
    if (clear == 0 && stored >= MIN_FRAMES_WITHOUT_ZEROS) {
      add(
          -1,
          stored >= MIN_WHOLE_RANGE ? 4 : 2,
          "none of %d stored pages holds one zero block of 16 bytes".formatted(stored));
    } else if (clear > 0) {
      String pages = Words.plural(clear, "page of the range is", "pages of the range are");
      add(-1, LowMemoryReading.weightOfClear(clear), pages + " in the clear");
      against.add(pages + " in the clear");
    }
  }

  /// What tells two uses apart: the kind of page and, of slabs, the cache. Where the kernel's page
  /// descriptors are not known, the place tells the firmware's pages from the others.
  private static String use(LowMemoryReading.Frame frame) {
    return frame.state() == null
        ? frame.pfn() < LowRange.FIRST_USED_PFN ? "firmware" : "other"
        : frame.kind() + " " + frame.state().slabCache();
  }
}
