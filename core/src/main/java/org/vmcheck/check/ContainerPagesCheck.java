package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.dump.ContainerAudit;
import org.vmcheck.dump.OpenOptions;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PageSweep;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;

/// Is every page that is in the file whole, and do the file's tables agree with each other? What is
/// not in the file at all is the matter of [ContainerCompleteCheck].
final class ContainerPagesCheck implements Check {
  private static final OpenOptions.Progress SILENT = (what, done, total) -> {};

  @Override
  public String id() {
    return "container.pages";
  }

  @Override
  public String question() {
    return "Is every stored page whole, and do the file's tables agree with each other?";
  }

  @Override
  public String explanation() {
    return """
    Reads every page descriptor: offset, size and codec must be possible, data must not overlap nor
    stand for two pages (the shared page of zeros excepted), the bitmaps must agree. With --full
    each page is decoded as well. A page that fails is damage of the file, never of the kernel;
    findings that rest on it say so.

    It can mislead: raw pages carry no checksum, so that bytes changed in one of them, or another
    page's bytes in its place, decode as well as the right ones.
    Next: compare the file's checksum with its source; if makedumpfile ran with --num-threads
    before 1.7.8, collect again with one thread.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.DUMP;
  }

  @Override
  public CheckOutcome.Ran run(Subjects subjects) {
    ContainerAudit audit = subjects.dump().audit();
    List<String> gaps = new ArrayList<>();
    List<ContainerAudit.Defect> damaged = undecodable(audit.defects());
    long damagedPages = audit.pages().damaged().getOrDefault(PageRead.Damage.UNDECODABLE, 0L);
    long unreadable = 0;
    long decoded = 0;
    if (subjects.isFull()) {
      PageSweep.Result sweep =
          PageSweep.over(subjects.dump(), subjects.threads(), SILENT, subjects::isOver);
      damaged = undecodable(sweep.defects());
      damagedPages = sweep.damaged().getOrDefault(PageRead.Damage.UNDECODABLE, 0L);
      unreadable = sweep.unreadable();
      decoded = sweep.decoded();
      if (!sweep.finished()) {
        gaps.add("only %d stored pages were decoded before the deadline".formatted(decoded));
      }
      if (unreadable > 0) {
        gaps.add(
            "%d pages could not be read: the file shrank or its device failed"
                .formatted(unreadable));
      }
    }
    List<Finding> findings = new ArrayList<>();
    if (damagedPages > 0) {
      findings.add(
          finding(
              Words.plural(damagedPages, "stored page does", "stored pages do") + " not decode",
              PageRanges.evidence(subjects.kernel(), damaged),
              "undecodable"));
    }
    if (!audit.disorder().isEmpty()) {
      findings.add(
          finding(
              "the file's tables contradict each other: " + audit.disorder().getFirst(),
              audit.disorder().stream()
                  .<Evidence>map(words -> new Evidence.CountMismatch("contradictions", 0, 1, words))
                  .toList(),
              "disorder"));
    }
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("damaged", Long.toString(damagedPages));
    audit.storedAs().forEach((how, count) -> facts.put("stored as " + how, Long.toString(count)));
    facts.put(
        "decoded", subjects.isFull() ? "every stored page" : "only pages that other checks read");
    Map<String, Long> looked = new LinkedHashMap<>();
    looked.put(
        audit.descriptors() > 0 ? "page descriptors" : "stored pages",
        audit.descriptors() > 0 ? audit.descriptors() : audit.pages().stored());
    if (subjects.isFull()) {
      looked.put("pages decoded", decoded);
    }
    Map<String, Long> notRead = new LinkedHashMap<>();
    if (damagedPages > 0) {
      notRead.put("undecodable", damagedPages);
    }
    if (unreadable > 0) {
      notRead.put("unreadable", unreadable);
    }
    return new CheckOutcome.Ran(
        id(),
        !findings.isEmpty()
            ? findings.getFirst().claim()
            : subjects.isFull()
                ? "all %d stored pages decode".formatted(decoded)
                : "all %d stored pages have their place in the file"
                    .formatted(audit.pages().stored()),
        facts,
        findings,
        audit.remarks().stream().map(remark -> new Note("layout", remark)).toList(),
        new Coverage(looked, notRead, gaps));
  }

  private static List<ContainerAudit.Defect> undecodable(List<ContainerAudit.Defect> defects) {
    return defects.stream().filter(defect -> defect.kind() == PageRead.Damage.UNDECODABLE).toList();
  }

  private Finding finding(String claim, List<Evidence> evidence, String kind) {
    return new Finding(
        id(),
        Layer.CONTAINER,
        Severity.CORRUPT,
        Cause.PAGE_UNDECODABLE,
        claim,
        Subject.NONE,
        evidence.isEmpty()
            ? List.of(new Evidence.CountMismatch("pages that do not decode", 0, 1, claim))
            : evidence,
        List.of(),
        id() + "/" + kind);
  }
}
