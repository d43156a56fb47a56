package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.List;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;

/// What broke a freelist: one cause, the word to blame, and the evidence that was found with it.
///
/// @param evidence facts for it, the strongest first
/// @param against facts that speak against it
public record Diagnosis(
    Cause cause, BadWord word, List<Evidence> evidence, List<Evidence> against) {
  public Diagnosis {
    evidence = List.copyOf(evidence);
    against = List.copyOf(against);
  }

  Diagnosis(Cause cause, BadWord word, Evidence... evidence) {
    this(cause, word, List.of(evidence), List.of());
  }

  /// The same on more facts, which are weaker.
  Diagnosis withMore(List<Evidence> weaker) {
    List<Evidence> all = new ArrayList<>(evidence);
    all.addAll(weaker);
    return new Diagnosis(cause, word, all, against);
  }

  /// The same with one fact more that speaks against it.
  Diagnosis withAgainst(Evidence fact) {
    List<Evidence> all = new ArrayList<>(against);
    all.add(fact);
    return new Diagnosis(cause, word, evidence, all);
  }
}
