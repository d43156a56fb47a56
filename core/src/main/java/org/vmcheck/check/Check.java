package org.vmcheck.check;

import org.vmcheck.finding.CheckOutcome;

/// One question about a dump. A check reads, compares and reports; it prints nothing and judges
/// nothing.
public interface Check {
  /// Stable id, for example `slab.freelist`.
  String id();

  /// The question in one sentence.
  String question();

  /// Why it is asked, how the answer can mislead, and what to collect next: the text of `explain`.
  String explanation();

  /// What must be there for it to run.
  Needs needs();

  /// Answers the question, or says that there was nothing to look at. Only called when the needs
  /// are met.
  CheckOutcome run(Subjects subjects);
}
