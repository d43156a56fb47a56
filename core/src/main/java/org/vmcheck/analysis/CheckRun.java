package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import org.vmcheck.check.Check;
import org.vmcheck.check.CheckContext;
import org.vmcheck.check.Checks;
import org.vmcheck.check.Needs;
import org.vmcheck.dump.Dump;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.io.CancelledException;
import org.vmcheck.io.MappedFile;

/// Runs the checks that were asked for; whatever one of them does, the others go on.
final class CheckRun {
  static final String PAGES = "container.pages";

  /// Processor time from which on a check that goes through much memory is declined by default.
  private static final double MOST_SECONDS = 5;

  private final Dump dump;
  private final CheckContext context;
  private final AnalysisOptions options;
  private final List<String> lostMaps;

  /// @param lostMaps takes what was said where the file failed under a check
  CheckRun(Dump dump, CheckContext context, AnalysisOptions options, List<String> lostMaps) {
    this.dump = dump;
    this.context = context;
    this.options = options;
    this.lostMaps = lostMaps;
  }

  /// Runs what was asked for, in the order of the list. What came of the pages is asked last: they
  /// are decoded beside all else, and whatever page another check met and could not decode counts.
  List<CheckOutcome> outcomes() {
    List<CheckOutcome> outcomes = new ArrayList<>();
    int pagesAt = -1;
    for (Check check : Checks.all()) {
      if (options.only().isEmpty() || options.only().contains(check.id())) {
        if (check.id().equals(PAGES)) {
          pagesAt = outcomes.size();
        } else {
          outcomes.add(run(check));
        }
      }
    }
    Check pages = Checks.byId(PAGES).orElseThrow();
    if (pagesAt >= 0) {
      outcomes.add(pagesAt, run(pages));
    } else if (dump.damagedPages().count() > 0) {
      // Nobody asked for it, but no page that was met is forgotten.
      outcomes.addFirst(run(pages));
    }
    return outcomes;
  }

  /// A check that throws is a bug of the check: it is reported as one and the others go on.
  private CheckOutcome run(Check check) {
    List<String> unmet = check.needs().unmet(context);
    if (!unmet.isEmpty()) {
      return new CheckOutcome.Skipped(check.id(), unmet);
    }
    try {
      Optional<CheckOutcome> declined = declined(check);
      if (declined.isPresent()) {
        return declined.get();
      }
      // What a mask lies over is looked at through it.
      CheckOutcome outcome = check.run(check.needs() == Needs.SLAB ? context.unmasked() : context);
      MappedFile.settle();
      return outcome;
    } catch (CancelledException over) {
      return new CheckOutcome.Skipped(
          check.id(), List.of(check.id() + " was ended by " + over.getMessage()));
    } catch (RuntimeException | StackOverflowError bug) {
      return new CheckOutcome.Failed(check.id(), describe(bug));
    } catch (InternalError lost) {
      if (MappedFile.isLostMap(lost)) {
        String what = "the dump's file shrank or its device failed while it was read";
        lostMaps.add(check.id() + ": " + what);
        return new CheckOutcome.Failed(check.id(), what);
      }
      throw lost;
    }
  }

  /// What is said in place of a check that would take too long, or that goes through much memory
  /// where nobody wants that.
  private Optional<CheckOutcome> declined(Check check) {
    if (options.deep() == AnalysisOptions.Deep.ALWAYS || options.only().contains(check.id())) {
      return Optional.empty();
    }
    OptionalDouble seconds = check.seconds(context);
    if (seconds.isEmpty()
        || (options.deep() == AnalysisOptions.Deep.AUTO && seconds.getAsDouble() < MOST_SECONDS)) {
      return Optional.empty();
    }
    return Optional.of(
        new CheckOutcome.Declined(
            check.id(),
            options.deep() == AnalysisOptions.Deep.NEVER
                ? "nobody asked for checks that go through much memory (--deep never)"
                : "it would take about %,.0f s of processor time; --deep always, or --only %s, runs it"
                    .formatted(seconds.getAsDouble(), check.id())));
  }

  private static String describe(Throwable bug) {
    StackTraceElement[] trace = bug.getStackTrace();
    return bug + (trace.length == 0 ? "" : " at " + trace[0]);
  }
}
