package org.vmcheck.lowmem;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.Words;

/// What pages of random bytes in the low 640 KiB tell: ciphertext, packed data, or a write that
/// went astray.
///
/// The mechanism copies the range as a whole. So random bytes in a part of it, while freelists
/// close on other pages, or in a kernel that says that it does not encrypt, are never proof of
/// ciphertext.
final class RandomPages {
  private static final int MIN_FRAMES_WITHOUT_ZEROS = 8;

  /// Random-looking pages that can be the whole range, where nothing in it is in the clear.
  private static final int MIN_WHOLE_RANGE = 64;

  /// Of these, pages of the firmware's 64 KiB, which never hold packed data.
  private static final int MIN_FIRMWARE = 8;

  /// Weight of a range of which all is random. Measured: 141 of 160 low pages of a healthy guest
  /// are zero.
  private static final double WHOLE = 7;

  private static final double MAX_DEVIATION = 4.5;

  private final LowRange range;
  private final LowMemoryLists lists;
  private final double before;
  private final List<LowMemoryReading.Witness> found = new ArrayList<>();
  private final List<String> against = new ArrayList<>();

  /// Frames that must be in the clear if they are the kernel's.
  private final Set<Long> anchors = new TreeSet<>();

  private int strong;
  private int random;
  private double sumOfChiSquares;
  private double sumOfStrong;
  private boolean isWhole;
  private double uncapped;

  RandomPages(LowRange range, LowMemoryLists lists, double before) {
    this.range = range;
    this.lists = lists;
    this.before = before;
    if (range.statistics().values().stream().anyMatch(PageStatistics::looksRandom)) {
      weigh();
    }
  }

  List<LowMemoryReading.Witness> witnesses() {
    return found;
  }

  List<String> against() {
    return against;
  }

  /// Whether all speaks for ciphertext but what says that it cannot be: nothing of the range is in
  /// the clear.
  boolean isUndecided() {
    return isWhole && before + uncapped >= LowMemoryReading.ENOUGH;
  }

  private void add(long pfn, double weight, String words) {
    found.add(new LowMemoryReading.Witness(pfn, weight, words));
  }

  private boolean isRandom(LowMemoryReading.Frame frame) {
    return frame.bytes().looksRandom() && !lists.sound().contains(frame.pfn());
  }

  private void weigh() {
    brokenLists();
    pages();
    long clear = range.copied(frame -> !isRandom(frame));
    isWhole = isWhole(clear);
    if (strong == 0 && !isWhole) {
      found.clear();
      return;
    }
    double deviation =
        isWhole
            ? PageStatistics.deviation(sumOfChiSquares, random)
            : PageStatistics.deviation(sumOfStrong, strong);
    if (Math.abs(deviation) > MAX_DEVIATION) {
      add(
          -1,
          -5,
          "the byte counts of these pages together lie %.1f standard deviations from random: packed data"
              .formatted(deviation));
    }
    long zero = range.statistics().values().stream().filter(PageStatistics::isZero).count();
    if (isWhole) {
      add(-1, WHOLE, "each of the %d stored pages that are copied looks random".formatted(random));
    } else if (strong >= 2 * MIN_FRAMES_WITHOUT_ZEROS && zero == 0) {
      add(-1, 2, "not one stored page of the range is zero");
    }
    if (clear > 0) {
      add(
          -1,
          LowMemoryReading.weightOfClear(clear),
          "%s of the range in the clear, and the copy takes the whole range"
              .formatted(Words.plural(clear, "other page is", "other pages are")));
      against.add(
          "%s of the range in the clear".formatted(Words.plural(clear, "page is", "pages are")));
    }
    uncapped = found.stream().mapToDouble(LowMemoryReading.Witness::weight).sum();
    cap();
  }

  /// Whether nothing of the range is in the clear, where packed data never lies too.
  private boolean isWhole(long clear) {
    long all = range.copied(_ -> true);
    long firmware = range.copied(frame -> frame.pfn() < LowRange.FIRST_USED_PFN);
    return clear == 0 && all >= MIN_WHOLE_RANGE && firmware >= MIN_FIRMWARE;
  }

  /// What leaves the answer open, whatever the rest weighs.
  private void cap() {
    if (lists.closedInTheClear() > 0) {
      open(
          "%s of the range as they stand, and the copy takes the whole range"
              .formatted(
                  Words.plural(lists.closedInTheClear(), "freelist closes", "freelists close")));
    }
    if (range.encryption() == MemoryEncryption.State.OFF) {
      open("the kernel says that it does not encrypt its memory");
    }
    if (anchors.isEmpty() && !(isWhole && range.isRestInTheClear())) {
      open("nothing among them must be in the clear: no list breaks, no page table, no trampoline");
    }
  }

