package org.vmcheck.archive;

import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.ToLongFunction;
import java.util.stream.Collectors;
import org.vmcheck.archive.Comparison.CacheChange;
import org.vmcheck.archive.Comparison.Change;
import org.vmcheck.archive.Comparison.CheckChange;
import org.vmcheck.archive.Comparison.CheckState;
import org.vmcheck.archive.Comparison.FindingChange;
import org.vmcheck.archive.Comparison.Regression;
import org.vmcheck.archive.Comparison.State;
import org.vmcheck.archive.Policy.Rule;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.DumpFacts;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Verdict;

/// Compares two sides and says what is a regression: the only place that judges this.
public final class ComparisonRule {
  private static final String RESERVED = "lowmem.reserved";
  private static final String IN_FORCE = "in force";
  private static final int MAX_NAMES = 40;

  private final Side base;
  private final Side next;
  private final Policy policy;
  private final LocalDate today;
  private final List<Regression> regressions = new ArrayList<>();
  private final List<Change> changes = new ArrayList<>();
  private final Set<String> notes = new LinkedHashSet<>();

  private ComparisonRule(Side base, Side next, Policy policy, LocalDate today) {
    this.base = base;
    this.next = next;
    this.policy = policy;
    this.today = today;
  }

  /// @param today decides which accepted findings have expired
  public static Comparison compare(Side base, Side next, Policy policy, LocalDate today) {
    return new ComparisonRule(base, next, policy, today).compare();
  }

  private Comparison compare() {
    leftOut(base);
    leftOut(next);
    List<FindingChange> findings = findings();
    verdicts();
    List<CheckChange> checks = checks();
    changes.addAll(ComparedCoverage.of(base, next));
    mustPass();
    container();
    lowMemory();
    kernels();
    ComparedCaches caches = ComparedCaches.of(base, next, policy.growth());
    if (!caches.notCompared().isEmpty()) {
      notes.add(caches.notCompared());
    }
    caches.leak().ifPresent(this::leak);
    return new Comparison(
        base,
        next,
        policy.name(),
        findings,
        checks,
        changes,
        caches.changes(),
        regressions,
        List.copyOf(notes));
  }

  private void leftOut(Side side) {
    for (String words : side.leftOut()) {
      notes.add("left out of " + side.name() + ": " + words);
    }
  }

  private void fail(Rule rule, String subject, String sentence) {
    if (policy.failOn().contains(rule)) {
      regressions.add(new Regression(rule, subject, sentence));
    }
  }

  private void leak(CacheChange found) {
    fail(
        Rule.LEAK,
        found.name(),
        "cache %s grew from %,d to %,d objects in use, by %,d bytes: a leak is likely"
            .formatted(found.name(), found.baseObjects(), found.nextObjects(), found.growth()));
  }

  private void change(String subject, String before, String after) {
    if (!before.equals(after)) {
      changes.add(new Change(subject, before, after));
    }
  }

  /// Findings of one fingerprint on one side.
  private record Found(Finding first, DumpReport report, DumpReport last, int count, int dumps) {}

  private static Map<String, Found> byFingerprint(Side side) {
    Map<String, Found> all = new LinkedHashMap<>();
    for (DumpReport report : side.reports()) {
      for (Finding finding : report.findings()) {
        Found old = all.get(finding.fingerprint());
        all.put(
            finding.fingerprint(),
            old == null
                ? new Found(finding, report, report, 1, 1)
                : new Found(
                    old.first,
                    old.report,
                    report,
                    old.count + 1,
                    isSame(old.last, report) ? old.dumps : old.dumps + 1));
      }
    }
    return all;
  }

  @SuppressWarnings("ReferenceEquality") // The very report, not one that is equal.
  private static boolean isSame(DumpReport one, DumpReport other) {
    return one == other;
  }

