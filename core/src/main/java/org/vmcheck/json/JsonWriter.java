package org.vmcheck.json;

import java.util.List;
import org.vmcheck.finding.Evidence;
import org.vmcheck.io.Printable;
import tools.jackson.core.JsonGenerator;

/// Writes members of JSON: text of a dump escaped, addresses as hexadecimal strings.
public abstract class JsonWriter {
  protected final JsonGenerator json;

  protected JsonWriter(JsonGenerator json) {
    this.json = json;
  }

  protected final void text(String name, String value) {
    json.writeStringProperty(name, Printable.of(value));
  }

  protected final void strings(String name, List<String> values) {
    json.writeArrayPropertyStart(name);
    values.forEach(value -> json.writeString(Printable.of(value)));
    json.writeEndArray();
  }

  protected final void hex(String name, long value) {
    json.writeStringProperty(name, "0x" + Long.toHexString(value));
  }

  /// An address, or null where it is not known.
  protected final void address(String name, long value) {
    if (value == Evidence.UNKNOWN) {
      json.writeNullProperty(name);
    } else {
      hex(name, value);
    }
  }
}
