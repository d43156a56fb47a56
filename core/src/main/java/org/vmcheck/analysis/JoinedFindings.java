package org.vmcheck.analysis;

import java.util.List;
import java.util.function.Supplier;
import org.vmcheck.check.CheckContext;
import org.vmcheck.dump.Dump;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.io.CancelledException;
import org.vmcheck.kernel.Kernel;

/// Which finding explains which: the rules that look at the findings of all checks together, so
/// that one cause is told once, with all that shows it.
///
/// The order counts. First what gathers findings because one thing explains them (a snapshot of a
/// running machine, data that a filter erased), then the kernel's own reports, which are joined to
/// what they are about, then what only adds evidence, the quotes of the log last.
final class JoinedFindings {
  /// What a rule may ask beside the findings.
  ///
  /// @param objects who answers what object an address is in
  record Of(
      Dump dump,
      CheckContext context,
      KernelFacts facts,
      KernelsReports.Objects objects,
      int threads) {
    Kernel kernel() {
      return context.kernel().orElseThrow();
    }
  }

  /// One way in which findings belong together.
  @FunctionalInterface
  private interface Rule {
    /// The outcomes with what the rule says; the same where it says nothing.
    List<CheckOutcome> apply(List<CheckOutcome> all, Of of);
  }

  /// The list of rules: adding one takes its file and one line here.
  private static final List<Rule> RULES =
      List.of(
          (all, of) -> TornSnapshot.gather(all, of.facts, of.kernel()),
          (all, of) -> ErasedData.attribute(all, of.kernel()),
          (all, of) -> HashedReports.attach(all, of.kernel()),
          (all, of) -> KernelsReports.join(all, new Extents(of.kernel()), of.objects),
          (all, of) -> LowMemoryEvidence.attach(all, of.context),
          (all, of) -> PoisonedOops.attach(all, of.kernel(), of.kernel().log().kernelRecords()),
          (all, of) -> ObjectHistory.attach(all, of.kernel()),
          (all, of) ->
              new BrokenObjectHolders(of.kernel(), of.objects)
                  .attach(all, of.dump.container().pages().stored(), of.threads),
          (all, of) ->
              PanicRelation.attach(
                  all, of.kernel(), of.kernel().log().kernelRecords(), of.facts.panic()),
          (all, of) -> LogQuotes.attach(all, of.kernel(), of.kernel().log().kernelRecords()));

  private JoinedFindings() {}

  /// Joins findings that have one cause. Where the deadline ends that, they stand side by side.
  ///
  /// @param doubts takes what was not looked for to the end
  static List<CheckOutcome> of(List<CheckOutcome> outcomes, Of of, List<String> doubts) {
    List<CheckOutcome> joined = outcomes;
    for (Rule rule : RULES) {
      List<CheckOutcome> before = joined;
      joined =
          inTime("what the findings have in common", doubts, () -> rule.apply(before, of), before);
    }
    return joined;
  }

  /// @param what this is, for the doubt that the deadline leaves
  static <T> T inTime(String what, List<String> doubts, Supplier<T> work, T otherwise) {
    try {
      return work.get();
    } catch (CancelledException over) {
      String doubt = what + " was not looked for to the end: " + over.getMessage() + " came first";
      if (!doubts.contains(doubt)) {
        doubts.add(doubt);
      }
      return otherwise;
    }
  }
}
