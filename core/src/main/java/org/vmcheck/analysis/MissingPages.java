package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;

/// One finding for one fault: where a check of the container says that pages are missing, the slabs
/// that cannot be read for it are its evidence and no finding of their own. Where the file's tables
/// contradict each other, no page is known to be the one it is said to be: then whatever the slabs
/// show rests on that.
final class MissingPages {
  private static final Set<Cause> CAUSES =
      Set.of(
          Cause.DUMPER_EXCLUDED_SLAB,
          Cause.PAGE_EXCLUDED,
          Cause.DUMP_TRUNCATED,
          Cause.PAGE_UNDECODABLE);

  private static final int MAX_EVIDENCE = 12;

  /// What a slab check answers whose findings rest on a file that contradicts itself.
  static final String NOT_JUDGED =
      "what is wrong is not judged: no page is known to be the one that the file's tables say";

  private MissingPages() {}

  /// The outcomes with what the slab checks say of missing pages added to the container's finding
  /// of the same cause, where there is one; else unchanged.
  static List<CheckOutcome> gather(List<CheckOutcome> outcomes) {
    List<CheckOutcome> gathered = new ArrayList<>(outcomes);
    for (int from = 0; from < gathered.size(); from++) {
      if (!(gathered.get(from) instanceof CheckOutcome.Ran slab)
          || !slab.id().startsWith("slab.")) {
        continue;
      }
      List<Finding> rest = new ArrayList<>();
      List<Note> notes = new ArrayList<>(slab.notes());
      boolean isRefuted = false;
      for (Finding finding : slab.findings()) {
        String owner = addTo(gathered, finding);
        if (owner.isEmpty()) {
          rest.add(finding);
        } else {
          isRefuted |= !CAUSES.contains(finding.cause());
          notes.add(new Note("missing pages", finding.claim() + " (" + owner + ")"));
        }
      }
      if (rest.size() < slab.findings().size()) {
        gathered.set(
            from,
            rest.isEmpty()
                ? slab.withFindings(rest, notes)
                    .withAnswer(
                        isRefuted
                            ? NOT_JUDGED
                            : "nothing is broken in what could be read of the dump")
                : slab.withFindings(rest, notes));
      }
    }
    return gathered;
  }

  /// Adds a slab check's finding to the container's of the same cause.
  ///
  /// @return the check that has it; empty if there is none
  private static String addTo(List<CheckOutcome> outcomes, Finding symptom) {
    for (int i = 0; i < outcomes.size(); i++) {
      if (outcomes.get(i) instanceof CheckOutcome.Ran container
          && container.id().startsWith("container.")) {
        List<Finding> findings = new ArrayList<>(container.findings());
        for (int j = 0; j < findings.size(); j++) {
          Finding cause = findings.get(j);
          if (accountsFor(cause, symptom)) {
            findings.set(j, with(cause, symptom));
            outcomes.set(i, container.withFindings(findings));
            return container.id();
          }
        }
      }
    }
    return "";
  }

  private static boolean accountsFor(Finding container, Finding symptom) {
    return container.fingerprint().endsWith("/disorder")
        || (CAUSES.contains(symptom.cause()) && container.cause() == symptom.cause());
  }

  private static Finding with(Finding cause, Finding symptom) {
    List<Evidence> evidence = new ArrayList<>(cause.evidence());
    if (evidence.size() < MAX_EVIDENCE) {
      evidence.add(new Evidence.WhatIf("walk of the slabs", symptom.claim()));
    }
    return cause.withEvidence(evidence);
  }
}
