package org.vmcheck.finding;

import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/// What became of one check.
public sealed interface CheckOutcome {
  /// The check's id, for example `slab.freelist`.
  String id();

  /// The check ran.
  ///
  /// @param answer its answer in a few words
  /// @param facts numbers and words behind the answer, by name
  record Ran(
      String id,
      String answer,
      SortedMap<String, String> facts,
      List<Finding> findings,
      List<Note> notes,
      Coverage coverage)
      implements CheckOutcome {
    public Ran {
      facts = new TreeMap<>(facts);
      findings = List.copyOf(findings);
      notes = List.copyOf(notes);
    }

    public Ran(
        String id,
        String answer,
        Map<String, String> facts,
        List<Finding> findings,
        List<Note> notes,
        Coverage coverage) {
      this(id, answer, new TreeMap<>(facts), findings, notes, coverage);
    }

    /// The same run with other findings.
    public Ran withFindings(List<Finding> others) {
      return new Ran(id, answer, facts, others, notes, coverage);
    }

    /// The same run with other findings and notes, where findings became notes.
    public Ran withFindings(List<Finding> others, List<Note> otherNotes) {
      return new Ran(id, answer, facts, others, otherNotes, coverage);
    }

    public Ran withAnswer(String other) {
      return new Ran(id, other, facts, findings, notes, coverage);
    }
  }

  /// The check ran and had nothing to look at: no object of the kind that it judges is in this
  /// kernel, or none of their pages is in the dump. This is no proof of anything, and no damage.
  ///
  /// @param why one sentence: what was looked for, and that or why there is none
  /// @param facts numbers and words behind the sentence, by name
  /// @param coverage what was looked through in search of it, what could not be read, and gaps
  record NothingToLookAt(
      String id, String why, SortedMap<String, String> facts, List<Note> notes, Coverage coverage)
      implements CheckOutcome {
    public NothingToLookAt {
      facts = new TreeMap<>(facts);
      notes = List.copyOf(notes);
    }

    public NothingToLookAt(
        String id, String why, Map<String, String> facts, List<Note> notes, Coverage coverage) {
      this(id, why, new TreeMap<>(facts), notes, coverage);
    }

    public NothingToLookAt(String id, String why) {
      this(id, why, Map.of(), List.of(), Coverage.NONE);
    }
  }

  /// The check could not run.
  ///
  /// @param unmet what it needs and the dump does not give
  record Skipped(String id, List<String> unmet) implements CheckOutcome {
    public Skipped {
      unmet = List.copyOf(unmet);
    }
  }

  /// The check was not begun, for what it would have cost; it runs when it is asked for (`--deep
  /// always`, or by its id).
  ///
  /// @param why one sentence, with the cost
  record Declined(String id, String why) implements CheckOutcome {}

  /// The check broke: a bug of this program, never a verdict on the dump.
  record Failed(String id, String reason) implements CheckOutcome {}

  /// The findings, of a check that ran; else none.
  default List<Finding> findingsIfRan() {
    return this instanceof Ran ran ? ran.findings() : List.of();
  }

  /// The notes, of a check that ran, whether or not it had something to look at; else none.
  default List<Note> notesIfRan() {
    return switch (this) {
      case Ran ran -> ran.notes();
      case NothingToLookAt nothing -> nothing.notes();
      case Skipped _, Declined _, Failed _ -> List.of();
    };
  }

  /// What the check looked at, if it ran; else nothing.
  default Coverage coverageIfRan() {
    return switch (this) {
      case Ran ran -> ran.coverage();
      case NothingToLookAt nothing -> nothing.coverage();
      case Skipped _, Declined _, Failed _ -> Coverage.NONE;
    };
  }
}
