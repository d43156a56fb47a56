package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.ObjectAnswer;
import org.vmcheck.finding.Subject;

/// Joins what the kernel reported itself (log.witness) with what the checks found in the dump: of
/// the same object, or of the same cache where one of both names no object, both are one finding,
/// the dump's, with the log as evidence. To a report that stays a finding of its own it adds what
/// the dump says of its object.
final class KernelsReports {
  /// Bytes of an object that are shown.
  private static final int MAX_BYTES = 64;

  private static final String WITNESS = "log.witness";

  private KernelsReports() {}

  /// Answers what there is to say of an object.
  interface Objects {
    /// @throws UnansweredException if no object is at the address
    ObjectAnswer object(long address) throws UnansweredException;
  }

  /// Whether a finding is one of the kernel's own.
  static boolean isOne(Finding finding) {
    return finding.check().equals(WITNESS);
  }

  static List<CheckOutcome> join(List<CheckOutcome> outcomes, Extents extents, Objects objects) {
    List<Finding> reports = new ArrayList<>();
    List<Finding> found = new ArrayList<>();
    for (CheckOutcome outcome : outcomes) {
      for (Finding finding : outcome.findingsIfRan()) {
        if (isOne(finding)) {
          reports.add(finding);
        } else if (!finding.cause().isArtefact()) {
          found.add(finding);
        }
      }
    }
    if (reports.isEmpty()) {
      return outcomes;
    }
    Map<Finding, List<Evidence>> more = new HashMap<>();
    Map<Finding, Finding> owners = new HashMap<>();
    for (Finding report : reports) {
      for (Finding finding : found) {
        if (isSame(report, finding, extents)) {
          owners.put(report, finding);
          more.computeIfAbsent(finding, _ -> new ArrayList<>()).addAll(report.evidence());
          break;
        }
      }
    }
    List<CheckOutcome> joined = new ArrayList<>();
    for (CheckOutcome outcome : outcomes) {
      joined.add(
          outcome instanceof CheckOutcome.Ran ran
              ? ran.id().equals(WITNESS)
                  ? witness(ran, owners, objects)
                  : ran.withFindings(
                      ran.findings().stream().map(f -> with(f, more.get(f))).toList())
              : outcome);
    }
    return joined;
  }

  private static Finding with(Finding finding, List<Evidence> more) {
    if (more == null) {
      return finding;
    }
    Set<Evidence> evidence = new java.util.LinkedHashSet<>(finding.evidence());
    evidence.addAll(more);
    return finding.withEvidence(List.copyOf(evidence));
  }

  private static CheckOutcome.Ran witness(
      CheckOutcome.Ran ran, Map<Finding, Finding> owners, Objects objects) {
    List<Finding> rest = new ArrayList<>();
    List<Note> notes = new ArrayList<>();
    Set<String> told = new HashSet<>();
    for (Finding report : ran.findings()) {
      Finding owner = owners.get(report);
      if (owner == null) {
        rest.add(withObject(report, objects));
      } else if (told.add(owner.check() + report.claim())) {
        notes.add(
            new Note(
                "report", "told with the finding of " + owner.check() + ": " + report.claim()));
      }
    }
    notes.addAll(ran.notes());
    return ran.withFindings(rest, notes);
  }

  private static boolean isSame(Finding report, Finding finding, Extents extents) {
    Subject told = report.subject();
    Subject bad = finding.subject();
    if (told.address() != Evidence.UNKNOWN && told.address() == bad.address()) {
      return true;
    }
    if (told.cache().isEmpty() || !told.cache().equals(bad.cache())) {
      return false;
    }
    if (told.object() == Evidence.UNKNOWN || bad.object() == Evidence.UNKNOWN) {
      return told.slab() == Evidence.UNKNOWN
          || bad.slab() == Evidence.UNKNOWN
          || told.slab() == bad.slab();
    }
    // A write over an object's end is found in the one behind it.
    return told.object() == bad.object()
        || extents.of(told).object().contains(bad.address())
        || extents.of(bad).object().contains(told.object());
  }

  /// What the dump says of the object that the kernel named.
  private static Finding withObject(Finding report, Objects objects) {
    if (report.subject().object() == Evidence.UNKNOWN) {
      return report;
    }
    try {
      ObjectAnswer answer = objects.object(report.subject().object());
      List<Evidence> evidence = new ArrayList<>(report.evidence());
      evidence.add(
          new Evidence.WordAt(
              answer.object(),
              answer.physical(),
              answer.raw(),
              answer.decoded(),
              "in the dump the object (%d of %d, %d bytes) is %s; its slab is %s"
                  .formatted(
                      answer.index(),
                      answer.objects(),
                      answer.objectSize(),
                      answer.state(),
                      answer.place())));
      if (!answer.hex().isEmpty()) {
        int shown = Math.min(answer.hex().length(), 2 * MAX_BYTES);
        evidence.add(
            new Evidence.BytesAt(
                answer.object(),
                answer.physical() - answer.offset(),
                answer.hex().substring(0, shown),
                0,
                0,
                shown < answer.hex().length()
                    ? "its first %d bytes in the dump".formatted(MAX_BYTES)
                    : "its bytes in the dump"));
      }
      for (String neighbour : answer.neighbours()) {
        evidence.add(new Evidence.WhatIf("neighbour", "beside it: " + neighbour));
      }
      return report.withEvidence(evidence);
    } catch (UnansweredException _) {
      return report;
    }
  }
}
