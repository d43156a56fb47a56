package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.Finding;

/// What of the kernel was examined: what a verdict that finds no fault of the kernel may say of it.
/// The kernel is acquitted by the checks that walk its slabs, and by nothing else.
///
/// @param words a clause that says it
record Examination(Extent extent, String words) {
  enum Extent {
    /// All that there is.
    ALL,
    /// All but what the dump's own faults took away.
    REST,
    /// Less than that.
    PART,
    NOTHING
  }

  private static final String FREELISTS = "slab.freelist";
  private static final String TRANSLATION = "memory.translation";

  /// These together say of a slab that it is sound.
  private static final List<String> ACQUITTING = List.of(FREELISTS, "slab.counts", "slab.lists");

  /// @param outcomes without a finding against the kernel
  /// @param problems why the kernel, or not all of it, could be read
  static Examination of(List<CheckOutcome> outcomes, List<String> problems) {
    if (!(outcome(outcomes, FREELISTS) instanceof CheckOutcome.Ran lists)) {
      return nothing(why(outcomes, FREELISTS));
    }
    long slabs = lists.coverage().lookedAt().getOrDefault("slabs", 0L);
    if (slabs == 0) {
      return nothing("no slab was seen");
    }
    List<Finding> untranslated =
        outcome(outcomes, TRANSLATION) instanceof CheckOutcome.Ran translation
            ? translation.findings()
            : List.of();
    if (!untranslated.isEmpty()) {
      return nothing(untranslated.getFirst().claim());
    }
    List<String> open = new ArrayList<>();
    for (String id : ACQUITTING) {
      if (!(outcome(outcomes, id) instanceof CheckOutcome.Ran)) {
        open.add(why(outcomes, id));
      }
    }
    for (CheckOutcome outcome : outcomes) {
      if (outcome instanceof CheckOutcome.Ran ran && ran.answer().equals(MissingPages.NOT_JUDGED)) {
        open.add(ran.id() + ": " + ran.answer());
      }
    }
    if (isAsked(outcomes, TRANSLATION)
        && !(outcome(outcomes, TRANSLATION) instanceof CheckOutcome.Ran)) {
      open.add(why(outcomes, TRANSLATION));
    }
    boolean isWhole = true;
    for (CheckOutcome outcome : outcomes) {
      if (outcome.id().startsWith("slab.")) {
        Coverage coverage = outcome.coverageIfRan();
        open.addAll(coverage.gaps());
        isWhole &= coverage.notRead().isEmpty() && outcome.findingsIfRan().isEmpty();
      }
    }
    open.addAll(problems);
    String count = "%,d %s".formatted(slabs, slabs == 1 ? "slab" : "slabs");
    if (!open.isEmpty()) {
      return new Examination(
          Extent.PART,
          "of the kernel a part was examined and found sound, %s: %s"
              .formatted(count, open.getFirst()));
    }
    return isWhole
        ? new Examination(
            Extent.ALL,
            "the kernel's %s %s examined and found sound"
                .formatted(count, slabs == 1 ? "was" : "were"))
        : new Examination(
            Extent.REST,
            "the kernel's %s %s examined and found sound%s"
                .formatted(count, slabs == 1 ? "was" : "were", unread(lists.coverage())));
  }

  /// The slabs that were found sound, as a few words behind a verdict; empty if there are none.
  static String slabs(List<CheckOutcome> outcomes) {
    if (!(outcome(outcomes, FREELISTS) instanceof CheckOutcome.Ran lists)) {
      return "";
    }
    long slabs = lists.coverage().lookedAt().getOrDefault("slabs", 0L);
    return " in %,d %s%s"
        .formatted(
            slabs,
            slabs == 1 ? "slab" : "slabs",
            lists.coverage().notRead().isEmpty() ? "" : unread(lists.coverage()));
  }

  private static Examination nothing(String why) {
    return new Examination(Extent.NOTHING, "the kernel was not examined: " + why);
  }

  private static String unread(Coverage coverage) {
    List<String> parts = new ArrayList<>();
    for (Map.Entry<String, Long> missed : coverage.notRead().entrySet()) {
      parts.add("%s: %,d".formatted(missed.getKey(), missed.getValue()));
    }
    return parts.isEmpty()
        ? ", apart from what that explains"
        : " as far as they could be read (" + String.join(", ", parts) + ")";
  }

  private static CheckOutcome outcome(List<CheckOutcome> outcomes, String id) {
    return outcomes.stream().filter(outcome -> outcome.id().equals(id)).findFirst().orElse(null);
  }

  private static boolean isAsked(List<CheckOutcome> outcomes, String id) {
    return outcome(outcomes, id) != null;
  }

  /// Why a check does not vouch for anything.
  private static String why(List<CheckOutcome> outcomes, String id) {
    return switch (outcome(outcomes, id)) {
      case null -> id + " was not asked for";
      case CheckOutcome.Ran ran -> ran.answer();
      case CheckOutcome.NothingToLookAt nothing -> id + " had nothing to look at: " + nothing.why();
      case CheckOutcome.Skipped skipped -> String.join("; ", skipped.unmet());
      case CheckOutcome.Declined declined -> id + " was declined: " + declined.why();
      case CheckOutcome.Failed failed -> id + " failed: " + failed.reason();
    };
  }
}
