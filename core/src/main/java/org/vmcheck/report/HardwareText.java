package org.vmcheck.report;

import java.io.StringWriter;
import java.util.Locale;
import org.vmcheck.archive.HostHardware;
import org.vmcheck.finding.Origin;
import org.vmcheck.io.Printable;
import org.vmcheck.json.OriginWriter;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;

/// Hardware or software, host by host, for a person and as JSON Lines.
public final class HardwareText {
  private HardwareText() {}

  /// A paragraph a host.
  public static String render(HostHardware.Hosts hosts) {
    StringBuilder out = new StringBuilder();
    for (HostHardware host : hosts.hosts()) {
      Origin origin = host.origin();
      out.append(Printable.of(host.host())).append(": ").append(origin.side().words()).append('\n');
      origin
          .claims()
          .forEach(
              claim ->
                  out.append(claim.earned() ? "  + " : "    ")
                      .append(Printable.of(claim.sentence()))
                      .append('\n'));
      for (Origin.Flip flip : origin.flips()) {
        out.append(
            "    crash %s: physical 0x%x, bit %d of the byte, bit %d of the 64-bit word, %s, %s%n"
                .formatted(
                    host.crashes().get(flip.dump()),
                    flip.physical(),
                    flip.bit(),
                    flip.lane64(),
                    flip.isSet() ? "0 to 1" : "1 to 0",
                    Printable.of(flip.owner())));
      }
      origin
          .refutations()
          .forEach(words -> out.append("  ? ").append(Printable.of(words)).append('\n'));
    }
    out.append(
        String.format(
            Locale.ROOT,
            "%,d %s weighed; %,d %s without damage and without such lines in the log%n",
            hosts.dumps(),
            hosts.dumps() == 1 ? "dump" : "dumps",
            hosts.others(),
            hosts.others() == 1 ? "host" : "hosts"));
    return out.toString();
  }

  /// One object a host.
  public static String json(HostHardware.Hosts hosts) {
    StringBuilder all = new StringBuilder();
    for (HostHardware host : hosts.hosts()) {
      StringWriter out = new StringWriter();
      try (JsonGenerator json =
          new JsonFactory().createGenerator(ObjectWriteContext.empty(), out)) {
        json.writeStartObject();
        json.writeStringProperty("host", Printable.of(host.host()));
        json.writeArrayPropertyStart("crashes");
        host.crashes().forEach(json::writeString);
        json.writeEndArray();
        new OriginWriter(json).origin(host.origin());
        json.writeEndObject();
      }
      all.append(out).append('\n');
    }
    return all.toString();
  }
}
