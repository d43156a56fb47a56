package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Subject;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.LogBuffer;
import org.vmcheck.kernel.LogTestimony;
import org.vmcheck.kernel.LogTestimony.Report;
import org.vmcheck.kernel.LogTestimony.Topic;

/// Quotes lines of the kernel's log with the findings that they support or contradict: reports of
/// the same object, page or cache, memory errors, faults on poison, modules that taint.
final class LogQuotes {
  /// Lines quoted for a finding, and against it.
  private static final int MAX_LINES = 8;

  /// Lines of one report of the same object: what, where, and who had it.
  private static final int MAX_LINES_A_REPORT = 5;

  private static final int MAX_REPORTS = 2;
  private static final int MAX_CHARS = 200;

  private final Kernel kernel;
  private final Extents extents;
  private final List<Report> reports;
  private final TreeMap<Long, Set<Report>> byAddress = new TreeMap<>(Long::compareUnsigned);
  private final Map<String, List<Report>> byCache = new HashMap<>();
  private final Map<Long, List<Report>> byFrame = new HashMap<>();

  /// Whether the log could be read whole.
  private final boolean isWhole;

  private LogQuotes(Kernel kernel, LogTestimony testimony) {
    this.isWhole = kernel.log().problem().isEmpty();
    this.kernel = kernel;
    this.extents = new Extents(kernel);
    this.reports = testimony.reports();
    for (Report report : reports) {
      for (long address : report.addresses()) {
        byAddress.computeIfAbsent(address, _ -> new LinkedHashSet<>()).add(report);
      }
      if (!report.cache().isEmpty()) {
        byCache.computeIfAbsent(report.cache(), _ -> new ArrayList<>()).add(report);
      }
      if (report.pfn() >= 0) {
        byFrame.computeIfAbsent(report.pfn(), _ -> new ArrayList<>()).add(report);
      }
    }
  }

  static List<CheckOutcome> attach(
      List<CheckOutcome> outcomes, Kernel kernel, List<LogBuffer.Line> log) {
    if (outcomes.stream().allMatch(outcome -> outcome.findingsIfRan().isEmpty())) {
      return outcomes;
    }
    LogQuotes quotes = new LogQuotes(kernel, LogTestimony.of(log, kernel.memory().pageShift()));
    if (quotes.reports.isEmpty()) {
      return outcomes;
    }
    List<CheckOutcome> attached = new ArrayList<>();
    for (CheckOutcome outcome : outcomes) {
      attached.add(
          outcome instanceof CheckOutcome.Ran ran && !ran.findings().isEmpty()
              ? ran.withFindings(ran.findings().stream().map(quotes::quote).toList())
              : outcome);
    }
    return attached;
  }

  private Finding quote(Finding finding) {
    List<Evidence> support = new ArrayList<>();
    List<Evidence> against = new ArrayList<>();
    if (finding.cause() == Cause.SME_CIPHERTEXT) {
      sme(against);
    } else if (!finding.cause().isArtefact()) {
      Set<Report> told = new LinkedHashSet<>();
      if (!KernelsReports.isOne(finding)) { // That quotes its report itself.
        told.addAll(sameObject(finding, support, against));
        sameCache(finding, told, support);
      }
      memoryErrors(finding, told, support, against);
      if (isUseAfterFree(finding.cause())) {
        lines(support, Topic.POISON_FAULT, "a use after free fits: the log has");
      }
      if (finding.cause() != Cause.BIT_FLIP) {
        lines(support, Topic.MODULE_TAINT, "a lead, not proof: the log says");
      }
    }
    List<Evidence> evidence = new ArrayList<>(finding.evidence());
    // What the kernel's own report brought along is said already.
    Set<String> said = new HashSet<>();
    for (Evidence one : evidence) {
      if (one instanceof Evidence.LogLineSays(long _, String line, String _)) {
        said.add(line);
      }
    }
    support.removeIf(
        one ->
            one instanceof Evidence.LogLineSays(long _, String line, String _)
                && said.contains(line));
    evidence.addAll(support.subList(0, Math.min(MAX_LINES, support.size())));
    List<Evidence> counter = new ArrayList<>(finding.against());
    counter.addAll(against.subList(0, Math.min(MAX_LINES, against.size())));
    return finding.withEvidence(evidence).withAgainst(counter);
  }