  private List<FindingChange> findings() {
    Map<String, Found> before = byFingerprint(base);
    Map<String, Found> after = byFingerprint(next);
    Set<String> all = new LinkedHashSet<>(after.keySet());
    all.addAll(before.keySet());
    List<FindingChange> list = new ArrayList<>();
    for (String fingerprint : all) {
      Found old = before.get(fingerprint);
      Found now = after.get(fingerprint);
      State state = old == null ? State.NEW : now == null ? State.VANISHED : State.UNCHANGED;
      Found shown = now == null ? old : now;
      Optional<Policy.Accepted> accepted = accepted(fingerprint);
      list.add(
          new FindingChange(
              state,
              shown.first,
              shown.report,
              old == null ? 0 : old.count,
              old == null ? 0 : old.dumps,
              now == null ? 0 : now.count,
              now == null ? 0 : now.dumps,
              accepted.map(Policy.Accepted::reason).orElse("")));
      if (state == State.NEW && accepted.isEmpty()) {
        fail(Rule.NEW_FINDING, fingerprint, shown.first.cause().id() + ": " + shown.first.claim());
      }
    }
    list.sort(Comparator.comparing(FindingChange::state));
    for (Policy.Accepted entry : policy.accepted()) {
      if (after.containsKey(entry.fingerprint()) && today.isAfter(entry.expires())) {
        notes.add(
            "%s is no longer accepted: that expired on %s (%s)"
                .formatted(entry.fingerprint(), entry.expires(), entry.reason()));
      }
    }
    return list;
  }

  private Optional<Policy.Accepted> accepted(String fingerprint) {
    return policy.accepted().stream()
        .filter(entry -> entry.fingerprint().equals(fingerprint))
        .filter(entry -> !today.isAfter(entry.expires()))
        .findFirst();
  }

  private static int rank(Verdict verdict) {
    return switch (verdict) {
      case Verdict.Intact _ -> 0;
      case Verdict.Undetermined _ -> 1;
      case Verdict.DumpDamaged _ -> 2;
      case Verdict.KernelDamaged _ -> 3;
    };
  }

  /// A verdict that rests on nothing but accepted findings makes nothing worse: it is as bad as the
  /// findings that are not accepted.
  private int rankOfRest(DumpReport report) {
    boolean isExplained =
        !report.findings().isEmpty()
            && report.findings().stream().allMatch(f -> accepted(f.fingerprint()).isPresent());
    return isExplained ? 0 : rank(report.verdict());
  }

  private void verdicts() {
    change("verdict", tally(base, r -> r.verdict().kind()), tally(next, r -> r.verdict().kind()));
    int worstBefore =
        base.reports().stream().mapToInt(report -> rank(report.verdict())).max().orElseThrow();
    for (DumpReport report : next.reports()) {
      if (rankOfRest(report) > worstBefore) {
        fail(
            Rule.WORSE_VERDICT,
            report.dump().path(),
            "the verdict is %s (%s), the worst of the base is %s"
                .formatted(
                    report.verdict().kind(),
                    report.verdict().summary(),
                    base.reports().stream()
                        .map(DumpReport::verdict)
                        .max(Comparator.comparingInt(ComparisonRule::rank))
                        .orElseThrow()
                        .kind()));
      }
    }
  }

  /// The words of all reports; with several, each with how often it is there.
  private static String tally(Side side, Function<DumpReport, String> words) {
    SortedMap<String, Long> counts =
        side.reports().stream()
            .collect(Collectors.groupingBy(words, TreeMap::new, Collectors.counting()));
    return counts.size() == 1
        ? counts.firstKey()
        : counts.entrySet().stream()
            .map(entry -> entry.getKey() + " (" + entry.getValue() + ")")
            .collect(Collectors.joining(", "));
  }

  private static CheckState state(CheckOutcome outcome) {
    return switch (outcome) {
      case CheckOutcome.Ran ran when !ran.findings().isEmpty() -> CheckState.FOUND;
      // Reports of earlier versions say of a check that looked at nothing that it ran.
      case CheckOutcome.Ran ran when ran.coverage().isEmpty() -> CheckState.NOTHING;
      case CheckOutcome.Ran _ -> CheckState.PASSED;
      case CheckOutcome.NothingToLookAt _ -> CheckState.NOTHING;
      case CheckOutcome.Skipped _, CheckOutcome.Declined _ -> CheckState.SKIPPED;
      case CheckOutcome.Failed _ -> CheckState.FAILED;
    };
  }

