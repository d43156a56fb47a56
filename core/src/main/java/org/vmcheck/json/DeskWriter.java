package org.vmcheck.json;

import java.io.StringWriter;
import java.util.Locale;
import java.util.function.Consumer;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.FindAnswer;
import org.vmcheck.finding.FoundPattern;
import org.vmcheck.finding.Holder;
import org.vmcheck.finding.LeaksAnswer;
import org.vmcheck.finding.ObjectAnswer;
import org.vmcheck.finding.Place;
import org.vmcheck.finding.Reading;
import org.vmcheck.finding.RefsAnswer;
import org.vmcheck.finding.WordAnswer;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;

/// What words are and what lies at addresses as JSON, with the definitions `word` and `place` of
/// the report's schema.
public final class DeskWriter extends JsonWriter {
  private DeskWriter(JsonGenerator json) {
    super(json);
  }

  /// One object.
  public static String word(WordAnswer answer) {
    return write(writer -> writer.answer(answer));
  }

  /// One object.
  public static String refs(RefsAnswer answer) {
    return write(writer -> writer.answer(answer));
  }

  /// One object.
  public static String find(FindAnswer answer) {
    return write(writer -> writer.answer(answer));
  }

  /// One object.
  public static String object(ObjectAnswer answer) {
    return write(writer -> writer.answer(answer));
  }

  /// One object.
  ///
  /// @param top how many caches are written
  public static String leaks(LeaksAnswer answer, int top) {
    return write(writer -> writer.answer(answer, top));
  }

  private static String write(Consumer<DeskWriter> body) {
    StringWriter out = new StringWriter();
    try (JsonGenerator generator =
        new JsonFactory().createGenerator(ObjectWriteContext.empty(), out)) {
      body.accept(new DeskWriter(generator));
    }
    return out.append('\n').toString();
  }

  private void answer(WordAnswer answer) {
    json.writeStartObject();
    hex("value", answer.value());
    json.writeArrayPropertyStart("readings");
    for (Reading reading : answer.readings()) {
      json.writeStartObject();
      word("kind", reading.kind());
      word("grade", reading.grade());
      text("what", reading.what());
      text("why", reading.why());
      if (reading.place().isPresent()) {
        json.writeName("place");
        place(reading.place().get());
      }
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeEndObject();
  }

  private void answer(RefsAnswer answer) {
    json.writeStartObject();
    json.writeName("target");
    place(answer.target());
    hex("start", answer.start());
    json.writeNumberProperty("size", answer.size());
    json.writeNumberProperty("total", answer.total());
    json.writeNumberProperty("pages", answer.pages());
    json.writeNumberProperty("passedOver", answer.passedOver());
    json.writeNumberProperty("unread", answer.unread());
    json.writeArrayPropertyStart("holders");
    for (Holder holder : answer.holders()) {
      json.writeStartObject();
      hex("address", holder.address());
      hex("physical", holder.physical());
      hex("word", holder.word());
      word("rank", holder.rank());
      json.writeName("place");
      place(holder.place());
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeEndObject();
  }

  private void answer(LeaksAnswer answer, int top) {
    json.writeStartObject();
    json.writeNumberProperty("objects", answer.objects());
    json.writeNumberProperty("unreferenced", answer.unreferenced());
    json.writeNumberProperty("bytes", answer.bytes());
    json.writeNumberProperty("notJudged", answer.notJudged());
    json.writeNumberProperty("pages", answer.pages());
    json.writeNumberProperty("passedOver", answer.passedOver());
    json.writeNumberProperty("unread", answer.unread());
    json.writeNumberProperty("absent", answer.absent());
    json.writeArrayPropertyStart("caches");
    for (LeaksAnswer.LeakedCache cache :
        answer.caches().subList(0, Math.min(top, answer.caches().size()))) {
      json.writeStartObject();
      text("cache", cache.cache());
      json.writeNumberProperty("objects", cache.objects());
      json.writeNumberProperty("unreferenced", cache.unreferenced());
      json.writeNumberProperty("bytes", cache.bytes());
      json.writeBooleanProperty("tracked", cache.isTracked());
      json.writeArrayPropertyStart("sites");
      for (LeaksAnswer.Site site : cache.sites()) {
        json.writeStartObject();
        text("text", site.words());
        json.writeNumberProperty("count", site.count());
        json.writeArrayPropertyStart("examples");
        site.examples().forEach(address -> json.writeString("0x" + Long.toHexString(address)));
        json.writeEndArray();
        json.writeEndObject();
      }
      json.writeEndArray();
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeEndObject();
  }

  private void answer(FindAnswer answer) {
    json.writeStartObject();
    json.writeNumberProperty("total", answer.total());
    json.writeNumberProperty("pages", answer.pages());
    json.writeNumberProperty("unread", answer.unread());
    json.writeArrayPropertyStart("found");
    for (FoundPattern found : answer.found()) {
      json.writeStartObject();
      hex("physical", found.physical());
      json.writeName("place");
      place(found.place());
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeEndObject();
  }

  private void answer(ObjectAnswer object) {
    json.writeStartObject();
    hex("address", object.address());
    hex("physical", object.physical());
    text("cache", object.cache());
    hex("slab", object.slab());
    text("place", object.place());
    json.writeNumberProperty("index", object.index());
    json.writeNumberProperty("objects", object.objects());
    hex("object", object.object());
    json.writeNumberProperty("objectSize", object.objectSize());
    json.writeNumberProperty("offset", object.offset());
    text("state", object.state());
    address("pointedBy", object.pointedBy());
    address("slot", object.slot());
    boolean hasPointer =
        object.pointedBy() != Evidence.UNKNOWN && object.slot() != Evidence.UNKNOWN;
    address("raw", hasPointer ? object.raw() : Evidence.UNKNOWN);
    address("decoded", hasPointer ? object.decoded() : Evidence.UNKNOWN);
    text("bytes", object.hex());
    strings("history", object.history());
    strings("neighbours", object.neighbours());
    json.writeEndObject();
  }

  private void place(Place place) {
    json.writeStartObject();
    hex("address", place.address());
    word("kind", place.kind());
    text("name", place.name());
    hex("start", place.start());
    json.writeNumberProperty("offset", place.offset());
    json.writeNumberProperty("size", place.size());
    json.writeNumberProperty("number", place.number());
    text("member", place.member());
    text("state", place.state());
    text("text", place.words());
    json.writeEndObject();
  }

  private void word(String name, Enum<?> value) {
    json.writeStringProperty(name, value.name().toLowerCase(Locale.ROOT).replace('_', '-'));
  }
}
