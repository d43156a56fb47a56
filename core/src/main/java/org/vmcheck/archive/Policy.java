package org.vmcheck.archive;

import java.time.LocalDate;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/// What counts as a regression, and what is known and accepted.
///
/// @param name of the policy, for reports
/// @param mustPass ids of checks that must have run on each dump of the new side, without a finding
///   that is not accepted
/// @param maySkip ids of checks that may stop to run
/// @param failOn the rules that make a regression
/// @param forbiddenTaint taint letters that must not be new
/// @param growth when a cache counts as the likely leak
/// @param accepted findings that are known
public record Policy(
    String name,
    List<String> mustPass,
    List<String> maySkip,
    Set<Rule> failOn,
    String forbiddenTaint,
    Growth growth,
    List<Accepted> accepted) {
  /// What holds when no policy is given.
  public static final Policy DEFAULT =
      new Policy(
          "default",
          List.of(),
          List.of(),
          EnumSet.of(
              Rule.NEW_FINDING,
              Rule.WORSE_VERDICT,
              Rule.LOST_CHECK,
              Rule.LOW_MEMORY,
              Rule.CONTAINER,
              Rule.MUST_PASS),
          "",
          Growth.DEFAULT,
          List.of());

  public Policy {
    mustPass = List.copyOf(mustPass);
    maySkip = List.copyOf(maySkip);
    failOn = Set.copyOf(failOn);
    accepted = List.copyOf(accepted);
  }

  /// One way in which the new side can be worse.
  public enum Rule {
    /// A finding whose fingerprint the base has not.
    NEW_FINDING,
    /// A verdict further from intact than any of the base.
    WORSE_VERDICT,
    /// A check that ran on the base and on no dump of the new side.
    LOST_CHECK,
    /// `lowmem.reserved` was in force and is not.
    LOW_MEMORY,
    /// Dumps were complete and are not, or pages went missing or damaged.
    CONTAINER,
    /// A check of the policy's list did not run, or has a finding.
    MUST_PASS,
    /// A cache grew as a leak does.
    LEAK,
    /// A forbidden taint letter is new.
    TAINT,
    /// A module is gone or new.
    MODULES,
    /// The command line is another.
    COMMAND_LINE;

    /// The word in policies and reports.
    public String word() {
      return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    static Optional<Rule> of(String word) {
      return Arrays.stream(values()).filter(rule -> rule.word().equals(word)).findFirst();
    }
  }

  /// The rule for the likely leak: of the caches that are not reclaimable and that the base has
  /// too, the one whose objects in use grew by the most bytes, if that is at least `minBytes`, the
  /// bytes are at least `factor` times those of the base, and at least `minInUse` of its objects
  /// are in use. What leaks stays in use; a burst that is over leaves free objects behind; and what
  /// is reclaimable grows with the load until memory is short.
  ///
  /// @param minInUse share from 0 to 1
  public record Growth(long minBytes, double factor, double minInUse) {
    public static final Growth DEFAULT = new Growth(1 << 20, 2.0, 0.9);
  }

  /// A finding that is known.
  ///
  /// @param fingerprint as reports show it
  /// @param reason never empty
  /// @param expires the last day on which it is accepted
  public record Accepted(String fingerprint, String reason, LocalDate expires) {}
}
