package org.vmcheck.check;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.vmcheck.attribution.ClearedObject;
import org.vmcheck.attribution.MisplacedPatterns;
import org.vmcheck.attribution.PatternBits;
import org.vmcheck.attribution.WordShape;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Fingerprint;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.HexWindow;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.slab.Freelist;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCaches;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.Words;

/// Are the bytes right that the allocator's debugging options fix?
public final class SlabPoisonCheck implements Check {
  /// Damage this close to the damage before it is the same write.
  private static final long SAME_WRITE = 16;

  @Override
  public String id() {
    return "slab.poison";
  }

  @Override
  public String question() {
    return "Are red zones, poison, padding and tracking data of debug caches as they must be?";
  }

  @Override
  public String explanation() {
    return """
    For caches with slub_debug options: the red zones around every object (0xcc in use, 0xbb free),
    the poison of free objects (0x6b, last byte 0xa5), the padding (0x5a) and the records of who
    allocated and freed them. The bytes of a kmalloc object that were not asked for are a red zone
    too in slabs whose objects show it (6.2 on). With init_on_free: that free objects, those in
    sheaves too, are zero but for their free pointers, as far as they were asked for. Silent where a
    cache has none of these, and on object extensions that a slab keeps in its own padding (7.0 on).

    In detail: legal, and so a note: objects on no list that have the red zones of free ones (one zone whole,
    no byte 0xcc in the other), in a slab whose counters and list agree. The kernel gives up a
    slab's free objects after an error that it reports, and a CPU takes objects off the list before
    it makes their zones those of allocated ones. Their poison and padding are looked at as those of
    free objects; a zone of an allocated object beside one of a free object is damage, but for one
    object a slab while list_lock is held, or while a CPU has the slab's whole list (frozen, empty):
    it may be changing them.

    One bit of one byte is a flipped bit, unless the byte lies right next to an object in use; the
    same bit set in several words of 4 bytes is a write. A cleared object that is not zero from its
    first byte on, behind a byte that is not zero, was written from the left.
    While the static key slub_debug_enabled is off (5.9 to 5.12 without slub_debug=) no byte is fixed.
    What is wrong on a page that holds a single byte value is one finding, page-wiped. Where the
    kernel has kfree_nolock, which clears nothing, a free kmalloc object (neither of dma-kmalloc nor of
    kmalloc-rcl caches) that is not zero is a note if nothing else is wrong next to it.

    It can mislead: the kernel repairs the bytes when it reports them itself; see the log.
    Next: the tracking data names the functions; look at who else holds the object.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.SLAB;
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    SlabSurvey survey = context.survey();
    // What overwrote a free pointer is a finding of slab.freelist already.
    Set<Long> brokenObjects = new HashSet<>();
    for (SlabFault fault : context.soundFaults()) {
      if (fault instanceof SlabFault.Broken broken
          && broken.list().end() instanceof Freelist.End.BadPointer bad
          && bad.holder() != Freelist.HEAD) {
        brokenObjects.add(broken.slab().object(bad.holder()));
      }
    }
    MisplacedPatterns misplaced =
        MisplacedPatterns.of(
            context.kernel().orElseThrow(),
            context.survey(),
            context.soundFaults(),
            context.wrongMembers(),
            id());
    List<SlabFault.Pattern> faults = new ArrayList<>();
    Set<Long> toldByFreelist = new HashSet<>();
    for (SlabFault fault : context.soundFaults()) {
      if (fault instanceof SlabFault.Pattern pattern
          && !misplaced.gaps().containsKey(pattern.cache())) {
        long object = pattern.slab().object(pattern.index());
        if (pattern.zone() == SlabFault.Zone.ZEROED && brokenObjects.contains(object)) {
          toldByFreelist.add(object);
        } else {
          faults.add(pattern);
        }
      }
    }
    Pages pages = new Pages(kernel);
    Set<Long> toldByLists = pagesOfBrokenLists(context);
    List<Finding> findings = new ArrayList<>(misplaced.findings());
    List<SlabFault.Pattern> uncleared = new ArrayList<>();
    SlabFault.Pattern wipedBefore = null;
    int toldElsewhere = 0;
    int from = 0;
    while (from < faults.size()) {
      SlabFault.Pattern fault = faults.get(from);
      int end = pages.endOfWipe(faults, from);
      if (end > from) {
        List<SlabFault.Pattern> wiped = faults.subList(from, end);
        if (wiped.stream().allMatch(one -> mayBeLeftUncleared(kernel, one))) {
          uncleared.addAll(wiped); // A big object may hold a page of one value.
        } else if (wiped.stream()
            .anyMatch(one -> toldByLists.contains(pages.page(one.address())))) {
          toldElsewhere++;
        } else {
          findings.add(wiped(kernel, pages, wiped));
        }
        wipedBefore = faults.get(end - 1);
        from = end;
        continue;
      }
      // One write that runs over several zones is one finding.
      end = from + 1;
      while (end < faults.size()
          && isSameWrite(faults.get(end - 1), faults.get(end))
          && pages.endOfWipe(faults, end) == end) {
        end++;
      }
      List<SlabFault.Pattern> write = faults.subList(from, end);
      from = end;
      if (wipedBefore != null && isSameWrite(wipedBefore, fault)) {
        continue;
      }
      if (write.stream().allMatch(one -> mayBeLeftUncleared(kernel, one))) {
        uncleared.addAll(write);
      } else {
        findings.add(finding(kernel, fault, write.size() == 1));
      }
    }
    if (findings.isEmpty() && survey.patternObjects() == 0) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          survey.slabs() == 0
              ? Words.noSlabs(survey)
              : "no object has bytes that debugging options or init_on_free set",
          Map.of(),
          List.of(),
          new Coverage(Map.of(), Map.of(), List.copyOf(misplaced.gaps().values())));
    }
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("objects checked", Long.toString(survey.patternObjects()));
    return new CheckOutcome.Ran(
        id(),
        answer(survey, findings.size(), toldElsewhere, toldByFreelist.size(), uncleared.size()),
        facts,
        findings,
        notes(uncleared),
        new Coverage(
            Map.of("objects with fixed bytes", survey.patternObjects()),
            Map.of(),
            List.copyOf(misplaced.gaps().values())));
  }

  private static String answer(
      SlabSurvey survey, int findings, int toldElsewhere, int toldByFreelist, int uncleared) {
    if (findings > 0) {
      return Words.plural(findings, "object is damaged", "objects are damaged");
    }
    if (toldElsewhere > 0) {
      return "fixed bytes are lost on wiped pages, of which slab.freelist tells";
    }
    List<String> but = new ArrayList<>();
    if (toldByFreelist > 0) {
      but.add(
          "those of %s (slab.freelist)"
              .formatted(Words.plural(toldByFreelist, "object", "objects")));
    }
    if (uncleared > 0) {
      but.add("what kfree_nolock may have left");
    }
    return (survey.unreadableSlabPages().isEmpty()
            ? "red zones, poison and padding are right"
            : "red zones, poison and padding are right where they could be read")
        + (but.isEmpty() ? "" : " but " + String.join(" and ", but));
  }

  private static boolean isSameWrite(SlabFault.Pattern one, SlabFault.Pattern next) {
    return one.slab().address() == next.slab().address()
        && next.address() - one.end() <= SAME_WRITE;
  }

  // ---- pages that hold one value

  /// Which pages hold a single byte value: each is read once.
  private static final class Pages {
    private final Kernel kernel;
    private final Map<Long, Integer> values = new HashMap<>();

    Pages(Kernel kernel) {
      this.kernel = kernel;
    }

    /// The start of the page that holds an address.
    long page(long address) {
      return kernel.memory().pageStart(address);
    }

    /// The value of every byte of the page that holds an address; -1 if there are several.
    int value(long address) {
      return values.computeIfAbsent(page(address), this::read);
    }

    private int read(long page) {
      return kernel.memory().read(page, kernel.memory().pageSize())
              instanceof MemoryRead.Bytes(ByteView bytes)
          ? ByteView.onlyByte(bytes.segment())
          : -1;
    }

    /// The end of the run of faults from `from` on that lie on pages of one slab that follow each
    /// other and hold one value; `from` if the first does not.
    int endOfWipe(List<SlabFault.Pattern> faults, int from) {
      SlabFault.Pattern first = faults.get(from);
      int value = value(first.address());
      long last = page(first.address());
      int end = from;
      for (; end < faults.size() && value >= 0; end++) {
        SlabFault.Pattern fault = faults.get(end);
        if (fault.slab().address() != first.slab().address()
            || page(fault.address()) > last + kernel.memory().pageSize()
            || !areAll(value, fault.address(), fault.end())) {
          break;
        }
        last = page(fault.end() - 1);
      }
      return end;
    }

    private boolean areAll(int value, long from, long end) {
      for (long page = page(from); page < end; page += kernel.memory().pageSize()) {
        if (value(page) != value) {
          return false;
        }
      }
      return true;
    }
  }

  /// Pages of which slab.freelist tells that they were wiped, if they were.
  private static Set<Long> pagesOfBrokenLists(CheckContext context) {
    Set<Long> pages = new HashSet<>();
    for (SlabFault fault : context.soundFaults()) {
      if (fault instanceof SlabFault.Broken broken
          && broken.list().end() instanceof Freelist.End.BadPointer bad
          && bad.holder() != Freelist.HEAD) {
        pages.add(context.kernel().orElseThrow().memory().pageStart(bad.slot()));
      }
    }
    return pages;
  }

  /// All that is wrong on pages that hold one value.
  private Finding wiped(Kernel kernel, Pages pages, List<SlabFault.Pattern> faults) {
    SlabFault.Pattern first = faults.getFirst();
    Slab slab = first.slab();
    String name = Words.name(slab.cache());
    long start = pages.page(first.address());
    long count = (pages.page(faults.getLast().end() - 1) - start) / kernel.memory().pageSize() + 1;
    long physical = kernel.memory().physicalAddress(start);
    int value = pages.value(start);
    long objects = faults.stream().mapToInt(SlabFault.Pattern::index).distinct().count();
    return new Finding(
        id(),
        Layer.KERNEL,
        Severity.CORRUPT,
        Cause.PAGE_WIPED,
        "%s of a slab of cache %s, from 0x%x on, %s nothing but 0x%02x"
            .formatted(
                Words.plural(count, "page", "pages"),
                name,
                start,
                count == 1 ? "holds" : "hold",
                value),
        Subject.cache(name)
            .withSlab(slab.address())
            .withAddress(start, physical)
            .withWord(value * 0x0101_0101_0101_0101L, Evidence.UNKNOWN),
        List.of(
            new Evidence.PageLooksLike(
                kernel.memory().pfn(physical),
                "one value",
                "every byte of it is 0x%02x; fixed bytes in or around %s are lost, the first at 0x%x"
                    .formatted(value, Words.plural(objects, "object", "objects"), first.address())),
            HexWindow.around(kernel, first.address(), 8, "the bytes around the first of them")),
        List.of(),
        Fingerprint.of(id(), Cause.PAGE_WIPED, name));
  }

  // ---- what kernels leave by right

  /// Whether `kfree_nolock` (6.18 on) may have freed the object: it clears nothing (Linux
  /// `mm/slub.c`), and frees objects of kmalloc caches, but of none for DMA or reclaimable memory,
  /// which nobody who frees so asks for (`kmalloc_nolock`; alloc_slab_obj_exts, OBJCGS_CLEAR_MASK).
  private static boolean mayBeLeftUncleared(Kernel kernel, SlabFault.Pattern fault) {
    return fault.zone() == SlabFault.Zone.ZEROED
        && kernel.symbol("kfree_nolock").isPresent()
        && !fault.cache().name().startsWith("dma-kmalloc-")
        && !fault.cache().name().startsWith("kmalloc-rcl-")
        && SlabCaches.of(kernel)
            .layout()
            .filter(layout -> layout.flags().isKmalloc(fault.cache()))
            .isPresent();
  }

  /// One note on the objects that were not cleared.
  private static List<Note> notes(List<SlabFault.Pattern> uncleared) {
    if (uncleared.isEmpty()) {
      return List.of();
    }
    SlabFault.Pattern first = uncleared.getFirst();
    return List.of(
        new Note(
            "init_on_free",
            ("%s not zero, the first 0x%x of cache %s; no damage by itself: kfree_nolock does"
                    + " not clear what it frees")
                .formatted(
                    Words.plural(
                        uncleared.size(),
                        "free object of a kmalloc cache is",
                        "free objects of kmalloc caches are"),
                    first.slab().object(first.index()),
                    Words.name(first.cache()))));
  }

  // ---- one place

  /// What else can be said of wrong bytes, by where they lie.
  private static String meaning(SlabFault.Zone zone) {
    return switch (zone) {
      case POISON -> ", from the free of the object to its next use";
      case PADDING -> ", and no user has them: a write ran out of an object";
      case SLAB_TAIL -> ", behind the last object: a write ran out of an object";
      default -> "";
    };
  }

  private static Cause cause(SlabFault.Zone zone) {
    return switch (zone) {
      case LEFT_RED_ZONE, RIGHT_RED_ZONE -> Cause.REDZONE_OVERWRITTEN;
      case POISON, PADDING, SLAB_TAIL -> Cause.POISON_OVERWRITTEN;
      case TRACKING -> Cause.TRACKING_OVERWRITTEN;
      case ZEROED -> Cause.USE_AFTER_FREE_WRITE;
    };
  }

  /// How the bytes are wrong, with the place of the first: of a stretch only some may be.
  private static String wrongWords(SlabFault.Pattern fault) {
    int length = (int) (fault.end() - fault.address());
    return "%s%s from 0x%x on"
        .formatted(
            Words.plural(fault.wrong(), "byte is wrong", "bytes are wrong"),
            fault.wrong() == length ? "" : " of the " + length,
            fault.address());
  }

  /// @param isAlone whether no other zone is wrong by the same write
  private Finding finding(Kernel kernel, SlabFault.Pattern fault, boolean isAlone) {
    Slab slab = fault.slab();
    PatternBits bits = PatternBits.of(kernel, fault);
    Cause cause =
        isAlone && bits.isFlip()
            ? Cause.BIT_FLIP
            : fault.zone() == SlabFault.Zone.ZEROED && ClearedObject.isOverrun(kernel, fault)
                ? Cause.OVERFLOW_FROM_NEIGHBOUR
                : cause(fault.zone());
    long object = fault.index() < 0 ? Evidence.UNKNOWN : slab.object(fault.index());
    long raw =
        kernel.memory().read(fault.address(), 8) instanceof MemoryRead.Bytes(ByteView view)
            ? view.u64(0)
            : Evidence.UNKNOWN;
    int length = (int) (fault.end() - fault.address());
    List<Evidence> evidence = new ArrayList<>();
    evidence.add(
        new Evidence.WordAt(
            fault.address(),
            kernel.memory().physicalAddress(fault.address()),
            raw,
            Evidence.UNKNOWN,
            "%s: %s%s; the word there is 0x%016x (%s)"
                .formatted(
                    wrongWords(fault),
                    fault.why(),
                    meaning(fault.zone()),
                    raw,
                    WordShape.of(kernel, raw).words())));
    bits.evidence(kernel).ifPresent(evidence::add);
    evidence.add(
        HexWindow.around(kernel, fault.address(), Math.min(length, 32), "the bytes around it"));
    return new Finding(
        id(),
        Layer.KERNEL,
        Severity.CORRUPT,
        cause,
        fault.index() < 0
            ? "the %s at 0x%x of cache %s is overwritten"
                .formatted(fault.zone().words(), slab.base(), Words.name(slab.cache()))
            : "the %s of %s object %d of cache %s is overwritten"
                .formatted(
                    fault.zone().words(),
                    fault.free() ? "free" : "allocated",
                    fault.index(),
                    Words.name(slab.cache())),
        Subject.cache(Words.name(slab.cache()))
            .withSlab(slab.address())
            .withObject(object)
            .withAddress(fault.address(), kernel.memory().physicalAddress(fault.address()))
            .withWord(raw, Evidence.UNKNOWN),
        evidence,
        List.of(),
        Fingerprint.of(id(), cause, Words.name(slab.cache()), fault.zone().words()));
  }
}
