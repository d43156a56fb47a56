package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.dump.Container;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;

/// How much of the machine's memory is in the file, and is what is missing missing on purpose?
final class ContainerCompleteCheck implements Check {
  @Override
  public String id() {
    return "container.complete";
  }

  @Override
  public String question() {
    return "Is all of the dump here, but for what was left out on purpose?";
  }

  @Override
  public String explanation() {
    return """
    Compares what the headers promise with what the file holds: the flag that the writer sets when
    it runs out of space, the end of the file, the end marker of a flattened stream.

    It can mislead: a file cut exactly at a page's end looks whole until its tables are read.
    Next: compare the size with the source; look for vmcore-incomplete and for a full disk.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.DUMP;
  }

  @Override
  public CheckOutcome.Ran run(Subjects subjects) {
    Container container = subjects.dump().container();
    Container.Pages pages = container.pages();
    List<Evidence> evidence = new ArrayList<>();
    if (container.incomplete()) {
      evidence.add(
          new Evidence.CountMismatch(
              "status", 0, 1, "the header says that the dump is incomplete: its writer gave up"));
    }
    if (pages.missing() > 0) {
      evidence.add(
          new Evidence.CountMismatch(
              "stored pages",
              pages.stored() + pages.missing(),
              pages.stored(),
              "%d of %d promised pages lie beyond the end of the file"
                  .formatted(pages.missing(), pages.stored() + pages.missing())));
    }
    List<Note> notes = new ArrayList<>();
    for (String remark : container.remarks()) {
      notes.add(new Note("header", remark));
      if (remark.contains("cut short")) {
        evidence.add(new Evidence.CountMismatch("end marker", 1, 0, remark));
      }
    }
    List<Finding> findings =
        evidence.isEmpty()
            ? List.of()
            : List.of(
                new Finding(
                    id(),
                    Layer.CONTAINER,
                    Severity.CORRUPT,
                    Cause.DUMP_TRUNCATED,
                    "the dump is not complete",
                    Subject.NONE,
                    evidence,
                    List.of(),
                    id() + "/truncated"));
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("total", Long.toString(pages.total()));
    facts.put("stored", Long.toString(pages.stored()));
    facts.put("excluded", Long.toString(pages.excluded()));
    facts.put("missing", Long.toString(pages.missing()));
    return new CheckOutcome.Ran(
        id(),
        findings.isEmpty() ? "complete" : "incomplete",
        facts,
        findings,
        notes,
        new Coverage(Map.of("page frames", pages.total()), Map.of(), List.of()));
  }
}
