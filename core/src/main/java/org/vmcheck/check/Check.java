package org.vmcheck.check;

import java.util.OptionalDouble;
import org.vmcheck.finding.CheckOutcome;

/// One question about a dump. A check reads, compares and reports; it prints nothing and judges
/// nothing.
///
/// A verdict says no more than was looked at. So every answer carries its coverage; a check that
/// had nothing to look at says so ([CheckOutcome.NothingToLookAt]) and does not answer like one
/// that found all sound; and a negative ("every list ends", "nothing in the log") is said only of
/// what was read, and names what was not.
public interface Check {
  /// Stable id, for example `slab.freelist`.
  String id();

  /// The question in one sentence.
  String question();

  /// Why it is asked, how the answer can mislead ("It can mislead: "), and what to collect next
  /// ("Next: "): the text of `explain`. What begins with "In detail: ", up to one of these, is
  /// shown with -v only.
  String explanation();

  /// What must be there for it to run.
  Needs needs();

  /// How much processor time it will take about, of a check that goes through much memory: such a
  /// one is declined where that is too long, or where nobody wants it. Empty for one that always
  /// runs. Only called when the needs are met.
  default OptionalDouble seconds(CheckContext context) {
    return OptionalDouble.empty();
  }

  /// Answers the question, or says that there was nothing to look at. Only called when the needs
  /// are met.
  CheckOutcome run(CheckContext context);
}
