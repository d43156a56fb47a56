package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.vmcheck.desk.Places;
import org.vmcheck.desk.References;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Holder;
import org.vmcheck.finding.Place;
import org.vmcheck.finding.RefsAnswer;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;

/// Adds to findings who leads to the broken object: of a free one, whoever still does is the
/// suspect. Memory is read once for all, and only where that is a matter of a second.
final class BrokenObjectHolders {
  /// Objects whose holders are looked for.
  private static final int MAX_OBJECTS = 8;

  private static final int MAX_NAMED = 4;

  /// Of a `struct page`: the slab's list and counters are in it.
  private static final long DESCRIPTOR_BYTES = 64;

  /// Pages that are searched at most: where each must be decoded first, and where it need not.
  private static final long MAX_PACKED = 128 << 20;

  private static final long MAX_PLAIN = 1L << 30;

  private final Kernel kernel;
  private final KernelsReports.Objects asked;

  BrokenObjectHolders(Kernel kernel, KernelsReports.Objects asked) {
    this.kernel = kernel;
    this.asked = asked;
  }

  /// @param storedPages of the dump
  List<CheckOutcome> attach(List<CheckOutcome> outcomes, long storedPages, int threads) {
    List<Long> objects =
        outcomes.stream()
            .flatMap(outcome -> outcome.findingsIfRan().stream())
            .filter(BrokenObjectHolders::isOfObject)
            .sorted(Finding.BY_IMPORTANCE)
            .map(finding -> finding.subject().object())
            .distinct()
            .limit(MAX_OBJECTS)
            .toList();
    long most = kernel.memory().physical().isPacked() ? MAX_PACKED : MAX_PLAIN;
    if (objects.isEmpty() || storedPages * kernel.memory().pageSize() > most) {
      return outcomes;
    }
    Cancellation.current().endWhenOver();
    List<RefsAnswer> answers =
        new References(new Places(kernel))
            .toEach(objects, References.Extent.WHOLE, threads, (_, _, _) -> {});
    Map<Long, RefsAnswer> byObject = new HashMap<>();
    for (int i = 0; i < objects.size(); i++) {
      byObject.put(objects.get(i), answers.get(i));
    }
    return outcomes.stream()
        .map(
            outcome ->
                outcome instanceof CheckOutcome.Ran ran
                    ? ran.withFindings(ran.findings().stream().map(f -> with(f, byObject)).toList())
                    : outcome)
        .toList();
  }

  private static boolean isOfObject(Finding finding) {
    return finding.subject().object() != Evidence.UNKNOWN && !finding.cause().isArtefact();
  }

  private Finding with(Finding finding, Map<Long, RefsAnswer> answers) {
    RefsAnswer answer = answers.get(finding.subject().object());
    if (answer == null || !isOfObject(finding)) {
      return finding;
    }
    long list = allocators(finding.subject().object());
    List<Holder> living =
        answer.holders().stream()
            .filter(
                holder ->
                    holder.rank() != Holder.Rank.STALE
                        && holder.rank() != Holder.Rank.ITSELF
                        && physical(holder.address()) != list
                        && !isInDescriptor(finding, holder))
            .toList();
    List<Evidence> evidence = new ArrayList<>(finding.evidence());
    evidence.add(new Evidence.WhatIf("holders", summary(answer, living.size())));
    for (Holder holder : living.subList(0, Math.min(MAX_NAMED, living.size()))) {
      evidence.add(
          new Evidence.WordAt(
              holder.address(),
              physical(holder.address()),
              holder.word(),
              Evidence.UNKNOWN,
              "0x%x, %s, leads to 0x%x"
                  .formatted(holder.address(), where(holder.place()), holder.word())));
    }
    return finding.withEvidence(evidence);
  }

  /// Physical address of the word of a list or an array by which the allocator itself knows a free
  /// object; unknown if there is none.
  private long allocators(long object) {
    try {
      long word = asked.object(object).pointedBy();
      return word == Evidence.UNKNOWN ? Evidence.UNKNOWN : physical(word);
    } catch (UnansweredException _) {
      return Evidence.UNKNOWN;
    }
  }

  /// Whether it is the allocator that knows the object, by the slab's list.
  private boolean isInDescriptor(Finding finding, Holder holder) {
    long slab = finding.subject().slab();
    long distance = physical(holder.address()) - physical(slab);
    return slab != Evidence.UNKNOWN && distance >= 0 && distance < DESCRIPTOR_BYTES;
  }

  private long physical(long address) {
    return kernel.memory().physicalAddress(address);
  }

  private static String where(Place place) {
    return switch (place.kind()) {
      case TASK_STACK, CPU_STACK -> "on the " + place.words();
      default -> "in " + place.words();
    };
  }

  private static String summary(RefsAnswer answer, int living) {
    String searched = Counted.of(answer.pages(), "pages of kernel memory");
    return living == 0
        ? "nothing but the allocator leads to the object; %s searched%s"
            .formatted(
                searched,
                answer.holders().stream().noneMatch(h -> h.rank() == Holder.Rank.STALE)
                    ? ""
                    : "; stale words do")
        : "%,d %s to the object; %s searched"
            .formatted(living, living == 1 ? "word leads" : "words lead", searched);
  }
}
