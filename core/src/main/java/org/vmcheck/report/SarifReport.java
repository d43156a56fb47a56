package org.vmcheck.report;

import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.CheckOutcome;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;
import org.vmcheck.finding.Severity;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.Printable;
import org.vmcheck.json.JsonWriter;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.PrettyPrinter;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.core.util.DefaultPrettyPrinter;

/// SARIF 2.1.0 (OASIS standard): one run, a rule a cause, a result a finding. The fingerprint is
/// made of names, so a finding stays the same from one dump to the next.
public final class SarifReport extends JsonWriter {
  /// How a result stands to the one it is compared with (SARIF 3.27.24).
  public enum Baseline {
    /// Not compared.
    NONE,
    NEW,
    UNCHANGED,
    ABSENT
  }

  /// A finding with what a comparison says of it.
  ///
  /// @param accepted why it is accepted; empty if it is not
  public record Result(DumpReport report, Finding finding, Baseline baseline, String accepted) {}

  private final Map<Cause, Integer> rules = new TreeMap<>();

  private SarifReport(JsonGenerator json) {
    super(json);
  }

  public static String render(List<DumpReport> reports) {
    return render(reports, List.of());
  }

  /// @param unopened dumps without a report: each an invocation that failed
  public static String render(List<DumpReport> reports, List<Unopened> unopened) {
    List<Result> results =
        reports.stream()
            .flatMap(
                report ->
                    report.findings().stream()
                        .map(finding -> new Result(report, finding, Baseline.NONE, "")))
            .toList();
    return render(reports, unopened, results);
  }

  /// @param reports of the dumps that were checked
  /// @param results the findings to list
  public static String render(
      List<DumpReport> reports, List<Unopened> unopened, List<Result> results) {
    StringWriter out = new StringWriter();
    ObjectWriteContext context =
        new ObjectWriteContext.Base() {
          @Override
          public PrettyPrinter getPrettyPrinter() {
            return new DefaultPrettyPrinter();
          }
        };
    try (JsonGenerator generator = new JsonFactory().createGenerator(context, out)) {
      new SarifReport(generator).log(reports, unopened, results);
    }
    return out.append('\n').toString();
  }

