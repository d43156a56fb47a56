package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import org.vmcheck.dump.ContainerAudit;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PageSweep;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.slab.Words;

/// Is every page that is in the file whole, and do the file's tables agree with each other? What is
/// not in the file at all is the matter of [ContainerCompleteCheck].
final class ContainerPagesCheck implements Check {
  /// Stored pages of a dump that are all decoded without being asked for.
  private static final long ALL_PAGES = 1_000_000;

  /// Pages that are decoded of a dump that stores more.
  private static final long SAMPLE = 200_000;

  private static final int MAX_RUNS = 64;
  private static final String SAMPLED = "%d of %d pages decoded";

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
    stand for two pages (the shared page of zeros excepted), the bitmaps must agree. Then decodes
    every stored page of a dump of up to 1,000,000; of a larger one 200,000, spread evenly over the
    file, unless --full asks for all. What another check met and could not decode counts as well. A
    page that fails is damage of the file, never of the kernel; findings that rest on it say so. An
    ELF core stores its pages as they were: there is nothing to decode.

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

  /// The decoding that is the default, begun.
  ///
  /// @param threads that work on it from now on
  static PageSweep decode(Dump dump, int threads, BooleanSupplier isOver) {
    return PageSweep.start(dump, ALL_PAGES, SAMPLE, threads, isOver);
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Dump dump = context.dump();
    ContainerAudit audit = dump.audit();
    boolean decodes = dump.memory().isPacked() || context.isFull();
    Optional<PageSweep.Result> decoding =
        decodes ? Optional.of(context.decoding()) : Optional.empty();
    long stored = audit.pages().stored();
    long wanted = decoding.map(PageSweep.Result::wanted).orElse(0L);
    long decoded = decoding.map(PageSweep.Result::decoded).orElse(0L);
    long unreadable = decoding.map(PageSweep.Result::unreadable).orElse(0L);
    long tried = decoded + decoding.map(ContainerPagesCheck::undecodable).orElse(0L);
    long inFile = dump.container().pages().stored();
    boolean isSample = decodes && wanted < inFile;
    // Pages that any reader met; beyond what it keeps, those of this decoding.
    long damagedPages =
        Math.max(
            dump.damagedPages().count(), decoding.map(ContainerPagesCheck::undecodable).orElse(0L));
    boolean finished = decoding.map(PageSweep.Result::finished).orElse(true);
    List<String> gaps = new ArrayList<>();
    if (!finished) {
      gaps.add(
          "only %s decoded before the deadline"
              .formatted(Counted.of(decoded, "stored pages") + (decoded == 1 ? " was" : " were")));
    }
    if (unreadable > 0) {
      gaps.add(
          Counted.of(unreadable, "pages")
              + " could not be read: the file shrank or its device failed");
    }
    List<Finding> findings = new ArrayList<>();
    if (damagedPages > 0) {
      findings.add(undecodable(context, damagedPages, isSample || !finished));
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
        "decoded",
        !decodes
            ? "nothing to decode: pages are stored as they were"
            : isSample || !finished ? SAMPLED.formatted(tried, inFile) : "every stored page");
    Map<String, Long> looked = new LinkedHashMap<>();
    looked.put(
        audit.descriptors() > 0 ? "page descriptors" : "stored pages",
        audit.descriptors() > 0 ? audit.descriptors() : stored);
    if (decodes) {
      looked.put("pages decoded", decoded);
    }
    Map<String, Long> notRead = new LinkedHashMap<>();
    if (damagedPages > 0) {
      notRead.put("undecodable", damagedPages);
    }
    if (unreadable > 0) {
      notRead.put("unreadable", unreadable);
    }
    if (stored == 0 && findings.isEmpty()) {
      return new CheckOutcome.NothingToLookAt(
          id(), "the file stores no page", facts, List.of(), new Coverage(Map.of(), notRead, gaps));
    }
    return new CheckOutcome.Ran(
        id(),
        !findings.isEmpty()
            ? findings.getFirst().claim()
            : !decodes
                ? "all %,d stored pages have their place in the file; stored as they were, there is"
                        .formatted(stored)
                    + " nothing to decode"
                : isSample || !finished
                    ? SAMPLED.formatted(tried, inFile) + ": all of these are whole"
                    : "all %,d stored pages decompress".formatted(decoded),
        facts,
        findings,
        audit.remarks().stream().map(remark -> new Note("layout", remark)).toList(),
        new Coverage(looked, notRead, gaps));
  }

  private static long undecodable(PageSweep.Result decoding) {
    return decoding.damaged().getOrDefault(PageRead.Damage.UNDECODABLE, 0L);
  }

  /// @param someOnly whether there are pages that nobody tried to decode
  private Finding undecodable(CheckContext context, long pages, boolean someOnly) {
    Dump dump = context.dump();
    List<ContainerAudit.Defect> runs = dump.damagedPages().runs(dump.memory(), MAX_RUNS);
    return finding(
        (someOnly ? "at least " : "")
            + Words.plural(pages, "stored page does", "stored pages do")
            + " not decode"
            + (someOnly ? "; --full decodes them all" : ""),
        PageRanges.evidence(context.kernel(), runs),
        "undecodable");
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