  private static String words(CheckOutcome outcome) {
    return switch (outcome) {
      case CheckOutcome.Ran ran -> ran.answer();
      case CheckOutcome.NothingToLookAt nothing -> nothing.why();
      case CheckOutcome.Skipped skipped -> String.join("; ", skipped.unmet());
      case CheckOutcome.Declined declined -> "declined: " + declined.why();
      case CheckOutcome.Failed failed -> failed.reason();
    };
  }

  private static List<CheckOutcome> outcomes(Side side, String id) {
    return side.reports().stream()
        .flatMap(report -> report.checks().stream())
        .filter(outcome -> outcome.id().equals(id))
        .toList();
  }

  /// How far a check came: findings count more than passing, running more than not.
  private static int reach(CheckState state) {
    return switch (state) {
      case FOUND -> 5;
      case PASSED -> 4;
      case FAILED -> 3;
      case NOTHING -> 2;
      case SKIPPED -> 1;
      case ABSENT -> 0;
    };
  }

  private List<CheckChange> checks() {
    Set<String> ids = new LinkedHashSet<>();
    for (Side side : List.of(base, next)) {
      side.reports().forEach(report -> report.checks().forEach(outcome -> ids.add(outcome.id())));
    }
    List<CheckChange> list = new ArrayList<>();
    for (String id : ids) {
      List<CheckOutcome> before = outcomes(base, id);
      List<CheckOutcome> after = outcomes(next, id);
      CheckChange check =
          new CheckChange(
              id,
              furthest(before).map(ComparisonRule::state).orElse(CheckState.ABSENT),
              furthest(after).map(ComparisonRule::state).orElse(CheckState.ABSENT),
              furthest(before).map(ComparisonRule::words).orElse(""),
              furthest(after).map(ComparisonRule::words).orElse(""),
              (int) before.stream().filter(outcome -> state(outcome).ran()).count(),
              (int) after.stream().filter(outcome -> state(outcome).ran()).count());
      list.add(check);
      if (check.isLost() && !policy.maySkip().contains(id)) {
        fail(
            Rule.LOST_CHECK,
            id,
            (check.next() == CheckState.NOTHING
                    ? "%s ran on the base and has nothing to look at on the new side: %s"
                    : "%s ran on the base and not on the new side: %s")
                .formatted(
                    id, check.next() == CheckState.ABSENT ? "not asked for" : check.nextWords()));
      }
    }
    return list;
  }

  private static Optional<CheckOutcome> furthest(List<CheckOutcome> outcomes) {
    return outcomes.stream().max(Comparator.comparingInt(outcome -> reach(state(outcome))));
  }

  private void mustPass() {
    for (String id : policy.mustPass()) {
      for (DumpReport report : next.reports()) {
        Optional<CheckOutcome> outcome =
            report.checks().stream().filter(o -> o.id().equals(id)).findFirst();
        String failure =
            switch (outcome.orElse(null)) {
              case null -> "did not run: not asked for";
              case CheckOutcome.Ran ran ->
                  ran.findings().stream()
                      .filter(finding -> accepted(finding.fingerprint()).isEmpty())
                      .findFirst()
                      .map(finding -> "found " + finding.fingerprint())
                      .orElse("");
              case CheckOutcome.NothingToLookAt nothing ->
                  "had nothing to look at: " + words(nothing);
              case CheckOutcome.Skipped skipped -> "did not run: " + words(skipped);
              case CheckOutcome.Declined declined -> "did not run: " + words(declined);
              case CheckOutcome.Failed failed -> "broke: " + words(failed);
            };
        if (!failure.isEmpty()) {
          fail(
              Rule.MUST_PASS, id, "%s must pass; on %s it %s".formatted(id, path(report), failure));
        }
      }
    }
  }

