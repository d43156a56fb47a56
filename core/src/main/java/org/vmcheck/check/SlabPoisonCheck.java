package org.vmcheck.check;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Freelist;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.Slab;
import org.vmcheck.kernel.SlabFault;
import org.vmcheck.kernel.SlabSurvey;
import org.vmcheck.memory.MemoryRead;

/// Are the bytes right that the allocator's debugging options fix?
final class SlabPoisonCheck implements Check {
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
    allocated and freed them. With init_on_free: that free objects are zero but for their free
    pointers. Silent where a cache has none of these.

    Legal, and so a note: objects on no list that have the red zones of free ones (one zone whole,
    no byte 0xcc in the other), in a slab whose counters and list agree. The kernel gives up a
    slab's free objects after an error that it reports, and a CPU takes objects off the list before
    it makes their zones those of allocated ones. Their poison and padding are looked at as those of
    free objects; a zone of an allocated object beside one of a free object is damage, but for one
    object a slab while list_lock is held, or while a CPU has the slab's whole list (frozen, empty):
    it may be changing them.

    It can mislead: the kernel repairs the bytes when it reports them itself; see the log.
    Next: the tracking data names the functions; look at who else holds the object.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.SLAB;
  }

  @Override
  public CheckOutcome.Ran run(Subjects subjects) {
    Kernel kernel = subjects.kernel().orElseThrow();
    SlabSurvey survey = subjects.survey();
    // What overwrote a free pointer is a finding of slab.freelist already.
    Set<Long> brokenObjects = new HashSet<>();
    for (SlabFault fault : subjects.soundFaults()) {
      if (fault instanceof SlabFault.Broken broken
          && broken.list().end() instanceof Freelist.End.BadPointer bad
          && bad.holder() != Freelist.HEAD) {
        brokenObjects.add(broken.slab().object(bad.holder()));
      }
    }
    MisplacedPatterns misplaced = MisplacedPatterns.of(subjects, id());
    List<SlabFault.Pattern> faults = new ArrayList<>();
    for (SlabFault fault : subjects.soundFaults()) {
      if (fault instanceof SlabFault.Pattern pattern
          && !misplaced.gaps().containsKey(pattern.cache())
          && (pattern.zone() != SlabFault.Zone.ZEROED
              || !brokenObjects.contains(pattern.slab().object(pattern.index())))) {
        faults.add(pattern);
      }
    }
    List<Finding> findings = new ArrayList<>(misplaced.findings());
    SlabFault.Pattern previous = null;
    for (SlabFault.Pattern fault : faults) {
      // One write that runs over several zones is one finding.
      boolean continues =
          previous != null
              && previous.slab().address() == fault.slab().address()
              && fault.address() - previous.end() <= SAME_WRITE;
      previous = fault;
      if (!continues) {
        findings.add(finding(kernel, fault));
      }
    }
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("objects checked", Long.toString(survey.patternObjects()));
    return new CheckOutcome.Ran(
        id(),
        survey.patternObjects() == 0
            ? "no cache has debugging options"
            : findings.isEmpty()
                ? "all fixed bytes are right"
                : Words.plural(findings.size(), "object is damaged", "objects are damaged"),
        facts,
        findings,
        List.of(),
        new Coverage(
            Map.of("objects with fixed bytes", survey.patternObjects()),
            Map.of(),
            List.copyOf(misplaced.gaps().values())));
  }

  private Finding finding(Kernel kernel, SlabFault.Pattern fault) {
    Slab slab = fault.slab();
    Cause cause =
        switch (fault.zone()) {
          case LEFT_RED_ZONE, RIGHT_RED_ZONE -> Cause.REDZONE_OVERWRITTEN;
          case POISON, PADDING, SLAB_TAIL -> Cause.POISON_OVERWRITTEN;
          case TRACKING -> Cause.TRACKING_OVERWRITTEN;
          case ZEROED -> Cause.USE_AFTER_FREE_WRITE;
        };
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
            "%s at 0x%x: %s; the word there is 0x%016x (%s)"
                .formatted(
                    Words.plural(length, "byte is wrong", "bytes are wrong"),
                    fault.address(),
                    fault.why(),
                    raw,
                    WordShape.of(kernel, raw).words())));
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
        "%s/%s/%s/%s".formatted(id(), cause.id(), Words.name(slab.cache()), fault.zone().words()));
  }
}
