package org.vmcheck.json;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.vmcheck.finding.Origin;
import org.vmcheck.io.MalformedFileException;

/// Reads back what [OriginWriter] writes into a report.
final class OriginReader {
  private OriginReader() {}

  static Origin origin(JsonObject json) throws MalformedFileException {
    List<Origin.Flip> flips = new ArrayList<>();
    for (JsonObject flip : json.objects("flips")) {
      flips.add(
          new Origin.Flip(
              count(flip, "dump"),
              flip.string("check"),
              flip.string("owner"),
              flip.number("offset", -1, Long.MAX_VALUE),
              flip.word("physical"),
              (int) flip.number("bit", 0, 7),
              flip.flag("set")));
    }
    List<Origin.Claim> claims = new ArrayList<>();
    for (JsonObject claim : json.objects("claims")) {
      claims.add(
          new Origin.Claim(
              claim.string("about"),
              claim.string("sentence"),
              count(claim, "count"),
              count(claim, "of"),
              claim.decimal("chance"),
              claim.flag("earned")));
    }
    return new Origin(
        side(json),
        count(json, "damages"),
        flips,
        signs(json.object("signs")),
        claims,
        json.strings("refutations"));
  }

  private static Origin.Side side(JsonObject json) throws MalformedFileException {
    String words = json.string("side");
    for (Origin.Side side : Origin.Side.values()) {
      if (side.words().equals(words)) {
        return side;
      }
    }
    throw json.wrong("side", "hardware, software or not decided");
  }

  private static Origin.Signs signs(JsonObject json) throws MalformedFileException {
    Set<Long> frames = new TreeSet<>();
    for (String frame : json.strings("frames")) {
      try {
        frames.add(Long.parseUnsignedLong(frame.replaceFirst("^0x", ""), 16));
      } catch (NumberFormatException _) {
        throw json.wrong("frames", "hexadecimal numbers");
      }
    }
    return new Origin.Signs(
        count(json, "edac"),
        count(json, "machineChecks"),
        count(json, "firmware"),
        count(json, "injected"),
        json.number("pagesGivenUp", 0, 1L << 52),
        frames,
        pageShift(json),
        json.flag("watched"),
        json.flag("guest"));
  }

  private static int pageShift(JsonObject json) throws MalformedFileException {
    long bytes = json.number("pageBytes", 1 << 12, 1 << 16);
    if (Long.bitCount(bytes) != 1) {
      throw json.wrong("pageBytes", "a power of two");
    }
    return Long.numberOfTrailingZeros(bytes);
  }

  private static int count(JsonObject json, String name) throws MalformedFileException {
    return (int) json.number(name, 0, Integer.MAX_VALUE);
  }
}
