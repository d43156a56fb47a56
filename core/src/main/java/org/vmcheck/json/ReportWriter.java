package org.vmcheck.json;

import java.io.StringWriter;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.finding.CacheUse;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.Coverage;
import org.vmcheck.finding.DumpFacts;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.KernelEntry;
import org.vmcheck.finding.KernelFacts;
import org.vmcheck.finding.MachineState;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Subject;
import org.vmcheck.finding.Verdict;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.Printable;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.core.util.DefaultPrettyPrinter;

/// The report as JSON, schema version 1: one object a dump, addresses as hexadecimal strings, text
/// from the dump escaped. The schema is `report.schema.json` beside this class.
public final class ReportWriter extends JsonWriter {
  public static final int SCHEMA_VERSION = 1;

  private ReportWriter(JsonGenerator json) {
    super(json);
  }

  /// One line, without the newline.
  public static String line(DumpReport report) {
    return write(report, ObjectWriteContext.empty());
  }

  /// Indented, with a newline at the end.
  public static String pretty(DumpReport report) {
    ObjectWriteContext context =
        new ObjectWriteContext.Base() {
          @Override
          public tools.jackson.core.PrettyPrinter getPrettyPrinter() {
            return new DefaultPrettyPrinter();
          }
        };
    return write(report, context) + "\n";
  }

  /// What is known of a dump without checking it: the members `dump`, `kernel`, `panic`, `kernels`
  /// and `state` of a report, and `problems`. One line, with a newline at the end.
  public static String info(
      DumpFacts dump,
      Optional<KernelFacts> kernel,
      List<KernelEntry> kernels,
      Optional<MachineState> state,
      List<String> problems) {
    StringWriter out = new StringWriter();
    try (JsonGenerator generator =
        new JsonFactory().createGenerator(ObjectWriteContext.empty(), out)) {
      ReportWriter writer = new ReportWriter(generator);
      generator.writeStartObject();
      writer.dump(dump);
      kernel.ifPresent(writer::kernel);
      writer.kernels(kernels);
      state.ifPresent(new TaskWriter(generator)::state);
      writer.strings("problems", problems);
      generator.writeEndObject();
    }
    return out.append('\n').toString();
  }

  private static String write(DumpReport report, ObjectWriteContext context) {
    StringWriter out = new StringWriter();
    try (JsonGenerator generator = new JsonFactory().createGenerator(context, out)) {
      new ReportWriter(generator).report(report);
    }
    return out.toString();
  }

  private void report(DumpReport report) {
    json.writeStartObject();
    json.writeNumberProperty("schemaVersion", SCHEMA_VERSION);
    text("tool", report.tool());
    dump(report.dump());
    report.kernel().ifPresent(this::kernel);
    kernels(report.kernels());
    report.state().ifPresent(new TaskWriter(json)::state);
    json.writeArrayPropertyStart("checks");
    report.checks().forEach(this::check);
    json.writeEndArray();
    verdict(report);
    report.origin().ifPresent(new OriginWriter(json)::origin);
    json.writeNumberProperty("seconds", Math.round(report.seconds() * 1000) / 1000.0);
    json.writeEndObject();
  }

  private void dump(DumpFacts dump) {
    json.writeObjectPropertyStart("dump");
    json.writeStringProperty("path", Printable.path(dump.path()));
    json.writeNumberProperty("bytes", dump.fileBytes());
    text("format", dump.format());
    json.writeNumberProperty("version", dump.version());
    json.writeBooleanProperty("flattened", dump.flattened());
    strings("codecs", dump.codecs());
    json.writeNumberProperty("dumpLevel", dump.dumpLevel());
    json.writeObjectPropertyStart("pages");
    json.writeNumberProperty("total", dump.pages().total());
    json.writeNumberProperty("stored", dump.pages().stored());
    json.writeNumberProperty("excluded", dump.pages().excluded());
    json.writeNumberProperty("missing", dump.pages().missing());
    json.writeNumberProperty("damaged", dump.pages().damaged());
    json.writeEndObject();
    json.writeBooleanProperty("complete", dump.complete());
    json.writeEndObject();
  }

