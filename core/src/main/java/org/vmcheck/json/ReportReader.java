package org.vmcheck.json;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import org.vmcheck.finding.CacheUse;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpFacts;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Fate;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelEntry;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.Layer;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.finding.Subject;
import org.vmcheck.finding.Verdict;
import org.vmcheck.io.MalformedFileException;

/// Reads what [ReportWriter] wrote. A report comes from a file that anyone may have edited: what
/// does not fit is named and refused.
public final class ReportReader {
  private static final Pattern CHECK_ID = Pattern.compile("[a-zA-Z0-9._-]{1,64}");

  private ReportReader() {}

  /// @param name what messages call the text
  /// @throws MalformedFileException if it is no report of schema version 1
  public static DumpReport read(String name, String text) throws MalformedFileException {
    JsonObject json = JsonValues.object(name, text);
    long version = json.number("schemaVersion");
    if (version != ReportWriter.SCHEMA_VERSION) {
      throw new MalformedFileException(
          "[%s] schemaVersion: expected %d, got %d"
              .formatted(name, ReportWriter.SCHEMA_VERSION, version));
    }
    List<CheckOutcome> checks = new ArrayList<>();
    for (JsonObject check : json.objects("checks")) {
      checks.add(check(check));
    }
    return new DumpReport(
        json.string("tool"),
        dump(json.object("dump")),
        json.has("kernel")
            ? Optional.of(kernel(json.object("kernel"), json.object("panic")))
            : Optional.empty(),
        json.has("kernels") ? kernels(json) : List.of(),
        checks,
        verdict(json.object("verdict"), checks),
        json.decimal("seconds"),
        json.has("state") ? Optional.of(TaskReader.state(json.object("state"))) : Optional.empty(),
        json.has("origin")
            ? Optional.of(OriginReader.origin(json.object("origin")))
            : Optional.empty());
  }

  private static DumpFacts dump(JsonObject json) throws MalformedFileException {
    JsonObject pages = json.object("pages");
    return new DumpFacts(
        json.string("path"),
        json.number("bytes"),
        json.string("format"),
        json.integer("version"),
        json.flag("flattened"),
        json.strings("codecs"),
        json.integer("dumpLevel"),
        new DumpFacts.PageTotals(
            pages.number("total"),
            pages.number("stored"),
            pages.number("excluded"),
            pages.number("missing"),
            pages.number("damaged")),
        json.flag("complete"));
  }

  private static KernelFacts kernel(JsonObject json, JsonObject panic)
      throws MalformedFileException {
    JsonObject symbols = json.object("symbols");
    JsonObject slab = json.object("slab");
    return new KernelFacts(
        json.string("release"),
        json.string("version"),
        json.string("machine"),
        json.string("nodename"),
        json.string("buildId"),
        json.string("commandLine"),
        json.string("taint"),
        json.integer("cpus"),
        json.number("memoryBytes"),
        json.word("kaslrOffset"),
        json.word("physBase"),
        json.integer("pagingLevels"),
        json.object("sme").word("mask"),
        symbols.string("source"),
        symbols.integer("count"),
        json.object("types").string("source"),
        slab.string("allocator"),
        slab.string("variant"),
        slab.string("decoder"),
        new KernelFacts.PanicFacts(
            panic.string("message"),
            panic.integer("cpu"),
            panic.number("time", 0, KernelFacts.PanicFacts.LAST_SECOND),
            List.of()),
        json.has("modules") ? Optional.of(json.strings("modules")) : Optional.empty(),
        slab.has("caches") ? Optional.of(caches(slab)) : Optional.empty());
  }

  private static List<KernelEntry> kernels(JsonObject json) throws MalformedFileException {
    List<KernelEntry> kernels = new ArrayList<>();
    for (JsonObject entry : json.objects("kernels")) {
      kernels.add(
          new KernelEntry(
              entry.integer("number"),
              entry.flag("judged"),
              entry.flag("capture"),
              entry.string("release"),
              entry.word("physBase"),
              entry.string("commandLine"),
              entry.string("found"),
              entry.has("basis") ? entry.string("basis") : ""));
    }
    return kernels;
  }