  private void open(String words) {
    double sum = before + found.stream().mapToDouble(LowMemoryReading.Witness::weight).sum();
    if (sum >= LowMemoryReading.ENOUGH) {
      add(-1, LowMemoryReading.OPEN - sum, words);
    } else {
      add(-1, 0, words);
    }
  }

  /// A list that breaks on a page of random bytes: the first weighs as much as real damage is rare,
  /// the others follow from it.
  private void brokenLists() {
    Set<Long> frames = new TreeSet<>();
    range
        .statistics()
        .forEach((pfn, page) -> frames.addAll(page.looksRandom() ? Set.of(pfn) : Set.of()));
    Set<Long> slabs = lists.slabsBrokenOn(frames, anchors);
    if (!slabs.isEmpty()) {
      add(
          slabs.iterator().next(),
          4 + Math.min(4, slabs.size() - 1),
          "freelists of %s break on them".formatted(Words.plural(slabs.size(), "slab", "slabs")));
    }
  }

  private void pages() {
    LowMemoryReading.Frame previous = null;
    for (LowMemoryReading.Frame frame : range.frames()) {
      PageStatistics bytes = frame.bytes();
      if (bytes == null || range.isTrampoline(frame.pfn()) || !isRandom(frame)) {
        continue;
      }
      random++;
      sumOfChiSquares += bytes.chiSquare();
      Chance chance = chance(frame);
      // Where lists close, slabs are in the clear: then only a list that breaks tells.
      boolean isContradicted =
          frame.kind() == PageState.Kind.SLAB
              && !lists.sound().isEmpty()
              && !anchors.contains(frame.pfn());
      if (chance.first == 1 || isContradicted) {
        continue;
      }
      strong++;
      sumOfStrong += bytes.chiSquare();
      if (frame.kind() == PageState.Kind.PAGE_TABLE || range.isInTrampoline(frame.pfn())) {
        anchors.add(frame.pfn());
      }
      add(
          frame.pfn(),
          -Math.log10(isAlike(previous, frame) ? chance.next : chance.first),
          "page frame 0x%x (%s) looks random: chi-square %.0f"
              .formatted(frame.pfn(), range.role(frame), bytes.chiSquare()));
      previous = frame;
    }
  }

  private static boolean isAlike(LowMemoryReading.Frame previous, LowMemoryReading.Frame frame) {
    return previous != null
        && previous.pfn() == frame.pfn() - 1
        && previous.kind() == frame.kind()
        && (frame.kind() != PageState.Kind.SLAB
            || previous.state().headPfn() == frame.state().headPfn());
  }

  /// Probability that a page of this use looks random in a healthy kernel, and that the next frame
  /// does too when it is used alike; measured on dumps of 5.3, 6.1 and 7.1, rounded up.
  private record Chance(double first, double next) {}

  private Chance chance(LowMemoryReading.Frame frame) {
    if (range.isInTrampoline(frame.pfn()) && frame.kind() == PageState.Kind.RESERVED) {
      return new Chance(1e-3, 0.5);
    }
    return switch (frame.kind()) {
      case SLAB -> isOneObjectAPage(frame) ? new Chance(0.02, 0.9) : new Chance(1e-4, 0.3);
      case PAGE_TABLE -> new Chance(1e-6, 1e-3);
      case RESERVED -> new Chance(2e-3, 0.9);
      case KERNEL -> new Chance(0.02, 0.95);
      case ANONYMOUS -> new Chance(0.05, 0.98);
      case BUDDY, FREE -> isFreeZeroed() ? new Chance(1e-3, 0.9) : new Chance(1, 1);
      case PAGE_CACHE, HWPOISON, UNKNOWN -> new Chance(1, 1);
    };
  }

  private boolean isOneObjectAPage(LowMemoryReading.Frame frame) {
    return range
        .kernel()
        .map(k -> SlabCaches.of(k).byAddress().get(frame.state().slabCache()))
        .map(cache -> cache.size() > 2048)
        .orElse(true);
  }

  private boolean isFreeZeroed() {
    return range
        .kernel()
        .map(k -> k.identity().commandLine().contains("init_on_free=1"))
        .orElse(false);
  }
}