  private void kernel(KernelFacts kernel) {
    json.writeObjectPropertyStart("kernel");
    text("release", kernel.release());
    text("version", kernel.version());
    text("machine", kernel.machine());
    text("nodename", kernel.nodename());
    text("buildId", kernel.buildId());
    text("commandLine", kernel.commandLine());
    text("taint", kernel.taint());
    json.writeNumberProperty("cpus", kernel.cpus());
    json.writeNumberProperty("memoryBytes", kernel.memoryBytes());
    address("kaslrOffset", kernel.kaslrOffset());
    address("physBase", kernel.physBase());
    json.writeNumberProperty("pagingLevels", kernel.pagingLevels());
    json.writeObjectPropertyStart("sme");
    hex("mask", kernel.smeMask());
    json.writeBooleanProperty("active", kernel.smeMask() != 0);
    json.writeEndObject();
    json.writeObjectPropertyStart("symbols");
    text("source", kernel.symbolSource());
    json.writeNumberProperty("count", kernel.symbolCount());
    json.writeEndObject();
    json.writeObjectPropertyStart("types");
    text("source", kernel.typeSource());
    json.writeEndObject();
    json.writeObjectPropertyStart("slab");
    text("allocator", kernel.allocator());
    text("variant", kernel.slabVariant());
    text("decoder", kernel.decoder());
    kernel.caches().ifPresent(this::caches);
    json.writeEndObject();
    kernel.modules().ifPresent(modules -> strings("modules", modules));
    json.writeEndObject();
    json.writeObjectPropertyStart("panic");
    text("message", kernel.panic().message());
    json.writeNumberProperty("cpu", kernel.panic().cpu());
    json.writeNumberProperty("time", kernel.panic().crashTime());
    json.writeEndObject();
  }

  private void kernels(List<KernelEntry> kernels) {
    if (kernels.isEmpty()) {
      return;
    }
    json.writeArrayPropertyStart("kernels");
    for (KernelEntry entry : kernels) {
      json.writeStartObject();
      json.writeNumberProperty("number", entry.number());
      json.writeBooleanProperty("judged", entry.judged());
      json.writeBooleanProperty("capture", entry.capture());
      text("release", entry.release());
      address("physBase", entry.physBase());
      text("commandLine", entry.commandLine());
      text("found", entry.found());
      if (!entry.basis().isEmpty()) {
        text("basis", entry.basis());
      }
      json.writeEndObject();
    }
    json.writeEndArray();
  }

  private void caches(List<CacheUse> caches) {
    json.writeArrayPropertyStart("caches");
    for (CacheUse cache : caches) {
      json.writeStartObject();
      text("name", cache.name());
      json.writeNumberProperty("objectSize", cache.objectSize());
      json.writeNumberProperty("allocated", cache.allocated());
      json.writeNumberProperty("total", cache.total());
      json.writeBooleanProperty("reclaimable", cache.reclaimable());
      json.writeEndObject();
    }
    json.writeEndArray();
  }

  private void check(CheckOutcome outcome) {
    json.writeStartObject();
    text("id", outcome.id());
    switch (outcome) {
      case CheckOutcome.Ran ran -> {
        text("status", "ran");
        text("answer", ran.answer());
        facts(ran.facts());
        coverage(ran.coverage());
        notes(ran.notes());
        json.writeArrayPropertyStart("findings");
        ran.findings().forEach(this::finding);
        json.writeEndArray();
      }
      case CheckOutcome.NothingToLookAt nothing -> {
        text("status", "nothing");
        text("why", nothing.why());
        facts(nothing.facts());
        coverage(nothing.coverage());
        notes(nothing.notes());
      }
      case CheckOutcome.Skipped skipped -> {
        text("status", "skipped");
        strings("unmet", skipped.unmet());
      }
      case CheckOutcome.Declined declined -> {
        text("status", "declined");
        text("why", declined.why());
      }
      case CheckOutcome.Failed failed -> {
        text("status", "failed");
        text("reason", failed.reason());
      }
    }
    json.writeEndObject();
  }

  private void facts(Map<String, String> facts) {
    json.writeObjectPropertyStart("facts");
    // In the order of the names as they are written, each once: so it is read back the same.
    SortedMap<String, String> written = new TreeMap<>();
    facts.forEach((name, value) -> written.putIfAbsent(Printable.of(name), value));
    written.forEach(this::text);
    json.writeEndObject();
  }

  private void notes(List<Note> notes) {
    json.writeArrayPropertyStart("notes");
    for (Note note : notes) {
      Cancellation.check();
      json.writeStartObject();
      text("topic", note.topic());
      text("text", note.text());
      if (note.lead()) {
        json.writeBooleanProperty("lead", true);
      }
      json.writeEndObject();
    }
    json.writeEndArray();
  }

  private void coverage(Coverage coverage) {
    json.writeObjectPropertyStart("coverage");
    parts(coverage);
    json.writeEndObject();
  }

  private void parts(Coverage coverage) {
    json.writeObjectPropertyStart("lookedAt");
    coverage.lookedAt().forEach((kind, count) -> json.writeNumberProperty(kind, count));
    json.writeEndObject();
    json.writeObjectPropertyStart("notRead");
    coverage.notRead().forEach((reason, count) -> json.writeNumberProperty(reason, count));
    json.writeEndObject();
    strings("gaps", coverage.gaps());
  }