  private static List<CacheUse> caches(JsonObject slab) throws MalformedFileException {
    List<CacheUse> caches = new ArrayList<>();
    for (JsonObject cache : slab.objects("caches")) {
      caches.add(
          new CacheUse(
              cache.string("name"),
              atMost(cache, "objectSize", 22),
              atMost(cache, "allocated", 36),
              atMost(cache, "total", 36),
              cache.flag("reclaimable")));
    }
    return caches;
  }

  /// Sizes and counts are multiplied and summed: what no machine has is refused here.
  private static long atMost(JsonObject json, String name, int bits) throws MalformedFileException {
    long value = json.number(name);
    if (value < 0 || value > 1L << bits) {
      throw json.wrong(name, "0 to " + (1L << bits));
    }
    return value;
  }

  private static CheckOutcome check(JsonObject json) throws MalformedFileException {
    String id = json.string("id");
    // It is printed as it is.
    if (!CHECK_ID.matcher(id).matches()) {
      throw json.wrong("id", "the id of a check");
    }
    return switch (json.string("status")) {
      case "ran" -> {
        List<Finding> findings = new ArrayList<>();
        for (JsonObject finding : json.objects("findings")) {
          findings.add(finding(id, finding));
        }
        yield new CheckOutcome.Ran(
            id,
            json.string("answer"),
            json.stringMap("facts"),
            findings,
            notes(json),
            coverage(json.object("coverage")));
      }
      case "nothing" ->
          new CheckOutcome.NothingToLookAt(
              id,
              json.string("why"),
              json.stringMap("facts"),
              notes(json),
              coverage(json.object("coverage")));
      case "skipped" -> new CheckOutcome.Skipped(id, json.strings("unmet"));
      case "declined" -> new CheckOutcome.Declined(id, json.string("why"));
      case "failed" -> new CheckOutcome.Failed(id, json.string("reason"));
      default -> throw json.wrong("status", "ran, nothing, skipped, declined or failed");
    };
  }

  private static List<Note> notes(JsonObject json) throws MalformedFileException {
    List<Note> notes = new ArrayList<>();
    for (JsonObject note : json.objects("notes")) {
      notes.add(
          new Note(
              note.string("topic"), note.string("text"), note.has("lead") && note.flag("lead")));
    }
    return notes;
  }

  private static Coverage coverage(JsonObject json) throws MalformedFileException {
    return new Coverage(
        json.numberMap("lookedAt"), json.numberMap("notRead"), json.strings("gaps"));
  }

  private static Finding finding(String check, JsonObject json) throws MalformedFileException {
    Optional<Cause> cause = Cause.byId(json.string("cause"));
    if (cause.isEmpty()) {
      throw json.wrong("cause", "a known cause");
    }
    String claim = json.string("claim");
    List<Evidence> evidence = evidence(json, "evidence");
    if (claim.isBlank() || evidence.isEmpty()) {
      throw json.wrong("evidence", "a claim with evidence");
    }
    return new Finding(
        check,
        constant(json, "layer", Layer.values()),
        constant(json, "severity", Severity.values()),
        cause.get(),
        claim,
        new Subject(
            json.string("cache"),
            json.word("slab"),
            json.word("object"),
            json.word("address"),
            json.word("physical"),
            json.word("raw"),
            json.word("decoded")),
        evidence,
        evidence(json, "against"),
        json.has("fate") ? constant(json, "fate", Fate.values()) : Fate.LEFT,
        json.string("fingerprint"));
  }

  private static <E extends Enum<E>> E constant(JsonObject json, String name, E[] values)
      throws MalformedFileException {
    String word = json.string(name);
    for (E value : values) {
      if (value.name().equalsIgnoreCase(word)) {
        return value;
      }
    }
    throw json.wrong(name, "one of " + List.of(values));
  }