  private static boolean isUseAfterFree(Cause cause) {
    return cause == Cause.USE_AFTER_FREE_WRITE
        || cause == Cause.POISON_OVERWRITTEN
        || cause == Cause.DOUBLE_FREE;
  }

  /// Reports of an address in the object, of the bad word, or of what holds it.
  private Set<Report> sameObject(Finding finding, List<Evidence> support, List<Evidence> against) {
    Subject subject = finding.subject();
    Extents.Range object = extents.of(subject).object();
    Set<Report> same = new LinkedHashSet<>();
    if (!object.isEmpty()) {
      byAddress.subMap(object.from(), object.to()).values().forEach(same::addAll);
    }
    if (subject.address() != Evidence.UNKNOWN) {
      same.addAll(byAddress.getOrDefault(subject.address(), Set.of()));
    }
    int shown = 0;
    for (Report report : same) {
      if (shown++ == MAX_REPORTS) {
        break;
      }
      for (LogBuffer.Line line :
          report.lines().subList(0, Math.min(MAX_LINES_A_REPORT, report.lines().size()))) {
        support.add(says("the kernel itself reports this object", line));
      }
      if (report.isRepaired()) {
        against.add(
            says(
                "the kernel repaired what it reported, so the bytes are newer than its report",
                report.lines().getLast()));
      }
    }
    return same;
  }

  private void sameCache(Finding finding, Set<Report> told, List<Evidence> support) {
    int shown = 0;
    for (Report report : byCache.getOrDefault(finding.subject().cache(), List.of())) {
      if (!told.contains(report) && shown++ < MAX_REPORTS) {
        support.add(says("the kernel itself reports this cache", report.first()));
      }
    }
  }

  /// A memory error at the page supports a flipped bit and speaks against a writer; elsewhere it
  /// only shows that the machine has them.
  private void memoryErrors(
      Finding finding, Set<Report> told, List<Evidence> support, List<Evidence> against) {
    long physical = finding.subject().physical();
    List<Report> here =
        physical == Evidence.UNKNOWN
            ? List.of()
            : byFrame.getOrDefault(kernel.memory().pfn(physical), List.of());
    boolean isFlip = finding.cause() == Cause.BIT_FLIP;
    int shown = 0;
    for (Report report : here) {
      if (told.contains(report) || shown++ == MAX_REPORTS) {
        continue;
      }
      if (report.topic() == Topic.BAD_PAGE) {
        support.add(says("the kernel itself reports this page", report.first()));
      } else if (isFlip) {
        support.add(says("the log tells of a memory error in this page", report.first()));
      } else {
        against.add(says("the log tells of a memory error in this page", report.first()));
      }
    }
    if (isFlip && here.isEmpty()) {
      String words =
          "the machine has memory errors, though none is told of this page"
              + (isWhole ? "" : " in what could be read of the log");
      lines(support, Topic.EDAC, words);
      lines(support, Topic.MACHINE_CHECK, words);
    }
  }

  /// Low memory that is reserved is not copied, and without SME nothing is encrypted.
  private void sme(List<Evidence> against) {
    lines(against, Topic.LOW_RESERVED, "the low range was not in use: the log says");
    for (Report report : reports) {
      if (report.topic() == Topic.ENCRYPTION && !report.first().text().contains("SME")) {
        against.add(says("the log names another kind of encryption", report.first()));
      }
    }
  }

  private void lines(List<Evidence> to, Topic topic, String words) {
    int shown = 0;
    for (Report report : reports) {
      if (report.topic() == topic && shown++ < MAX_REPORTS) {
        to.add(says(words, report.first()));
      }
    }
  }

  private static Evidence says(String words, LogBuffer.Line line) {
    String text =
        line.text().length() <= MAX_CHARS ? line.text() : line.text().substring(0, MAX_CHARS);
    // What a redacted report leaves out of the sentence is the line as it stands here.
    return new Evidence.LogLineSays(line.timestampNanos(), text, words + ": " + text);
  }
}