  private void log(List<DumpReport> reports, List<Unopened> unopened, List<Result> results) {
    results.forEach(result -> rules.putIfAbsent(result.finding().cause(), 0));
    int index = 0;
    for (Map.Entry<Cause, Integer> rule : rules.entrySet()) {
      rule.setValue(index++);
    }
    json.writeStartObject();
    text("$schema", "https://json.schemastore.org/sarif-2.1.0.json");
    text("version", "2.1.0");
    json.writeArrayPropertyStart("runs");
    json.writeStartObject();
    driver(reports);
    json.writeArrayPropertyStart("invocations");
    reports.forEach(this::invocation);
    unopened.forEach(this::invocation);
    json.writeEndArray();
    json.writeArrayPropertyStart("artifacts");
    for (DumpReport report : reports) {
      json.writeStartObject();
      location(report);
      json.writeNumberProperty("length", report.dump().fileBytes());
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeArrayPropertyStart("results");
    results.forEach(this::result);
    json.writeEndArray();
    json.writeEndObject();
    json.writeEndArray();
    json.writeEndObject();
  }

  private void driver(List<DumpReport> reports) {
    json.writeObjectPropertyStart("tool");
    json.writeObjectPropertyStart("driver");
    text("name", "vmcheck");
    if (!reports.isEmpty()) {
      text("version", reports.getFirst().tool().replaceFirst("^\\S+ ", ""));
    }
    json.writeArrayPropertyStart("rules");
    for (Cause cause : rules.keySet()) {
      json.writeStartObject();
      text("id", cause.id());
      message("fullDescription", cause.explanation());
      message("help", "What to do: " + cause.whatToDo());
      json.writeObjectPropertyStart("properties");
      text("kind", cause.isArtefact() ? "artefact of the dump" : "real corruption");
      text("reference", cause.reference());
      json.writeEndObject();
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeEndObject();
    json.writeEndObject();
  }

  /// Checks that did not run, and the verdict, belong to the run and not to a result.
  private void invocation(DumpReport report) {
    boolean failed = report.checks().stream().anyMatch(CheckOutcome.Failed.class::isInstance);
    json.writeStartObject();
    json.writeBooleanProperty("executionSuccessful", !failed);
    json.writeArrayPropertyStart("toolExecutionNotifications");
    for (CheckOutcome outcome : report.checks()) {
      switch (outcome) {
        case CheckOutcome.Ran _ -> {}
        case CheckOutcome.NothingToLookAt nothing ->
            notification("note", nothing.id() + " had nothing to look at: " + nothing.why());
        case CheckOutcome.Skipped skipped ->
            notification("note", skipped.id() + " skipped: " + String.join("; ", skipped.unmet()));
        case CheckOutcome.Declined declined ->
            notification("note", declined.id() + " declined: " + declined.why());
        case CheckOutcome.Failed broken ->
            notification("error", broken.id() + " failed: " + broken.reason());
      }
      for (Note note : outcome.notesIfRan()) {
        if (note.topic().equals(Note.NOT_SHOWN)) {
          notification("warning", outcome.id() + ": " + note.text());
        }
      }
    }
    json.writeEndArray();
    json.writeObjectPropertyStart("properties");
    text("dump", report.dump().path());
    text("verdict", report.verdict().kind());
    text("summary", report.verdict().summary());
    json.writeEndObject();
    json.writeEndObject();
  }

  private void invocation(Unopened dump) {
    json.writeStartObject();
    json.writeBooleanProperty("executionSuccessful", false);
    json.writeArrayPropertyStart("toolExecutionNotifications");
    notification("error", dump.reason());
    json.writeEndArray();
    json.writeObjectPropertyStart("properties");
    text("dump", dump.dump());
    json.writeEndObject();
    json.writeEndObject();
  }

  private void notification(String level, String text) {
    json.writeStartObject();
    text("level", level);
    message("message", text);
    json.writeEndObject();
  }

  private void result(Result result) {
    Cancellation.check();
    Finding finding = result.finding();
    json.writeStartObject();
    text("ruleId", finding.cause().id());
    json.writeNumberProperty("ruleIndex", rules.get(finding.cause()));
    text("level", level(finding));
    message("message", finding.claim());
    json.writeArrayPropertyStart("locations");
    json.writeStartObject();
    json.writeObjectPropertyStart("physicalLocation");
    json.writeObjectPropertyStart("artifactLocation");
    text("uri", uri(result.report().dump().path()));
    json.writeEndObject();
    if (finding.subject().physical() >= 0) {
      // Kernel addresses do not fit SARIF's signed number: the physical one does.
      json.writeObjectPropertyStart("address");
      json.writeNumberProperty("absoluteAddress", finding.subject().physical());
      text("kind", "data");
      if (finding.subject().address() != Evidence.UNKNOWN) {
        text("name", "0x" + Long.toHexString(finding.subject().address()));
      }
      json.writeEndObject();
    }
    json.writeEndObject();
    if (!finding.subject().cache().isEmpty()) {
      json.writeArrayPropertyStart("logicalLocations");
      json.writeStartObject();
      text("name", finding.subject().cache());
      text("kind", "slab cache");
      json.writeEndObject();
      json.writeEndArray();
    }
    json.writeEndObject();
    json.writeEndArray();
    json.writeObjectPropertyStart("partialFingerprints");
    text("vmcheck/v1", finding.fingerprint());
    json.writeEndObject();
    if (result.baseline() != Baseline.NONE) {
      text("baselineState", result.baseline().name().toLowerCase(Locale.ROOT));
    }
    if (!result.accepted().isEmpty()) {
      json.writeArrayPropertyStart("suppressions");
      json.writeStartObject();
      text("kind", "external");
      text("justification", result.accepted());
      json.writeEndObject();
      json.writeEndArray();
    }
    json.writeObjectPropertyStart("properties");
    text("check", finding.check());
    text("layer", finding.layer().name().toLowerCase(Locale.ROOT));
    json.writeArrayPropertyStart("evidence");
    finding.evidence().forEach(fact -> json.writeString(Printable.of(fact.sentence())));
    json.writeEndArray();
    json.writeArrayPropertyStart("against");
    finding.against().forEach(fact -> json.writeString(Printable.of(fact.sentence())));
    json.writeEndArray();
    json.writeEndObject();
    json.writeEndObject();
  }

  private static String level(Finding finding) {
    if (finding.cause().isArtefact()) {
      return "warning";
    }
    return finding.severity() == Severity.CORRUPT ? "error" : "warning";
  }

  private void location(DumpReport report) {
    json.writeObjectPropertyStart("location");
    text("uri", uri(report.dump().path()));
    json.writeEndObject();
  }

  private void message(String name, String text) {
    json.writeObjectPropertyStart(name);
    text("text", text);
    json.writeEndObject();
  }

  /// A path as a relative or absolute URI reference: all but the unreserved characters and the
  /// slash percent-encoded.
  private static String uri(String path) {
    StringBuilder uri = new StringBuilder(path.startsWith("/") ? "file://" : "");
    for (byte b : Printable.of(path).getBytes(StandardCharsets.UTF_8)) {
      char c = (char) (b & 0xff);
      boolean plain =
          (c >= 'a' && c <= 'z')
              || (c >= 'A' && c <= 'Z')
              || (c >= '0' && c <= '9')
              || "/-._~".indexOf(c) >= 0;
      if (plain) {
        uri.append(c);
      } else {
        uri.append("%%%02X".formatted((int) c));
      }
    }
    return uri.toString();
  }
}
