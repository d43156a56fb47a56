package org.vmcheck.json;

import java.io.Writer;
import org.vmcheck.finding.SlabListing;
import org.vmcheck.io.Printable;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.StreamWriteFeature;
import tools.jackson.core.json.JsonFactory;

/// The slabs of one cache as a JSON array, one object a slab, with its objects. Each slab is
/// written when it comes.
public final class SlabListingWriter implements AutoCloseable {
  private final JsonGenerator json;

  /// @param out is flushed, and not closed
  public SlabListingWriter(Writer out) {
    json =
        JsonFactory.builder()
            .disable(StreamWriteFeature.AUTO_CLOSE_TARGET)
            .build()
            .createGenerator(ObjectWriteContext.empty(), out);
    json.writeStartArray();
  }

  public void write(SlabListing slab) {
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

  @Override
  public void close() {
    json.writeEndArray();
    json.writeRaw('\n');
    json.close();
  }
}
