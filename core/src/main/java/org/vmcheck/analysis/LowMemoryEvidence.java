package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.List;
import org.vmcheck.check.LowMemory;
import org.vmcheck.check.Subjects;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;

/// Says of each finding about the kernel that rests on a page of the low 640 KiB how that page was
/// read, and why it is no artefact of memory encryption.
final class LowMemoryEvidence {
  private LowMemoryEvidence() {}

  static List<CheckOutcome> attach(List<CheckOutcome> outcomes, Subjects subjects) {
    List<CheckOutcome> out = new ArrayList<>();
    for (CheckOutcome outcome : outcomes) {
      out.add(
          outcome instanceof CheckOutcome.Ran ran
              ? ran.withFindings(
                  ran.findings().stream().map(finding -> attach(finding, subjects)).toList())
              : outcome);
    }
    return out;
  }

  private static Finding attach(Finding finding, Subjects subjects) {
    long physical = finding.subject().physical();
    if (finding.layer() != Layer.KERNEL
        || physical < 0
        || physical >>> 12 >= LowMemory.BACKUP_END_PFN) {
      return finding;
    }
    List<Evidence> reasons = LowMemory.evidence(subjects, physical);
    if (reasons.isEmpty()) {
      return finding;
    }
    List<Evidence> evidence = new ArrayList<>(finding.evidence());
    evidence.addAll(reasons);
    return finding.withEvidence(evidence);
  }
}
