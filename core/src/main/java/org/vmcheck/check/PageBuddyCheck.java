package org.vmcheck.check;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.PageFault;
import org.vmcheck.page.PageSurvey;
import org.vmcheck.slab.Words;

/// Do the page allocator's lists close, and are their blocks and numbers what they say?
final class PageBuddyCheck implements Check {
  @Override
  public String id() {
    return "page.buddy";
  }

  @Override
  public String question() {
    return "Do the page allocator's lists close, and do descriptors and counters agree with them?";
  }

  @Override
  public String explanation() {
    return """
    Walks the free list of every zone, order and migrate type (free_area) and the lists of every CPU
    (per_cpu_pages) in both directions. The first page of each block says that it is free and of
    which order; nr_free is how many blocks the lists of an order hold, count how many pages a CPU
    has; each descriptor that says it is free is on a list of its zone. The kernel changes these
    together under zone.lock, so that no instant excuses a difference while nobody holds it.

    Legal, and so a note: lists of a zone whose lock a CPU held when it was stopped, and a list whose
    node was being linked. Before the lists of CPUs had a lock, a count may be off by a batch. In
    memory that was copied while the kernel ran only single flipped bits of links are findings.

    It can mislead: where a link is wrong and its list cannot be walked from the other end, the
    blocks behind it are not met, and the numbers of that list are not judged.
    Next: `vmcheck read` shows the descriptor; page.descriptors tells what else of it is wrong.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.MEMMAP;
  }

  /// It is one pass with that of page.descriptors.
  @Override
  public OptionalDouble seconds(CheckContext context) {
    return PageDescriptorsCheck.seconds(context, context.kernel().orElseThrow());
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    PageSurvey survey = PageSurvey.of(kernel).lists().orElseThrow();
    Coverage coverage = new Coverage(survey.lookedAt(), survey.notRead(), List.of());
    List<Note> notes = new ArrayList<>(WrongWord.halfWay(survey.transients()));
    if (coverage.isEmpty()) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          survey.notRead().isEmpty()
              ? "the kernel's zones or their free lists are not known"
              : "no free list can be read",
          Map.of(),
          notes,
          coverage);
    }
    List<WrongWord> words = survey.faults().stream().map(PageBuddyCheck::word).toList();
    List<Finding> findings = WrongWord.findings(words, id(), context, notes);
    Map<String, String> facts = WrongWord.facts(survey.lookedAt(), survey.bytes());
    return new CheckOutcome.Ran(
        id(), answer(survey, findings.size()), facts, findings, notes, coverage);
  }

  private static String answer(PageSurvey survey, int wrong) {
    long lists =
        survey.lookedAt().getOrDefault("free lists", 0L)
            + survey.lookedAt().getOrDefault("lists of CPUs", 0L);
    return wrong > 0
        ? Words.plural(survey.faults().size(), "word is wrong", "words are wrong")
        : "%s of free pages with %s are whole"
            .formatted(
                Words.plural(lists, "list", "lists"),
                Words.plural(survey.lookedAt().getOrDefault("free blocks", 0L), "block", "blocks"));
  }

  private static WrongWord word(PageFault fault) {
    return switch (fault.reason()) {
      case LINK -> link(fault);
      case COUNT -> count(fault);
      default -> PageDescriptorsCheck.word(fault, Cause.METADATA_OVERWRITTEN);
    };
  }

  private static WrongWord link(PageFault fault) {
    return new WrongWord(
        fault.address(),
        fault.value(),
        fault.isKnown() ? OptionalLong.of(fault.expected()) : OptionalLong.empty(),
        "%s of the free %s leads to %s, which does not lead back"
            .formatted(fault.member(), fault.place(), Words.hex(fault.value())),
        fault.isKnown()
            ? "the link at %s leads back to it".formatted(Words.hex(fault.expected()))
            : "what it leads to is no block of the list",
        Cause.LIST_BROKEN,
        Words.place(fault.member()));
  }

  private static WrongWord count(PageFault fault) {
    return new WrongWord(
        fault.address(),
        fault.value(),
        fault.isKnown() ? OptionalLong.of(fault.expected()) : OptionalLong.empty(),
        "%s of %s is not how much its lists hold".formatted(fault.member(), fault.place()),
        fault.reason().words(),
        Cause.COUNTER_MISMATCH,
        Words.place(fault.member()));
  }
}
