package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.List;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.ObjectTrack;
import org.vmcheck.slab.SlabCache;

/// Adds to the findings about an object of a debug cache who allocated it and who freed it; where a
/// write came over the object's border, of the object before it too.
final class ObjectHistory {
  private ObjectHistory() {}

  static List<CheckOutcome> attach(List<CheckOutcome> outcomes, Kernel kernel) {
    if (outcomes.stream().allMatch(outcome -> outcome.findingsIfRan().isEmpty())) {
      return outcomes;
    }
    Extents extents = new Extents(kernel);
    List<CheckOutcome> attached = new ArrayList<>();
    for (CheckOutcome outcome : outcomes) {
      attached.add(
          outcome instanceof CheckOutcome.Ran ran && !ran.findings().isEmpty()
              ? ran.withFindings(
                  ran.findings().stream().map(f -> with(f, kernel, extents)).toList())
              : outcome);
    }
    return attached;
  }

  private static Finding with(Finding finding, Kernel kernel, Extents extents) {
    Subject subject = finding.subject();
    SlabCache cache = extents.cache(subject.cache());
    if (cache == null || !cache.isSane() || finding.cause().isArtefact()) {
      return finding;
    }
    List<Evidence> evidence = new ArrayList<>(finding.evidence());
    if (subject.object() == Evidence.UNKNOWN) {
      // The tail of a slab is shorter than an object, so it tells how many lie before it.
      long base = extents.of(subject).slab().from();
      boolean isInside = extents.of(subject).slab().contains(subject.address());
      long objects = isInside ? (subject.address() - base) / cache.size() : 0;
      // One byte that differs in one bit from the poison is called a flipped bit.
      boolean isFill =
          finding.cause() == Cause.POISON_OVERWRITTEN || finding.cause() == Cause.BIT_FLIP;
      if (isFill && objects > 0) {
        long last = base + (objects - 1) * cache.size() + cache.redLeftPad();
        add(evidence, kernel, cache, last, "the object before it was");
      }
      return finding.withEvidence(evidence);
    }
    add(evidence, kernel, cache, subject.object(), "the object was");
    boolean isFromBefore =
        finding.cause() == Cause.OVERFLOW_FROM_NEIGHBOUR
            || (finding.cause() == Cause.REDZONE_OVERWRITTEN
                && subject.address() < subject.object());
    long before = subject.object() - cache.size();
    if (isFromBefore && extents.of(subject).slab().contains(before)) {
      add(evidence, kernel, cache, before, "the object before it was");
    }
    return finding.withEvidence(evidence);
  }

  private static void add(
      List<Evidence> evidence, Kernel kernel, SlabCache cache, long object, String who) {
    for (ObjectTrack track : ObjectTrack.of(kernel, cache, object)) {
      evidence.add(
          new Evidence.WordAt(
              track.caller(),
              Evidence.UNKNOWN,
              Evidence.UNKNOWN,
              Evidence.UNKNOWN,
              who + " " + track.words(kernel)));
    }
  }
}
