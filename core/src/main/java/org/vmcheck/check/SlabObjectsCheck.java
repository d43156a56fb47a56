package org.vmcheck.check;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.stream.Collectors;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Subject;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.object.ObjectFault;
import org.vmcheck.object.ObjectSurvey;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.Words;
import org.vmcheck.task.Moments;

/// Do the pointers of allocated objects lead where their siblings' lead?
final class SlabObjectsCheck implements Check {
  /// Words of one object that are named.
  private static final int MAX_NAMED = 8;

  @Override
  public String id() {
    return "slab.objects";
  }

  @Override
  public String question() {
    return "Do the links and pointers in allocated objects lead where those of their siblings do?";
  }

  @Override
  public String explanation() {
    return """
    Reads every word of every allocated object and holds it against other memory. A link of a list,
    with the head's, is answered: what it leads to leads back; so are parent and child of a
    red-black tree. Where many objects of a cache have the very same pointer at one offset, or one
    into the object itself, or where types (BTF) say that the word is a pointer to a structure,
    nothing else stands there but null, error numbers and pointers of that kind. No address lacks
    one of the highest bits, which are set in all addresses of the kernel.

    A word is a finding where one flipped bit explains it and other memory says what it must be: the
    one neighbour that leads back, the pointer that siblings have, or null. What it holds must lead
    to nothing that begins there: two pointers a bit apart are common in healthy kernels, and so are
    values that are merely unlike their siblings'; neither is reported.

    A word is a finding too where no state of the object allows it: no processor takes it for an
    address where links, nodes of trees and pointers are, or it has bits that its type (BTF) never
    has: of a bool, a lock, a time. What it was is said where neighbours say it.
    Old free pointers and poison in words that an object's user has not written yet are no damage;
    without init_on_alloc anything may stand there, and types and null pointers say nothing.

    It can mislead: a pointer that was overwritten by another valid address is not noticed, nor are
    most counters, flags and text.
    Next: `vmcheck object` shows the object, `vmcheck refs` who leads to it.\
    """;
  }

  @Override
  public Needs needs() {
    return Needs.SLAB;
  }

  @Override
  public OptionalDouble seconds(CheckContext context) {
    long bytes = 0;
    for (SlabSurvey.Tally tally : context.survey().tallies()) {
      bytes += 2 * tally.objects() * tally.cache().size(); // two sweeps
    }
    return context.secondsFor(bytes);
  }

  @Override
  public CheckOutcome run(CheckContext context) {
    Kernel kernel = context.kernel().orElseThrow();
    ObjectSurvey survey =
        ObjectSurvey.of(kernel, MemMap.of(kernel).orElseThrow(), Moments.areOne(kernel));
    List<Note> notes = new ArrayList<>();
    Coverage coverage = new Coverage(survey.lookedAt(), survey.notRead(), List.of());
    if (coverage.isEmpty()) {
      return new CheckOutcome.NothingToLookAt(
          id(), "no allocated object can be read", Map.of(), notes, coverage);
    }
    Map<Long, List<ObjectFault>> byObject = new LinkedHashMap<>();
    for (ObjectFault fault : survey.faults()) {
      byObject.computeIfAbsent(fault.object(), _ -> new ArrayList<>()).add(fault);
    }
    List<WrongWord> words = byObject.values().stream().map(SlabObjectsCheck::word).toList();
    List<Finding> findings = WrongWord.findings(words, id(), context, notes);
    String answer =
        findings.isEmpty()
            ? "%s and %s lead where they must"
                .formatted(
                    Words.plural(survey.lookedAt().getOrDefault("links", 0L), "link", "links"),
                    Words.plural(
                        survey.lookedAt().getOrDefault("pointers like their siblings'", 0L),
                        "pointer",
                        "pointers"))
            : Words.plural(survey.faults().size(), "word is wrong", "words are wrong");
    return new CheckOutcome.Ran(
        id(),
        answer,
        WrongWord.facts(survey.lookedAt(), survey.bytes()),
        findings,
        notes,
        coverage);
  }

  /// What one write did is one finding: the first word that no single bit explains, or the first,
  /// and where the others are.
  private static WrongWord word(List<ObjectFault> ofObject) {
    ObjectFault fault =
        ofObject.stream().filter(one -> !one.isFlip()).findFirst().orElseGet(ofObject::getFirst);
    String cache = Printable.of(fault.cache().name());
    String claim =
        "%s of the allocated object %s of %s %s"
            .formatted(
                at(fault),
                Words.hex(fault.object()),
                cache,
                fault.witness() == ObjectFault.Witness.TYPE
                    ? "has bits set that are never set there"
                    : "does not lead where it must");
    if (ofObject.size() > 1) {
      claim +=
          ofObject.stream()
              .filter(one -> one.offset() != fault.offset())
              .limit(MAX_NAMED)
              .map(SlabObjectsCheck::at)
              .collect(
                  Collectors.joining(
                      ", ",
                      "; %s more of its words wrong: "
                          .formatted(ofObject.size() == 2 ? "1 is" : ofObject.size() - 1 + " are"),
                      ofObject.size() > MAX_NAMED + 1 ? " and others" : ""));
    }
    return new WrongWord(
        fault.address(),
        fault.value(),
        fault.right(),
        claim,
        switch (fault.witness()) {
          case NEIGHBOUR ->
              "the link at %s leads back to it".formatted(Words.hex(fault.right().orElseThrow()));
          case EMPTY_HEAD -> "the other word of this list head says that the list is empty";
          case TREE, ADDRESS, TYPE, SIBLINGS -> Printable.of(fault.like());
        },
        Cause.METADATA_OVERWRITTEN,
        cache + "+" + fault.offset(),
        Subject.cache(fault.cache().name()).withObject(fault.object()));
  }

  private static String at(ObjectFault fault) {
    return fault.member().isEmpty()
        ? "byte %d".formatted(fault.offset())
        : "%s (byte %d)".formatted(fault.member(), fault.offset());
  }
}
