package org.vmcheck.json;

import org.vmcheck.finding.Origin;
import org.vmcheck.io.Printable;
import tools.jackson.core.JsonGenerator;

/// Whether hardware or software is to blame, as the property `origin` of a report.
public final class OriginWriter extends JsonWriter {
  public OriginWriter(JsonGenerator json) {
    super(json);
  }

  public void origin(Origin origin) {
    json.writeObjectPropertyStart("origin");
    text("side", origin.side().words());
    text("paragraph", origin.paragraph());
    json.writeNumberProperty("damages", origin.damages());
    json.writeArrayPropertyStart("flips");
    origin.flips().forEach(this::flip);
    json.writeEndArray();
    signs(origin.signs());
    json.writeArrayPropertyStart("claims");
    for (Origin.Claim claim : origin.claims()) {
      json.writeStartObject();
      text("about", claim.about());
      text("sentence", claim.sentence());
      json.writeNumberProperty("count", claim.count());
      json.writeNumberProperty("of", claim.of());
      json.writeNumberProperty("chance", claim.chance());
      json.writeBooleanProperty("earned", claim.earned());
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeArrayPropertyStart("refutations");
    origin.refutations().forEach(words -> json.writeString(Printable.of(words)));
    json.writeEndArray();
    json.writeEndObject();
  }

  private void flip(Origin.Flip flip) {
    json.writeStartObject();
    json.writeNumberProperty("dump", flip.dump());
    text("check", flip.check());
    text("owner", flip.owner());
    json.writeNumberProperty("offset", flip.offset());
    text("physical", "0x" + Long.toHexString(flip.physical()));
    json.writeNumberProperty("bit", flip.bit());
    json.writeNumberProperty("lane64", flip.lane64());
    json.writeNumberProperty("lane32", flip.lane32());
    json.writeBooleanProperty("set", flip.isSet());
    json.writeEndObject();
  }

  private void signs(Origin.Signs signs) {
    json.writeObjectPropertyStart("signs");
    json.writeNumberProperty("edac", signs.edac());
    json.writeNumberProperty("machineChecks", signs.machineChecks());
    json.writeNumberProperty("firmware", signs.firmware());
    json.writeNumberProperty("injected", signs.injected());
    json.writeNumberProperty("pagesGivenUp", signs.pagesGivenUp());
    json.writeArrayPropertyStart("frames");
    signs.frames().forEach(pfn -> json.writeString("0x" + Long.toHexString(pfn)));
    json.writeEndArray();
    json.writeNumberProperty("pageBytes", 1L << signs.pageShift());
    json.writeBooleanProperty("watched", signs.isWatched());
    json.writeBooleanProperty("guest", signs.isGuest());
    json.writeEndObject();
  }
}
