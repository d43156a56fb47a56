package org.vmcheck.check;

import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalLong;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageFault;
import org.vmcheck.page.PageSurvey;
import org.vmcheck.slab.Words;

/// Does each page descriptor say what its frame, its use and its neighbours prove?
final class PageDescriptorsCheck implements Check {
  @Override
  public String id() {
    return "page.descriptors";
  }

  @Override
  public String question() {
    return "Does each page descriptor say what its frame, its use and its neighbours prove?";
  }

  @Override
  public String explanation() {
    return """
    Reads every struct page once. The frame's number says which zone and node it is of (where these
    bits lie is found from the descriptors themselves). A page on a free list, of a CPU too, has no
    flags, references, mapping or owner, and its neighbours in the block neither. Pages that were set
    aside at boot keep what they were set up with. The tails of a compound page lead to its head, and
    head, tails and order agree. LRU links are answered, and the tree of a file (i_pages) has each of
    its pages at page.index. No page has a negative reference count, a map count that exceeds its
    references, or a mapping that is no address.

    Legal, and passed over: the zero page and the vdso, which are mapped; pages without LRU link in a
    CPU's batch; counts where pages cannot be evicted have their links; pages that the hardware gave
    up; descriptors that were never set up; memory that is of no zone, or of devices. What newer or
    patched kernels do differently shows in many places: then the rule is not judged, and a note says
    so. In memory that was copied while the kernel ran only what a descriptor says by itself counts.

    It can mislead: of pages that the kernel itself uses little is known, and what stale words of
    free pages hold is not judged. Slabs have checks of their own.
    Next: a single flipped bit here is hardware's, or a write through a wild pointer of one bit; the
    printed physical address is where the memory test looks.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.MEMMAP;
  }

  @Override
  public OptionalDouble seconds(CheckContext context) {
    return seconds(context, context.kernel().orElseThrow());
  }

  /// Of the one pass over all descriptors.
  static OptionalDouble seconds(CheckContext context, Kernel kernel) {
    MemMap memMap = MemMap.of(kernel).orElseThrow();
    return context.secondsFor(memMap.endPfn() * memMap.descriptorBytes());
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    PageSurvey survey = PageSurvey.of(kernel);
    Coverage coverage = new Coverage(survey.lookedAt(), survey.notRead(), List.of());
    List<Note> notes = WrongWord.halfWay(survey.transients());
    survey.remarks().forEach(remark -> notes.add(new Note("page descriptors", remark)));
    if (coverage.isEmpty()) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          survey.notRead().isEmpty()
              ? "the members of struct page are not known"
              : "no page descriptor can be read",
          Map.of(),
          notes,
          coverage);
    }
    List<WrongWord> words = survey.faults().stream().map(PageDescriptorsCheck::word).toList();
    List<Finding> findings = WrongWord.findings(words, id(), context, notes);
    Map<String, String> facts = WrongWord.facts(survey.lookedAt(), survey.bytes());
    return new CheckOutcome.Ran(
        id(),
        findings.isEmpty()
            ? "no word of %s is wrong"
                .formatted(
                    Words.plural(
                        survey.lookedAt().get("descriptors"),
                        "page descriptor",
                        "page descriptors"))
            : Words.plural(survey.faults().size(), "word is wrong", "words are wrong"),
        facts,
        findings,
        notes,
        coverage);
  }

  private static WrongWord word(PageFault fault) {
    return word(fault, Cause.METADATA_OVERWRITTEN);
  }

  /// @param otherwise the cause if it is no flipped bit
  static WrongWord word(PageFault fault, Cause otherwise) {
    return new WrongWord(
        fault.address(),
        fault.value(),
        fault.isKnown() ? OptionalLong.of(fault.expected()) : OptionalLong.empty(),
        "page.%s of page frame %s cannot be %s: it is %s"
            .formatted(
                fault.member(),
                Words.hex(fault.pfn()),
                Words.hex(fault.value()),
                fault.place().replaceFirst("^list ", "on the list of ")),
        fault.reason().words(),
        otherwise,
        Words.place(fault.member() + "/" + fault.reason().name().toLowerCase(Locale.ROOT)));
  }
}
