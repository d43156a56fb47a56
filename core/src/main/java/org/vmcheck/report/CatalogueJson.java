package org.vmcheck.report;

import java.io.StringWriter;
import java.time.Instant;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.archive.BatchScanner;
import org.vmcheck.archive.CatalogueEntry;
import org.vmcheck.archive.CrashGroup;
import org.vmcheck.archive.CrashSignature;
import org.vmcheck.archive.FileUri;
import org.vmcheck.archive.Regressions;
import org.vmcheck.archive.Trend;
import org.vmcheck.finding.Note;
import org.vmcheck.io.Printable;
import org.vmcheck.json.JsonWriter;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;

/// JSON Lines of the catalogue and of a scan: one object a line.
public final class CatalogueJson extends JsonWriter {
  private CatalogueJson(JsonGenerator json) {
    super(json);
  }

  private interface Body {
    void write(CatalogueJson out);
  }

  private static String line(Body body) {
    StringWriter out = new StringWriter();
    try (JsonGenerator generator =
        new JsonFactory().createGenerator(ObjectWriteContext.empty(), out)) {
      generator.writeStartObject();
      body.write(new CatalogueJson(generator));
      generator.writeEndObject();
    }
    return out.append('\n').toString();
  }

  /// One incident.
  public static String incident(CatalogueEntry entry) {
    return line(out -> out.entry(entry));
  }

  /// One incident as an event of a scan.
  public static String judged(CatalogueEntry entry) {
    return line(
        out -> {
          out.text("event", "incident");
          out.entry(entry);
        });
  }

  /// A place that a scan could not look at.
  public static String problem(FileUri where, String what) {
    return line(
        out -> {
          out.text("event", "problem");
          out.text("path", where.words());
          out.text("location", where.uri());
          out.text("problem", what);
        });
  }

  /// The end of a scan.
  public static String summary(BatchScanner.Summary summary) {
    return line(
        out -> {
          JsonGenerator json = out.json;
          out.text("event", "summary");
          json.writeNumberProperty("incidents", summary.incidents());
          json.writeNumberProperty("judged", summary.judged());
          json.writeNumberProperty("unchanged", summary.unchanged());
          json.writeNumberProperty("vanished", summary.vanished());
          json.writeNumberProperty("problems", summary.problems());
          json.writeNumberProperty("withoutDump", summary.withoutDump());
          json.writeObjectPropertyStart("verdicts");
          new TreeMap<>(summary.verdicts())
              .forEach((verdict, count) -> json.writeNumberProperty(verdict, count));
          json.writeEndObject();
          json.writeNumberProperty("bytes", summary.bytes());
          json.writeNumberProperty("seconds", Math.round(summary.seconds() * 1000) / 1000.0);
        });
  }

  /// One group of incidents.
  public static String group(CrashGroup group) {
    return line(
        out -> {
          out.text("key", group.key());
          out.text("text", group.text());
          out.json.writeNumberProperty("count", group.count());
          out.strings("kernels", List.copyOf(group.kernels()));
          out.strings("verdicts", List.copyOf(group.verdicts()));
          out.strings("newestIds", group.newest());
        });
  }

  /// One week of one kernel.
  public static String trend(Trend trend) {
    return line(
        out -> {
          if (trend.week().equals(Trend.UNKNOWN)) {
            out.json.writeNullProperty("week");
          } else {
            out.text("week", trend.week().toString());
          }
          out.text("kernel", trend.kernel());
          out.json.writeNumberProperty("count", trend.count());
          out.counts("verdicts", trend.verdicts());
          out.counts("causes", trend.causes());
        });
  }

  /// What is new, more frequent or gone in a kernel.
  public static String regression(Regressions.Change change) {
    return line(
        out -> {
          out.text("change", change.kind().word());
          out.text("of", change.by().name().toLowerCase(Locale.ROOT));
          out.text("key", change.key());
          out.text("text", change.text());
          out.json.writeNumberProperty("before", change.before());
          out.json.writeNumberProperty("now", change.now());
          out.strings("newestIds", change.newest());
        });
  }

  private void counts(String name, Map<String, Long> counts) {
    json.writeObjectPropertyStart(name);
    counts.forEach((key, count) -> json.writeNumberProperty(Printable.of(key), count));
    json.writeEndObject();
  }

  private void entry(CatalogueEntry entry) {
    text("id", entry.id());
    text("origin", entry.origin());
    text("path", entry.path());
    text("location", entry.location().uri());
    text("state", entry.state().word());
    text("verdict", entry.verdict());
    text("summary", entry.summary());
    strings("causes", entry.causes());
    if (!entry.problem().isEmpty()) {
      text("problem", entry.problem());
    }
    text("format", entry.format());
    json.writeNumberProperty("bytes", entry.bytes());
    text("kernel", entry.release());
    text("machine", entry.machine());
    text("nodename", entry.nodename());
    text("host", entry.host());
    text("namedTime", entry.namedTime());
    if (entry.crashTime() > 0) {
      text("crashTime", Instant.ofEpochSecond(entry.crashTime()).toString());
    } else {
      json.writeNullProperty("crashTime");
    }
    text("panic", entry.panic());
    signature("panicSignature", entry.panicSignature());
    signature("damageSignature", entry.damageSignature());
    strings("files", entry.files());
    json.writeArrayPropertyStart("remarks");
    for (Note remark : entry.remarks()) {
      json.writeString(Printable.of(remark.text()));
    }
    json.writeEndArray();
    json.writeBooleanProperty("vanished", entry.vanished());
    if (!entry.duplicateOf().isEmpty()) {
      text("duplicateOf", entry.duplicateOf());
    }
    text("headHash", entry.headHash());
    text("tailHash", entry.tailHash());
    text("tool", entry.tool());
    text("judgedAt", Instant.ofEpochSecond(entry.judgedAt()).toString());
    json.writeNumberProperty("seconds", Math.round(entry.seconds() * 1000) / 1000.0);
  }

  private void signature(String name, CrashSignature signature) {
    json.writeObjectPropertyStart(name);
    text("id", signature.id());
    text("text", signature.text());
    json.writeEndObject();
  }
}
