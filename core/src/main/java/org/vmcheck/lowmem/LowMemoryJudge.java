package org.vmcheck.lowmem;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.vmcheck.memory.PageMask;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.SlabHeads;

/// Weighs what speaks for each reading of the low 640 KiB, and answers.
public final class LowMemoryJudge {
  private final LowRange range;
  private final LowMemoryLists lists;
  private final double before;

  /// @param decoder of free pointers; empty if slabs cannot be walked
  LowMemoryJudge(LowRange range, Optional<FreelistDecoder> decoder) {
    this.range = range;
    this.lists = new LowMemoryLists(range, decoder);
    this.before =
        switch (range.encryption()) {
          case SME -> -2;
          case UNKNOWN -> -4;
          // A guest's kexec page tables carry the mask: the copy is right.
          case SEV -> -6;
          case OFF, REALM -> -9;
        };
  }

  LowMemoryReading judge() {
    if (range.statistics().isEmpty()) {
      return result(
          LowMemoryReading.Answer.NOT_STORED, "", List.of(), List.of(), Pages.NONE, Map.of());
    }
    RandomPages random = new RandomPages(range, lists, before);
    MaskedPages masked = new MaskedPages(range, lists, before);
    double forRandom = before + sum(random.witnesses());
    double forMask = before + sum(masked.witnesses());
    if (forMask >= LowMemoryReading.ENOUGH) {
      return masked(masked);
    }
    if (forRandom >= LowMemoryReading.ENOUGH) {
      return result(
          LowMemoryReading.Answer.RANDOM,
          "",
          random.witnesses(),
          random.against(),
          new Pages(randomLooking(), Set.of(), Map.of(), Set.of()),
          Map.of());
    }
    boolean isRandom = forRandom >= forMask;
    List<LowMemoryReading.Witness> better = isRandom ? random.witnesses() : masked.witnesses();
    List<String> against = isRandom ? random.against() : masked.against();
    Pages pages =
        random.isUndecided()
            ? new Pages(Set.of(), randomLooking(), Map.of(), Set.of())
            : Pages.NONE;
    Optional<String> why = whyOpen(better, Math.max(forRandom, forMask));
    return result(
        why.isPresent() ? LowMemoryReading.Answer.CANNOT_TELL : LowMemoryReading.Answer.PLAIN,
        why.orElse(""),
        better,
        against,
        pages,
        Map.of());
  }

  private static double sum(List<LowMemoryReading.Witness> witnesses) {
    return witnesses.stream().mapToDouble(LowMemoryReading.Witness::weight).sum();
  }

  /// What is said of pages.
  private record Pages(
      Set<Long> ciphertext, Set<Long> doubtful, Map<Long, PageMask> masks, Set<Long> guessed) {
    static final Pages NONE = new Pages(Set.of(), Set.of(), Map.of(), Set.of());
  }

  private LowMemoryReading result(
      LowMemoryReading.Answer answer,
      String why,
      List<LowMemoryReading.Witness> witnesses,
      List<String> against,
      Pages pages,
      Map<SlabHeads.Head, MaskSearch.Open> open) {
    return new LowMemoryReading(
        answer,
        why,
        range.frames(),
        range.encryption(),
        before,
        witnesses,
        against,
        pages.ciphertext(),
        pages.doubtful(),
        pages.masks(),
        pages.guessed(),
        lists.through(pages.masks(), open));
  }

  /// Frames that cannot be told from random bytes, and that nothing says are in the clear.
  private Set<Long> randomLooking() {
    Set<Long> frames = new TreeSet<>();
    range
        .statistics()
        .forEach(
            (pfn, page) -> {
              if (page.looksRandom() && !range.isTrampoline(pfn) && !lists.sound().contains(pfn)) {
                frames.add(pfn);
              }
            });
    return frames;
  }

  private LowMemoryReading masked(MaskedPages masked) {
    Map<Long, PageMask> masks = new TreeMap<>(masked.search().masks());
    Set<Long> ciphertext = new TreeSet<>(masks.keySet());
    if (masked.isWhole()) {
      // What no list and no commonest block tells apart still lies in the range.
      for (LowMemoryReading.Frame frame : range.frames()) {
        if (masked.isOpen(frame)
            && !range.isTrampoline(frame.pfn())
            && (range.isCopied(frame.pfn()) || frame.bytes().looksRandom())) {
          ciphertext.add(frame.pfn());
        }
      }
    }
    return result(
        LowMemoryReading.Answer.MASKED,
        "",
        masked.witnesses(),
        masked.against(),
        new Pages(ciphertext, doubtful(masked, ciphertext), masks, masked.search().guessed()),
        masked.search().open());
  }

  /// Pages of a range that is masked in part, whose lists break as they stand and would close under
  /// masks that nothing else bears out.
  private Set<Long> doubtful(MaskedPages masked, Set<Long> ciphertext) {
    Set<Long> frames = new TreeSet<>();
    masked
        .search()
        .open()
        .forEach(
            (head, open) -> {
              LowMemoryReading.Frame frame = lists.frameOfBadWord(head);
              if (frame != null
                  && open != MaskSearch.Open.UNDER_ALL
                  && masked.isOpen(frame)
                  && !ciphertext.contains(frame.pfn())) {
                frames.add(frame.pfn());
              }
            });
    return frames;
  }

  /// Why the answer is open; empty if the range is in the clear.
  private Optional<String> whyOpen(List<LowMemoryReading.Witness> witnesses, double weight) {
    if (witnesses.stream().anyMatch(witness -> witness.weight() > 0)) {
      return Optional.of(
          "what speaks for ciphertext weighs %.1f, %.0f are needed"
              .formatted(weight, LowMemoryReading.ENOUGH));
    }
    boolean anyPlain = range.statistics().values().stream().anyMatch(page -> page.zeroBlocks() > 0);
    if (!anyPlain) {
      return range.statistics().values().stream().anyMatch(PageStatistics::looksRandom)
          ? Optional.of("the stored pages look random and could hold packed data by right")
          : Optional.empty();
    }
    return switch (range.encryption()) {
      case SME, UNKNOWN ->
          brokenUnderSomeBlock()
              .map(
                  frame ->
                      "a freelist breaks in page frame 0x%x (%s), which holds no zero block: one link is too few to tell a mask from damage"
                          .formatted(frame.pfn(), range.role(frame)));
      case SEV, OFF, REALM -> Optional.empty();
    };
  }

  /// A page that a list breaks on and that could lie under a mask: no block of it is zero, and it
  /// is not filled with a pattern.
  private Optional<LowMemoryReading.Frame> brokenUnderSomeBlock() {
    for (SlabHeads.Head head : lists.broken()) {
      LowMemoryReading.Frame frame = lists.frameOfBadWord(head);
      if (frame != null
          && frame.bytes() != null
          && frame.bytes().zeroBlocks() == 0
          && !frame.bytes().commonest().isFillPattern()
          && !lists.sound().contains(frame.pfn())) {
        return Optional.of(frame);
      }
    }
    return Optional.empty();
  }
}