  private static List<Evidence> evidence(JsonObject finding, String name)
      throws MalformedFileException {
    List<Evidence> list = new ArrayList<>();
    for (JsonObject json : finding.objects(name)) {
      String sentence = json.string("sentence");
      list.add(
          switch (json.string("kind")) {
            case "word" ->
                new Evidence.WordAt(
                    json.word("address"),
                    json.word("physical"),
                    json.word("raw"),
                    json.word("decoded"),
                    sentence);
            case "chain" ->
                new Evidence.ChainBroken(
                    json.string("list"),
                    json.word("from"),
                    json.word("to"),
                    json.integer("step"),
                    sentence);
            case "bytes" ->
                new Evidence.BytesAt(
                    json.word("address"),
                    json.word("physical"),
                    hexDigits(json, "hex"),
                    json.integer("markFrom"),
                    json.integer("markTo"),
                    sentence);
            case "logged-bytes" ->
                new Evidence.LoggedBytes(
                    json.word("address"),
                    json.word("physical"),
                    hexDigits(json, "hex"),
                    json.integer("markFrom"),
                    json.integer("markTo"),
                    (int) json.number("expected", 0, 255),
                    sentence);
            case "run" ->
                new Evidence.Run(
                    json.word("address"),
                    json.word("physical"),
                    json.integer("length"),
                    hexDigits(json, "pattern"),
                    sentence);
            case "slab" -> slabPicture(json, sentence);
            case "count" ->
                new Evidence.CountMismatch(
                    json.string("what"), json.number("expected"), json.number("actual"), sentence);
            case "page" ->
                new Evidence.PageLooksLike(json.word("pfn"), json.string("looks"), sentence);
            case "what-if" -> new Evidence.WhatIf(json.string("change"), sentence);
            case "log" ->
                new Evidence.LogLineSays(
                    json.number("timestampNanos"), json.string("line"), sentence);
            default -> throw json.wrong("kind", "a known kind of evidence");
          });
    }
    return list;
  }

  private static Evidence slabPicture(JsonObject json, String sentence)
      throws MalformedFileException {
    try {
      return new Evidence.SlabPicture(
          json.word("first"),
          json.integer("stride"),
          json.string("cells"),
          json.integers("path"),
          json.integer("holder"),
          json.integer("target"),
          sentence);
    } catch (IllegalArgumentException _) {
      throw json.wrong("path", "objects of the slab");
    }
  }

  /// Renderers count on pairs of hexadecimal digits.
  private static String hexDigits(JsonObject json, String name) throws MalformedFileException {
    String hex = json.string(name);
    if (hex.length() % 2 != 0 || !hex.chars().allMatch(c -> "0123456789abcdef".indexOf(c) >= 0)) {
      throw json.wrong(name, "pairs of digits");
    }
    return hex;
  }

  private static Verdict verdict(JsonObject json, List<CheckOutcome> checks)
      throws MalformedFileException {
    Coverage coverage = Coverage.NONE;
    for (CheckOutcome check : checks) {
      coverage = coverage.plus(check.coverageIfRan());
    }
    if (json.has("coverage") && !told(json.object("coverage")).equals(inOrder(coverage))) {
      throw json.wrong("coverage", "what the checks looked at");
    }
    String summary = json.string("summary");
    List<String> reasons = json.strings("reasons");
    return switch (json.string("kind")) {
      case "intact" -> {
        if (coverage.isEmpty()) {
          throw json.wrong("kind", "a verdict that the coverage bears out");
        }
        yield new Verdict.Intact(summary, reasons, coverage);
      }
      case "kernel-damaged" -> new Verdict.KernelDamaged(summary, reasons, coverage);
      case "dump-damaged" -> new Verdict.DumpDamaged(summary, reasons, coverage);
      case "undetermined" -> new Verdict.Undetermined(summary, reasons, coverage);
      default -> throw json.wrong("kind", "one of the four verdicts");
    };
  }

  /// What a verdict says that was looked at, its domains together.
  private static Coverage told(JsonObject json) throws MalformedFileException {
    Coverage all = Coverage.NONE;
    for (JsonObject domain : json.objects("domains")) {
      all = all.plus(coverage(domain));
    }
    return inOrder(all);
  }

  /// The same with its gaps in an order of their own: checks and domains have theirs.
  private static Coverage inOrder(Coverage coverage) {
    return new Coverage(
        coverage.lookedAt(), coverage.notRead(), coverage.gaps().stream().sorted().toList());
  }
}
