package org.vmcheck.lowmem;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.PageMask;
import org.vmcheck.memory.UnmaskedMemory;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.Freelist;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.SlabHeads;
import org.vmcheck.slab.SlabMemory;

/// The freelists of the slabs that start in the low 640 KiB, walked as they stand and, later,
/// through masks.
final class LowMemoryLists {
  private final LowRange range;
  private final Optional<FreelistDecoder> decoder;
  private final Set<Long> sound = new TreeSet<>();
  private final Map<Long, Freelist> brokenAt = new LinkedHashMap<>();
  private final List<SlabHeads.Head> broken = new ArrayList<>();
  private SlabHeads heads = new SlabHeads(List.of(), List.of());
  private int closedInTheClear;

  /// @param decoder of free pointers; empty if slabs cannot be walked: then there is no list
  LowMemoryLists(LowRange range, Optional<FreelistDecoder> decoder) {
    this.range = range;
    this.decoder = decoder;
    Optional<Kernel> kernel = range.kernel();
    if (kernel.isPresent() && decoder.isPresent() && MemMap.of(kernel.get()).isPresent()) {
      heads =
          SlabHeads.below(
              kernel.get(), MemMap.of(kernel.get()).orElseThrow(), LowMemory.BACKUP_END_PFN);
      walk();
    }
  }

  private void walk() {
    Freelist.Walker walker = walker(range.memory());
    for (SlabHeads.Head head : heads.heads()) {
      walker.start(head.slab());
      Freelist list = walker.walk(head.slab(), head.first(), head.slot());
      if (!list.isClosed()) {
        broken.add(head);
        brokenAt.put(head.slot(), list);
        continue;
      }
      boolean isHere = false;
      for (int i = 0; i < head.slab().walkableObjects(); i++) {
        if (walker.isMet(i)) {
          long pfn = pfn(head, head.slab().slot(i));
          sound.add(pfn);
          isHere |= range.isCopied(pfn) && !range.isTrampoline(pfn);
        }
      }
      closedInTheClear += isHere ? 1 : 0;
    }
  }

  private Freelist.Walker walker(PhysicalMemory memory) {
    return new Freelist.Walker(decoder.orElseThrow(), new SlabMemory(memory));
  }

  private static long pfn(SlabHeads.Head head, long address) {
    return head.slab().pfn() + ((address - head.slab().base()) >>> 12);
  }

  /// The lists that do not end as they stand.
  List<SlabHeads.Head> broken() {
    return broken;
  }

  /// Frames whose free pointers lead rightly as they stand.
  Set<Long> sound() {
    return sound;
  }

  /// Lists of pages of the copied range that end as they stand.
  int closedInTheClear() {
    return closedInTheClear;
  }

  FreelistDecoder decoder() {
    return decoder.orElse(FreelistDecoder.PLAIN);
  }

  /// The frame of the range in which a broken list's bad word lies; null if in none, or if it is
  /// the head.
  LowMemoryReading.Frame frameOfBadWord(SlabHeads.Head head) {
    return brokenAt.get(head.slot()).end()
                instanceof Freelist.End.BadPointer(int holder, long slot, long _, long _)
            && holder != Freelist.HEAD
        ? range.frame(pfn(head, slot))
        : null;
  }

  /// What becomes of the lists when masks are taken off.
  ///
  /// @param judged what the search for masks found of lists that no mask closes
  LowMemoryReading.Lists through(
      Map<Long, PageMask> masks, Map<SlabHeads.Head, MaskSearch.Open> judged) {
    int closed = 0;
    List<LowMemoryReading.Bad> still = new ArrayList<>();
    List<LowMemoryReading.Lost> lost = new ArrayList<>();
    if (!masks.isEmpty() && decoder.isPresent()) {
      Freelist.Walker walker = walker(new UnmaskedMemory(range.memory(), masks));
      for (SlabHeads.Head head : broken) {
        walker.start(head.slab());
        Freelist list = walker.walk(head.slab(), head.first(), head.slot());
        if (list.isClosed()) {
          closed++;
        } else if (range.frame(pfn(head, list.end().slot())) != null
            && masks.containsKey(pfn(head, list.end().slot()))) {
          bad(head, list).ifPresent(still::add);
        } else if (frameOfBadWord(head) != null) {
          lost.add(
              new LowMemoryReading.Lost(
                  head, frameOfBadWord(head).pfn(), judged.get(head) == MaskSearch.Open.UNDER_ALL));
        }
      }
    }
    return new LowMemoryReading.Lists(
        heads.slabs().size(),
        heads.heads().size(),
        broken.size(),
        closedInTheClear,
        closed,
        firstBad(masks),
        still,
        lost);
  }

  /// The word that a list breaks at, as read through masks.
  private static Optional<LowMemoryReading.Bad> bad(SlabHeads.Head head, Freelist list) {
    return switch (list.end()) {
      case Freelist.End.BadPointer(int _, long slot, long raw, long decoded) ->
          Optional.of(bad(head, slot, raw, decoded));
      case Freelist.End.Cycle(int _, long slot, long raw, long decoded, int _, int _) ->
          Optional.of(bad(head, slot, raw, decoded));
      case Freelist.End.OnOtherList(int _, long slot, long raw, long decoded, int _) ->
          Optional.of(bad(head, slot, raw, decoded));
      case Freelist.End.Closed _, Freelist.End.Unreadable _ -> Optional.empty();
    };
  }

  private static LowMemoryReading.Bad bad(SlabHeads.Head head, long slot, long raw, long decoded) {
    return new LowMemoryReading.Bad(
        head, slot, (pfn(head, slot) << 12) + (slot & 4095), raw, decoded, decoded, 0);
  }

  /// The bad word that tells most: one of a CPU's list, which other tools name too, and one that
  /// leads somewhere once its mask is off.
  private LowMemoryReading.Bad firstBad(Map<Long, PageMask> masks) {
    LowMemoryReading.Bad best = null;
    for (SlabHeads.Head head : broken) {
      if (brokenAt.get(head.slot()).end()
              instanceof Freelist.End.BadPointer(int holder, long slot, long raw, long decoded)
          && holder != Freelist.HEAD
          && range.frame(pfn(head, slot)) != null) {
        long pfn = pfn(head, slot);
        PageMask mask = masks.get(pfn);
        long recovered =
            mask == null
                ? decoded
                : decoder().decode(raw ^ mask.over(slot), slot, head.slab().cache().random());
        LowMemoryReading.Bad bad =
            new LowMemoryReading.Bad(
                head,
                slot,
                (pfn << 12) + (slot & 4095),
                raw,
                decoded,
                recovered,
                (head.cpu() >= 0 ? 2 : 0) + (head.slab().index(recovered) >= 0 ? 1 : 0));
        best = best == null || bad.rank() > best.rank() ? bad : best;
      }
    }
    return best;
  }

  /// Frames on which lists break, and the slabs of these.
  Set<Long> slabsBrokenOn(Set<Long> frames, Set<Long> hit) {
    Set<Long> slabs = new LinkedHashSet<>();
    for (SlabHeads.Head head : broken) {
      LowMemoryReading.Frame frame = frameOfBadWord(head);
      if (frame != null && frames.contains(frame.pfn())) {
        hit.add(frame.pfn());
        slabs.add(head.slab().pfn());
      }
    }
    return slabs;
  }
}
