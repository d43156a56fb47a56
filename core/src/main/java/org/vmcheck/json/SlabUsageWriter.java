package org.vmcheck.json;

import java.io.StringWriter;
import java.util.List;
import org.vmcheck.finding.SlabUsage;
import org.vmcheck.io.Printable;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;

/// The table of slab caches as a JSON array, one object a cache.
public final class SlabUsageWriter {
  private SlabUsageWriter() {}

  public static String write(List<SlabUsage> rows) {
    StringWriter out = new StringWriter();
    try (JsonGenerator json = new JsonFactory().createGenerator(ObjectWriteContext.empty(), out)) {
      json.writeStartArray();
      for (SlabUsage row : rows) {
        json.writeRaw('\n');
        json.writeStartObject();
        json.writeStringProperty("cache", "0x" + Long.toHexString(row.cache()));
        json.writeStringProperty("name", Printable.of(row.name()));
        json.writeNumberProperty("objectSize", row.objectSize());
        json.writeNumberProperty("allocated", row.allocated());
        json.writeNumberProperty("total", row.total());
        json.writeNumberProperty("slabs", row.slabs());
        json.writeNumberProperty("slabBytes", row.slabBytes());
        json.writeEndObject();
      }
      json.writeEndArray();
    }
    return out.append('\n').toString();
  }
}
