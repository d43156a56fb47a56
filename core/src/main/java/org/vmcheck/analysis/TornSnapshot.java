package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;

/// Recognises a dump whose parts are from different moments, and gathers what follows from that
/// into one finding.
///
/// The rule: the kernel had not panicked (a live snapshot: no panic line, no panic CPU, no crash
/// time), and the slab checks disagree in many caches at once and in more than one way: pointers as
/// well as counters or lists. One fault, however bad, damages one cache or its neighbours; only
/// time damages the busiest caches all together. A dump of a panicked kernel is never called torn.
final class TornSnapshot {
  /// Caches that must disagree. The lab's torn dump has 29; no planted fault touches more than 3.
  private static final int MIN_CACHES = 8;

  private static final int MIN_KINDS = 2;

  private TornSnapshot() {}

  /// The outcomes with the findings of the slab checks gathered, if the dump is torn; else
  /// unchanged.
  static List<CheckOutcome> gather(List<CheckOutcome> outcomes, KernelFacts kernel) {
    KernelFacts.PanicFacts panic = kernel.panic();
    if (!panic.message().isEmpty() || panic.cpu() >= 0 || panic.crashTime() != 0) {
      return outcomes;
    }
    Set<String> caches = new HashSet<>();
    Set<String> kinds = new HashSet<>();
    int findings = 0;
    for (CheckOutcome outcome : outcomes) {
      for (Finding finding : slabFindings(outcome)) {
        caches.add(finding.subject().cache());
        kinds.add(finding.check());
        findings++;
      }
    }
    if (caches.size() < MIN_CACHES || kinds.size() < MIN_KINDS) {
      return outcomes;
    }
    List<CheckOutcome> gathered = new ArrayList<>();
    boolean first = true;
    for (CheckOutcome outcome : outcomes) {
      List<Finding> slab = slabFindings(outcome);
      if (slab.isEmpty() || !(outcome instanceof CheckOutcome.Ran ran)) {
        gathered.add(outcome);
        continue;
      }
      List<Finding> rest = new ArrayList<>(ran.findings());
      rest.removeAll(slab);
      if (first) {
        rest.add(finding(ran.id(), caches.size(), findings, slab.getFirst()));
        first = false;
      }
      List<Note> notes = new ArrayList<>(ran.notes());
      notes.add(
          new Note(
              "torn snapshot",
              "%d findings are put down to the torn snapshot".formatted(slab.size())));
      gathered.add(ran.withFindings(rest, notes));
    }
    return gathered;
  }

  private static List<Finding> slabFindings(CheckOutcome outcome) {
    return outcome.findingsIfRan().stream()
        .filter(f -> f.check().startsWith("slab.") && !f.cause().isArtefact())
        .toList();
  }

  private static Finding finding(String check, int caches, int findings, Finding example) {
    return new Finding(
        check,
        Layer.CONTAINER,
        Severity.CORRUPT,
        Cause.TORN_SNAPSHOT,
        "the dump mixes moments: %d caches disagree with themselves and the kernel was running"
            .formatted(caches),
        Subject.NONE,
        List.of(
            new Evidence.CountMismatch(
                "caches that disagree",
                0,
                caches,
                "%d disagreements between page descriptors, lists and objects in %d caches"
                    .formatted(findings, caches)),
            new Evidence.CountMismatch(
                "panic", 1, 0, "the kernel had not panicked: no panic line, no panic CPU"),
            new Evidence.LogLineSays(0, "", "for example: " + example.claim())),
        List.of(),
        "torn-snapshot");
  }
}
