package org.vmcheck.json;

import java.io.StringWriter;
import java.util.List;
import org.vmcheck.finding.SlabListing;
import org.vmcheck.io.Printable;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;

/// The slabs of one cache as a JSON array, one object a slab, with its objects.
public final class SlabListingWriter {
  private SlabListingWriter() {}

  public static String write(List<SlabListing> slabs) {
    StringWriter out = new StringWriter();
    try (JsonGenerator json = new JsonFactory().createGenerator(ObjectWriteContext.empty(), out)) {
      json.writeStartArray();
      for (SlabListing slab : slabs) {
        json.writeRaw('\n');
        json.writeStartObject();
        json.writeStringProperty("slab", "0x" + Long.toHexString(slab.slab()));
        json.writeStringProperty("memory", "0x" + Long.toHexString(slab.base()));
        json.writeNumberProperty("total", slab.total());
        json.writeNumberProperty("inuse", slab.inuse());
        json.writeStringProperty("place", Printable.of(slab.place()));
        json.writeBooleanProperty("frozen", slab.frozen());
        json.writeStringProperty("caution", Printable.of(slab.caution()));
        json.writeArrayPropertyStart("objects");
        for (SlabListing.Slot slot : slab.objects()) {
          json.writeStartObject();
          json.writeNumberProperty("index", slot.index());
          json.writeStringProperty("address", "0x" + Long.toHexString(slot.address()));
          json.writeStringProperty("state", slot.state().word());
          json.writeStringProperty("list", Printable.of(slot.list()));
          json.writeEndObject();
        }
        json.writeEndArray();
        json.writeEndObject();
      }
      json.writeEndArray();
    }
    return out.append('\n').toString();
  }
}