  private static String path(DumpReport report) {
    return report.dump().path();
  }

  private void container() {
    change("complete", tally(base, r -> yes(r.dump())), tally(next, r -> yes(r.dump())));
    for (Map.Entry<String, Function<DumpFacts, String>> fact :
        List.<Map.Entry<String, Function<DumpFacts, String>>>of(
            Map.entry("format", DumpFacts::format),
            Map.entry("codecs", facts -> String.join(" ", facts.codecs())),
            Map.entry("dump level", facts -> Integer.toString(facts.dumpLevel())))) {
      change(
          fact.getKey(),
          tally(base, r -> fact.getValue().apply(r.dump())),
          tally(next, r -> fact.getValue().apply(r.dump())));
    }
    long baseBad = mostBad(base);
    change("pages missing or damaged, at most", "" + baseBad, "" + mostBad(next));
    boolean baseComplete = base.reports().stream().allMatch(report -> report.dump().complete());
    for (DumpReport report : next.reports()) {
      if (baseComplete && !report.dump().complete()) {
        fail(Rule.CONTAINER, path(report), path(report) + " is not complete");
      }
      long bad = bad(report);
      if (bad > 0 && baseBad == 0) {
        fail(
            Rule.CONTAINER,
            path(report),
            "%s has %s missing or damaged, the base none"
                .formatted(path(report), Counted.of(bad, "pages")));
      }
    }
    long stored = median(base.reports(), r -> r.dump().pages().stored());
    long storedNow = median(next.reports(), r -> r.dump().pages().stored());
    change("pages stored", "%,d".formatted(stored), "%,d".formatted(storedNow));
  }

  private static String yes(DumpFacts facts) {
    return facts.complete() ? "yes" : "no";
  }

  private static long mostBad(Side side) {
    return side.reports().stream().mapToLong(ComparisonRule::bad).max().orElseThrow();
  }

  private static long bad(DumpReport report) {
    return report.dump().pages().missing() + report.dump().pages().damaged();
  }

  private void lowMemory() {
    Function<DumpReport, String> answer =
        report ->
            report.checks().stream()
                .filter(outcome -> outcome.id().equals(RESERVED))
                .findFirst()
                .filter(CheckOutcome.Ran.class::isInstance)
                .map(ComparisonRule::words)
                .orElse("did not run");
    change(RESERVED, tally(base, answer), tally(next, answer));
    boolean wasInForce = base.reports().stream().allMatch(r -> answer.apply(r).equals(IN_FORCE));
    for (DumpReport report : next.reports()) {
      // "cannot tell" is no proof of anything; a lost check has a rule of its own.
      if (wasInForce && answer.apply(report).startsWith("not in force")) {
        fail(
            Rule.LOW_MEMORY,
            path(report),
            "the fix that reserves the low 1 MiB was in force and is not on " + path(report));
      }
    }
  }

  private static Optional<KernelFacts> kernel(DumpReport report) {
    return report.kernel().filter(KernelFacts::isFound);
  }

  private void kernels() {
    fact("kernel", KernelFacts::release);
    fact("build", KernelFacts::version);
    fact("machine", KernelFacts::nodename);
    fact("CPUs", kernel -> Integer.toString(kernel.cpus()));
    fact("slab allocator", kernel -> kernel.allocator() + ", " + kernel.slabVariant());
    fact("freelist decoding", KernelFacts::decoder);
    fact("types from", KernelFacts::typeSource);
    fact("symbols from", KernelFacts::symbolSource);
    long memory = medianOfKernels(base, KernelFacts::memoryBytes);
    long memoryNow = medianOfKernels(next, KernelFacts::memoryBytes);
    if (Math.abs(memory - memoryNow) > memory / 10) {
      change("memory", (memory >> 20) + " MiB", (memoryNow >> 20) + " MiB");
      notes.add("the machines differ in memory: growth of caches may come from that");
    }
    taint();
    words(
        "command line",
        Rule.COMMAND_LINE,
        kernel -> Optional.of(List.of(kernel.commandLine().trim().split("\\s+"))));
    words("modules", Rule.MODULES, KernelFacts::modules);
  }

