package org.vmcheck.check;

import java.util.ArrayList;
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
import org.vmcheck.image.TableFault;
import org.vmcheck.image.TableSurvey;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.slab.Words;

/// Are the kernel's page tables what arithmetic says, and free of what no entry may be?
final class MemoryTablesCheck implements Check {
  @Override
  public String id() {
    return "memory.tables";
  }

  @Override
  public String question() {
    return "Is each entry of the kernel's page tables one that can be?";
  }

  @Override
  public String explanation() {
    return """
    Reads every page table of the kernel's half. In the direct map and the image arithmetic says which
    frame each entry maps; a table whose entries all disagree, where one bit of what leads to it leads
    to one that agrees, was led to by a wrong entry. An entry of a single bit is written by no kernel,
    and most entries are zero. Bits that software may use, protection keys, user access, and write
    access to text and read-only data are held against the other entries of the same kind, since
    kernels differ there: a bit that at most two have of many is wrong.

    Legal, and passed over: entries that are not present (KFENCE, debug_pagealloc, hwpoison, guard
    pages), accessed and dirty bits, cache control, the bit that marks memory which a confidential
    guest shares with its host, and what vmalloc and ioremap map. A page with several odd words is no
    table, or of another moment of a live dump: it is counted, not judged.

    It can mislead: an entry whose present bit alone was lost looks unmapped on purpose. A module that
    patches the system call table may make its page writable, which looks like a flipped bit.
    Next: a single flipped bit here is hardware's, or a write through a wild pointer of one bit; run a
    memory test on the printed physical address.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.KERNEL;
  }

  /// A word for each page frame, where the direct map is of the smallest pages.
  @Override
  public OptionalDouble seconds(CheckContext context) {
    return context.secondsFor(context.dump().memory().endPfn() * Long.BYTES);
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    TableSurvey survey = TableSurvey.of(kernel);
    Coverage coverage = new Coverage(survey.lookedAt(), survey.notRead(), List.of());
    if (coverage.isEmpty()) {
      return new CheckOutcome.NothingToLookAt(
          id(), "the top page table is not in the dump", Map.of(), List.of(), coverage);
    }
    List<Note> notes = new ArrayList<>();
    survey.remarks().forEach(remark -> notes.add(new Note("page tables", remark)));
    List<WrongWord> words = survey.faults().stream().map(fault -> word(kernel, fault)).toList();
    List<Finding> findings = WrongWord.findings(words, id(), context, notes);
    Map<String, String> facts = WrongWord.facts(survey.lookedAt(), survey.bytes());
    return new CheckOutcome.Ran(
        id(),
        findings.isEmpty()
            ? (survey.remarks().isEmpty()
                    ? "%s of %s are as they must be"
                    : "%s of %s were looked at, not all judged")
                .formatted(
                    Words.plural(survey.lookedAt().get("entries"), "entry", "entries"),
                    Words.plural(survey.lookedAt().get("tables"), "page table", "page tables"))
            : Words.plural(survey.faults().size(), "entry is wrong", "entries are wrong"),
        facts,
        findings,
        notes,
        coverage);
  }

  private static WrongWord word(Kernel kernel, TableFault fault) {
    AddressMap map = kernel.memory().map();
    String what = "the page-table entry of 0x%x (level %d)".formatted(fault.vaddr(), fault.level());
    String claim =
        switch (fault.kind()) {
          case STRAY_BIT -> what + " is a single bit";
          case STRAY_WORD -> what + " is not in use, and not empty";
          case FRAME -> what + " maps another frame than its address says";
          case TABLE -> what + " leads to a page that is not its table";
          case FLAG -> what + " has a bit that no other of its kind has";
          case WRITABLE -> what + " lets read-only memory be written";
          case NO_EXECUTE -> what + " forbids to run the kernel's text";
        };
    String why =
        switch (fault.kind()) {
          case STRAY_BIT -> "an entry that is not in use is zero";
          case STRAY_WORD ->
              "an entry that is not in use is zero, or keeps the frame of the page that was there";
          case FRAME -> "the direct map and the image are mapped one to one";
          case TABLE -> "the page that one flipped bit leads to maps these addresses as it must";
          case FLAG, NO_EXECUTE -> "the entries around it do not have the bit";
          case WRITABLE ->
              "the entries around it do not have the bit; a module that patches the kernel may have"
                  + " set it";
        };
    return new WrongWord(
        map.knowsDirectMap() ? map.directMapAddress(fault.physical()) : fault.vaddr(),
        fault.value(),
        fault.kind() == TableFault.Kind.STRAY_WORD
            ? OptionalLong.empty()
            : OptionalLong.of(fault.expected()),
        claim,
        why,
        Cause.UNKNOWN,
        "entry/" + fault.kind().name().toLowerCase(Locale.ROOT));
  }
}
