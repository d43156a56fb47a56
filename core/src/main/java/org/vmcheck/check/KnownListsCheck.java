package org.vmcheck.check;

import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import org.vmcheck.anchors.LinkFault;
import org.vmcheck.anchors.ListSurvey;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.slab.Words;

/// Do the lists that everybody knows close, and are the links in the kernel's own data answered?
final class KnownListsCheck implements Check {
  @Override
  public String id() {
    return "list.known";
  }

  @Override
  public String question() {
    return "Do the kernel's well-known lists close, and are the links in its data answered?";
  }

  @Override
  public String explanation() {
    return """
    Walks the lists that symbols name (modules, super blocks with their inodes, file systems, net
    name spaces and devices, work queues, control groups and others) in both directions, and looks at
    every pair of words in the kernel's variables that is a list head or a node: what it leads to
    leads back. Empty heads, which are most of them, lead to themselves. No types are needed for that.

    Where one link is wrong and the links around it prove what it must hold, that is a finding; in
    variables only where one bit makes it whole, or where no processor takes it for an address. A list
    whose node a CPU was linking when it was stopped is a note. In memory that was copied while the
    kernel ran only flipped bits of the named lists and of empty heads are findings.

    It can mislead: an entry that is on no list any more is not met.
    Next: `vmcheck object` tells what holds the address that a wrong link leads to.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.SYMBOLS;
  }

  @Override
  public OptionalDouble seconds(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    return context.secondsFor(
        kernel.symbol("_edata").orElse(0)
            - kernel.symbol("_sdata").orElse(0)
            + kernel.symbol("__bss_stop").orElse(0)
            - kernel.symbol("__bss_start").orElse(0));
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    ListSurvey survey = ListSurvey.of(kernel, kernel.isStopped());
    List<Note> notes = WrongWord.halfWay(survey.transients());
    Coverage coverage = new Coverage(survey.lookedAt(), survey.notRead(), List.of());
    if (coverage.isEmpty()) {
      return new CheckOutcome.NothingToLookAt(
          id(),
          survey.notRead().isEmpty()
              ? "no symbol names a list that is known here"
              : "no list that is known here can be read",
          Map.of(),
          notes,
          coverage);
    }
    List<WrongWord> words = survey.faults().stream().map(KnownListsCheck::word).toList();
    List<Finding> findings = WrongWord.findings(words, id(), context, notes);
    Map<String, String> facts = WrongWord.facts(survey.lookedAt(), survey.bytes());
    String answer =
        findings.isEmpty()
            ? "%s and %s in data are whole"
                .formatted(
                    Words.plural(survey.lookedAt().getOrDefault("lists", 0L), "list", "lists"),
                    Words.plural(
                        survey.lookedAt().getOrDefault("links in data", 0L), "link", "links"))
            : Words.plural(survey.faults().size(), "link is wrong", "links are wrong");
    return new CheckOutcome.Ran(id(), answer, facts, findings, notes, coverage);
  }

  private static WrongWord word(LinkFault fault) {
    return new WrongWord(
        fault.address(),
        fault.value(),
        WrongWord.known(fault.expected()),
        switch (fault.kind()) {
          case CIRCLE ->
              "%s.%s leads to %s, which does not lead back"
                  .formatted(fault.list(), fault.what(), Words.hex(fault.value()));
          case CHAIN ->
              "%s.%s leads to %s, which is no node of that list"
                  .formatted(fault.list(), fault.what(), Words.hex(fault.value()));
        },
        fault.expected() == 0
            ? "what it leads to is no node of the list"
            : "the link at %s leads back to it".formatted(Words.hex(fault.expected())),
        Cause.LIST_BROKEN,
        Words.place(fault.list() + "." + fault.what()));
  }
}