  private void fact(String subject, Function<KernelFacts, String> words) {
    Function<DumpReport, String> ofReport =
        report -> kernel(report).map(words).filter(text -> !text.isEmpty()).orElse("not known");
    change(subject, tally(base, ofReport), tally(next, ofReport));
  }

  private static long medianOfKernels(Side side, ToLongFunction<KernelFacts> number) {
    List<KernelFacts> kernels =
        side.reports().stream().flatMap(report -> kernel(report).stream()).toList();
    return median(kernels, number);
  }

  /// The lower median; 0 of nothing.
  static <T> long median(Collection<T> values, ToLongFunction<T> number) {
    long[] sorted = values.stream().mapToLong(number).sorted().toArray();
    return sorted.length == 0 ? 0 : sorted[(sorted.length - 1) / 2];
  }

  private void taint() {
    fact("taint", kernel -> kernel.taint().isEmpty() ? "none" : kernel.taint());
    Set<Integer> before =
        base.reports().stream()
            .flatMap(report -> kernel(report).stream())
            .flatMapToInt(kernel -> kernel.taint().chars())
            .boxed()
            .collect(Collectors.toSet());
    for (DumpReport report : next.reports()) {
      String taint = kernel(report).map(KernelFacts::taint).orElse("");
      taint
          .chars()
          .filter(c -> !before.contains(c) && policy.forbiddenTaint().indexOf(c) >= 0)
          .forEach(
              c ->
                  fail(
                      Rule.TAINT,
                      String.valueOf((char) c),
                      "the kernel of %s has the taint %c, the base has not"
                          .formatted(path(report), (char) c)));
    }
  }

  /// Words that a kernel has many of, as what was added and what is gone.
  private void words(
      String subject, Rule rule, Function<KernelFacts, Optional<List<String>>> words) {
    Optional<Set<String>> before = allWords(base, words);
    Optional<Set<String>> after = allWords(next, words);
    if (before.isEmpty() || after.isEmpty()) {
      notes.add(
          subject
              + " not compared: not recorded on "
              + (before.isEmpty()
                  ? (after.isEmpty() ? "both sides" : "the base")
                  : "the new side"));
      return;
    }
    Set<String> gone = new TreeSet<>(before.get());
    gone.removeAll(after.get());
    Set<String> added = new TreeSet<>(after.get());
    added.removeAll(before.get());
    if (!gone.isEmpty() || !added.isEmpty()) {
      changes.add(
          new Change(
              subject,
              gone.isEmpty() ? "" : "gone: " + some(gone),
              added.isEmpty() ? "" : "new: " + some(added)));
      fail(
          rule,
          subject,
          "the %s changed:%s%s"
              .formatted(
                  subject,
                  gone.isEmpty() ? "" : " gone: " + some(gone) + ";",
                  added.isEmpty() ? "" : " new: " + some(added)));
    }
  }

  private static String some(Set<String> names) {
    return names.stream().limit(MAX_NAMES).collect(Collectors.joining(" "))
        + (names.size() > MAX_NAMES ? " and %d more".formatted(names.size() - MAX_NAMES) : "");
  }

  /// The words of any report of a side; empty if no report has them.
  private static Optional<Set<String>> allWords(
      Side side, Function<KernelFacts, Optional<List<String>>> words) {
    List<List<String>> known =
        side.reports().stream()
            .flatMap(report -> kernel(report).stream())
            .flatMap(kernel -> words.apply(kernel).stream())
            .toList();
    return known.isEmpty()
        ? Optional.empty()
        : Optional.of(
            known.stream()
                .flatMap(List::stream)
                .filter(word -> !word.isEmpty())
                .collect(Collectors.toCollection(TreeSet::new)));
  }

  /// The rules by name, for messages.
  static String rules() {
    return Arrays.stream(Rule.values()).map(Rule::word).collect(Collectors.joining(", "));
  }
}
