package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.attribution.FlippedBit;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Fingerprint;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.HexWindow;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.Words;

/// Do the counters of slabs, nodes and caches agree with what they count?
public final class SlabCountsCheck implements Check {
  /// A difference that lost updates of a counter do not reach.
  private static final long MIN_FLIP = 256;

  @Override
  public String id() {
    return "slab.counts";
  }

  @Override
  public String question() {
    return "Do the counters of slabs, nodes and caches agree with what they count?";
  }

  @Override
  public String explanation() {
    return """
    Compares inuse and objects of each slab with its freelist and its cache's geometry, nr_partial
    with the length of the list, nr_slabs and total_objects with the slabs found through the page
    descriptors: those of each node where the nodes' frames do not overlap, else of all together.

    It can mislead: a CPU stopped in the middle of an update leaves a counter one step behind; which
    such states count as legal is said at slab.lists.

    In detail: in a dump of a running kernel whose parts are from different moments such words disagree without
    a fault, and all of it is one finding, torn-snapshot. Of a kernel that had not panicked that is
    told by two words, in different pages, that no instant has together: a copy of jiffies_64 ahead
    of it, a task that ran after every run queue's clock_task, a task that is on a CPU whose run
    queue names another, a CPU on another task's stack; or by slab checks that disagree in at least
    8 caches, each in a run of pages of its own, and in counters or lists as well as in pointers. A
    flipped bit, a member of a kmem_cache whose right value is known, a page that holds one value, if
    it is not a slab's page of zeros, and text in a page descriptor, or in a free object if the list
    is whole but for it and no object of the cache in use has text there, are never put down to it;
    the head of a freelist is, even one bit off, for older heads lead to objects whose addresses
    often differ in a bit.

    A counter is put down to a flipped bit if it is one bit off by 256 or more, or if slab.objects is
    more than twice too large that way: smaller numbers are one bit apart by chance. Counters whose
    word is zero as a whole were cleared.
    Next: look at the freelist of the same slab; alone, a wrong counter points to a damaged page
    descriptor.\
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
    List<Finding> findings = new ArrayList<>();
    for (SlabFault fault : context.soundFaults()) {
      if (fault instanceof SlabFault.Count count && !context.wrongLengths().containsKey(count)) {
        findings.add(finding(kernel, count));
      }
    }
    if (findings.isEmpty() && survey.slabs() == 0) {
      return new CheckOutcome.NothingToLookAt(id(), Words.noSlabs(survey));
    }
    boolean isWhole =
        survey.unreadableSlabPages().isEmpty()
            && survey.unreadableDescriptors() == 0
            && survey.finished()
            && context.unreachedLists() == 0;
    int told = context.wrongLengths().size();
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("slabs", Long.toString(survey.slabs()));
    facts.put("caches", Integer.toString(survey.tallies().size()));
    return new CheckOutcome.Ran(
        id(),
        findings.isEmpty()
            ? (isWhole
                    ? "all counters agree"
                    : "all counters agree of which the slabs could be read")
                + (told == 0
                    ? ""
                    : ", but for %d where the freelist is wrong (slab.freelist)".formatted(told))
            : Words.plural(findings.size(), "counter is wrong", "counters are wrong"),
        facts,
        findings,
        List.of(),
        new Coverage(Map.of("slabs counted", survey.slabs()), Map.of(), List.of()));
  }

  private Finding finding(Kernel kernel, SlabFault.Count count) {
    long raw =
        kernel.memory().read(count.address(), 8) instanceof MemoryRead.Bytes(ByteView view)
            ? view.u64(0)
            : Evidence.UNKNOWN;
    Subject subject =
        Subject.cache(Words.name(count.cache()))
            .withSlab(count.slab() == null ? Evidence.UNKNOWN : count.slab().address())
            .withAddress(count.address(), kernel.memory().physicalAddress(count.address()))
            .withWord(raw, Evidence.UNKNOWN);
    boolean isFlipped = isFlipped(count);
    boolean isCleared = isCleared(count, raw);
    Cause cause = isFlipped ? Cause.BIT_FLIP : Cause.COUNTER_MISMATCH;
    List<Evidence> evidence = new ArrayList<>();
    evidence.add(
        new Evidence.CountMismatch(count.counter(), count.expected(), count.actual(), count.why()));
    evidence.add(
        new Evidence.WordAt(
            count.address(),
            kernel.memory().physicalAddress(count.address()),
            raw,
            Evidence.UNKNOWN,
            isCleared
                ? "the word at 0x%x is cleared as a whole: objects, inuse and frozen are 0, as when a page is given back"
                    .formatted(count.address())
                : "the word that holds the counter, at 0x%x, is 0x%016x"
                    .formatted(count.address(), raw)));
    evidence.add(HexWindow.around(kernel, count.address(), 8, "the word that holds the counter"));
    return new Finding(
        id(),
        Layer.KERNEL,
        Severity.CORRUPT,
        cause,
        "%s of cache %s is %s and disagrees with %d: %s%s"
            .formatted(
                count.counter(),
                Words.name(count.cache()),
                Long.toUnsignedString(count.actual()),
                count.expected(),
                count.why(),
                isFlipped
                    ? "; they differ by bit %d of the counter"
                        .formatted(Long.numberOfTrailingZeros(count.actual() ^ count.expected()))
                    : ""),
        subject,
        evidence,
        List.of(),
        Fingerprint.of(id(), cause, Words.name(count.cache()), Words.place(count.counter())));
  }

  /// Whether all of a slab's counters are 0, in one word of 32 bits.
  private static boolean isCleared(SlabFault.Count count, long raw) {
    return count.slab() != null && count.counter().startsWith("slab.") && (raw & 0xffff_ffffL) == 0;
  }

  /// Whether a flipped bit is what made the counter wrong: one so high that no lost update explains
  /// it, or in a number that nothing changes once the slab is made, one that makes it more than
  /// twice as large. Smaller numbers are one bit apart by chance, and any power of two is one bit
  /// away from zero.
  private static boolean isFlipped(SlabFault.Count count) {
    return FlippedBit.isOne(count.actual(), count.expected())
        && (Math.abs(count.actual() - count.expected()) >= MIN_FLIP
            || (count.counter().equals("slab.objects") && count.actual() > 2 * count.expected()));
  }
}