  private void finding(Finding finding) {
    Subject subject = finding.subject();
    json.writeStartObject();
    text("cause", finding.cause().id());
    text("layer", finding.layer().name().toLowerCase(Locale.ROOT));
    text("severity", finding.severity().name().toLowerCase(Locale.ROOT));
    text("claim", finding.claim());
    text("cache", subject.cache());
    address("slab", subject.slab());
    address("object", subject.object());
    address("address", subject.address());
    address("physical", subject.physical());
    word("raw", subject.raw(), subject);
    word("decoded", subject.decoded(), subject);
    evidence("evidence", finding.evidence());
    evidence("against", finding.against());
    if (!finding.cause().isArtefact()) {
      text("fate", finding.fate().name().toLowerCase(Locale.ROOT));
    }
    text("fingerprint", finding.fingerprint());
    json.writeEndObject();
  }

  private void evidence(String name, List<Evidence> list) {
    json.writeArrayPropertyStart(name);
    for (Evidence evidence : list) {
      Cancellation.check();
      json.writeStartObject();
      text("sentence", evidence.sentence());
      switch (evidence) {
        case Evidence.WordAt(long at, long physical, long raw, long decoded, String _) -> {
          text("kind", "word");
          address("address", at);
          address("physical", physical);
          address("raw", raw);
          address("decoded", decoded);
        }
        case Evidence.ChainBroken(String chain, long from, long to, int step, String _) -> {
          text("kind", "chain");
          text("list", chain);
          address("from", from);
          hex("to", to);
          json.writeNumberProperty("step", step);
        }
        case Evidence.BytesAt(long at, long physical, String hex, int from, int to, String _) -> {
          text("kind", "bytes");
          address("address", at);
          address("physical", physical);
          text("hex", hex);
          json.writeNumberProperty("markFrom", from);
          json.writeNumberProperty("markTo", to);
        }
        case Evidence.LoggedBytes bytes -> {
          text("kind", "logged-bytes");
          address("address", bytes.address());
          address("physical", bytes.physical());
          text("hex", bytes.hex());
          json.writeNumberProperty("markFrom", bytes.markFrom());
          json.writeNumberProperty("markTo", bytes.markTo());
          json.writeNumberProperty("expected", bytes.expected());
        }
        case Evidence.Run(long at, long physical, int length, String pattern, String _) -> {
          text("kind", "run");
          address("address", at);
          address("physical", physical);
          json.writeNumberProperty("length", length);
          text("pattern", pattern);
        }
        case Evidence.SlabPicture picture -> {
          text("kind", "slab");
          address("first", picture.first());
          json.writeNumberProperty("stride", picture.stride());
          text("cells", picture.cells());
          json.writeArrayPropertyStart("path");
          for (int index : picture.path()) {
            json.writeNumber(index);
          }
          json.writeEndArray();
          json.writeNumberProperty("holder", picture.holder());
          json.writeNumberProperty("target", picture.target());
        }
        case Evidence.CountMismatch(String what, long expected, long actual, String _) -> {
          text("kind", "count");
          text("what", what);
          json.writeNumberProperty("expected", expected);
          json.writeNumberProperty("actual", actual);
        }
        case Evidence.PageLooksLike(long pfn, String looks, String _) -> {
          text("kind", "page");
          address("pfn", pfn);
          text("looks", looks);
        }
        case Evidence.WhatIf(String change, String _) -> {
          text("kind", "what-if");
          text("change", change);
        }
        case Evidence.LogLineSays(long timestamp, String line, String _) -> {
          text("kind", "log");
          json.writeNumberProperty("timestampNanos", timestamp);
          text("line", line);
        }
      }
      json.writeEndObject();
    }
    json.writeEndArray();
  }

  private void verdict(DumpReport report) {
    Verdict verdict = report.verdict();
    json.writeObjectPropertyStart("verdict");
    text("kind", verdict.kind());
    text("summary", verdict.summary());
    strings("reasons", verdict.reasons());
    json.writeObjectPropertyStart("coverage");
    json.writeObjectPropertyStart("pages");
    json.writeNumberProperty("stored", report.dump().pages().stored());
    if (report.pagesDecoded().isPresent()) {
      json.writeNumberProperty("decoded", report.pagesDecoded().getAsLong());
    }
    json.writeEndObject();
    json.writeArrayPropertyStart("domains");
    report.coverageByDomain().forEach(this::domain);
    json.writeEndArray();
    json.writeEndObject();
    json.writeEndObject();
  }

  private void domain(String name, Coverage coverage) {
    json.writeStartObject();
    text("domain", name);
    parts(coverage);
    json.writeEndObject();
  }

  /// A word may hold all ones itself: it is known where the finding has a place.
  private void word(String name, long value, Subject subject) {
    if (value == Evidence.UNKNOWN
        && (name.equals("decoded") || subject.address() == Evidence.UNKNOWN)) {
      json.writeNullProperty(name);
    } else if (value == Evidence.UNKNOWN) {
      json.writeStringProperty(name, "0xffffffffffffffff");
    } else {
      hex(name, value);
    }
  }
}
