package org.vmcheck.finding;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/// A claim with the evidence to check it again.
///
/// @param check id of the check that made it
/// @param cause what it is put down to; always one
/// @param claim one sentence
/// @param evidence facts for the claim and its cause, strongest first
/// @param against facts that speak against the cause
/// @param fate what became of the damage; says nothing where the dump is at fault
/// @param fingerprint equal for the same fault in two dumps: names only, no addresses
public record Finding(
    String check,
    Layer layer,
    Severity severity,
    Cause cause,
    String claim,
    Subject subject,
    List<Evidence> evidence,
    List<Evidence> against,
    Fate fate,
    String fingerprint) {
  /// The weightiest first: corruption before what is only suspect, the kernel's before the dump's,
  /// and causes that say what happened before symptoms.
  public static final Comparator<Finding> BY_IMPORTANCE =
      Comparator.comparing(Finding::severity)
          .thenComparing(finding -> finding.cause().isArtefact())
          .thenComparingInt(finding -> finding.cause().strength());

  public Finding {
    evidence = List.copyOf(evidence);
    against = List.copyOf(against);
    if (claim.isBlank() || evidence.isEmpty()) {
      throw new IllegalArgumentException("a finding needs a claim and evidence");
    }
  }

  /// A finding of something that is in the dump.
  public Finding(
      String check,
      Layer layer,
      Severity severity,
      Cause cause,
      String claim,
      Subject subject,
      List<Evidence> evidence,
      List<Evidence> against,
      String fingerprint) {
    this(check, layer, severity, cause, claim, subject, evidence, against, Fate.LEFT, fingerprint);
  }

  /// The same claim on other evidence.
  public Finding withEvidence(List<Evidence> other) {
    return new Finding(
        check, layer, severity, cause, claim, subject, other, against, fate, fingerprint);
  }

  /// The same claim about what it turned out to be about.
  public Finding withSubject(Subject other) {
    return new Finding(
        check, layer, severity, cause, claim, other, evidence, against, fate, fingerprint);
  }

  /// The same claim with other facts against its cause.
  public Finding withAgainst(List<Evidence> other) {
    return new Finding(
        check, layer, severity, cause, claim, subject, evidence, other, fate, fingerprint);
  }

  /// The same claim put down to another cause, with one more fact for it.
  public Finding withCause(Cause newCause, Evidence reason) {
    List<Evidence> more = new ArrayList<>(evidence);
    more.addFirst(reason);
    return new Finding(
        check,
        layer,
        severity,
        newCause,
        claim,
        subject,
        more,
        against,
        fate,
        fingerprint.replace(cause.id(), newCause.id()));
  }
}
