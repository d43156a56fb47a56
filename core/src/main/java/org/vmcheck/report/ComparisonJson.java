package org.vmcheck.report;

import java.io.StringWriter;
import org.vmcheck.archive.Comparison;
import org.vmcheck.archive.Comparison.CacheChange;
import org.vmcheck.archive.Comparison.Change;
import org.vmcheck.archive.Comparison.CheckChange;
import org.vmcheck.archive.Comparison.FindingChange;
import org.vmcheck.archive.Comparison.Regression;
import org.vmcheck.archive.Side;
import org.vmcheck.finding.DumpReport;
import org.vmcheck.json.JsonWriter;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.PrettyPrinter;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.core.util.DefaultPrettyPrinter;

/// A comparison as JSON, schema version 1: `json/comparison.schema.json`.
public final class ComparisonJson extends JsonWriter {
  private static final int SCHEMA_VERSION = 1;

  private ComparisonJson(JsonGenerator json) {
    super(json);
  }

  public static String render(Comparison comparison) {
    StringWriter out = new StringWriter();
    ObjectWriteContext context =
        new ObjectWriteContext.Base() {
          @Override
          public PrettyPrinter getPrettyPrinter() {
            return new DefaultPrettyPrinter();
          }
        };
    try (JsonGenerator generator = new JsonFactory().createGenerator(context, out)) {
      new ComparisonJson(generator).comparison(comparison);
    }
    return out.append('\n').toString();
  }

  private void comparison(Comparison comparison) {
    json.writeStartObject();
    json.writeNumberProperty("schemaVersion", SCHEMA_VERSION);
    json.writeBooleanProperty("regression", comparison.isRegression());
    text("policy", comparison.policy());
    side("base", comparison.base());
    side("new", comparison.next());
    json.writeArrayPropertyStart("regressions");
    for (Regression regression : comparison.regressions()) {
      json.writeStartObject();
      text("rule", regression.rule().word());
      text("subject", regression.subject());
      text("sentence", regression.sentence());
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeArrayPropertyStart("findings");
    comparison.findings().forEach(this::finding);
    json.writeEndArray();
    json.writeArrayPropertyStart("checks");
    comparison.checks().forEach(this::check);
    json.writeEndArray();
    json.writeArrayPropertyStart("changes");
    for (Change change : comparison.changes()) {
      json.writeStartObject();
      text("subject", change.subject());
      text("before", change.before());
      text("after", change.after());
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeArrayPropertyStart("caches");
    comparison.caches().forEach(this::cache);
    json.writeEndArray();
    strings("notes", comparison.notes());
    json.writeEndObject();
  }

  private void side(String name, Side side) {
    json.writeObjectPropertyStart(name);
    text("name", side.name());
    json.writeArrayPropertyStart("dumps");
    for (DumpReport report : side.reports()) {
      json.writeStartObject();
      text("path", report.dump().path());
      text("release", report.kernel().map(kernel -> kernel.release()).orElse(""));
      text("verdict", report.verdict().kind());
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeEndObject();
  }

  private void finding(FindingChange change) {
    json.writeStartObject();
    text("state", ComparisonText.word(change.state()));
    text("fingerprint", change.finding().fingerprint());
    text("check", change.finding().check());
    text("cause", change.finding().cause().id());
    text("claim", change.finding().claim());
    text("dump", change.report().dump().path());
    json.writeNumberProperty("baseCount", change.baseCount());
    json.writeNumberProperty("baseDumps", change.baseDumps());
    json.writeNumberProperty("newCount", change.nextCount());
    json.writeNumberProperty("newDumps", change.nextDumps());
    text("accepted", change.accepted());
    json.writeEndObject();
  }

  private void check(CheckChange check) {
    json.writeStartObject();
    text("id", check.id());
    text("base", check.base().word());
    text("new", check.next().word());
    text("baseAnswer", check.baseWords());
    text("newAnswer", check.nextWords());
    json.writeNumberProperty("baseRan", check.baseRan());
    json.writeNumberProperty("newRan", check.nextRan());
    json.writeEndObject();
  }

  private void cache(CacheChange cache) {
    json.writeStartObject();
    text("name", cache.name());
    json.writeNumberProperty("baseObjects", cache.baseObjects());
    json.writeNumberProperty("newObjects", cache.nextObjects());
    json.writeNumberProperty("baseBytes", cache.baseBytes());
    json.writeNumberProperty("newBytes", cache.nextBytes());
    json.writeBooleanProperty("reclaimable", cache.reclaimable());
    json.writeBooleanProperty("likelyLeak", cache.isLeak());
    json.writeEndObject();
  }
}
