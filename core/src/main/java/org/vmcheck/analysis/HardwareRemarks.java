package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.vmcheck.finding.Origin;
import org.vmcheck.finding.Origin.Claim;
import org.vmcheck.finding.Origin.Flip;

/// What is counted beside the claims of [HardwareRule] and decides nothing alone: direction and
/// distance of flipped bits, whether they are stuck, and what the kernel recorded of the hardware.
final class HardwareRemarks {
  private final List<Flip> flips;
  private final Origin.Signs signs;
  private final int dumps;
  private final List<Claim> claims = new ArrayList<>();

  HardwareRemarks(List<Flip> flips, Origin.Signs signs, int dumps) {
    this.flips = flips;
    this.signs = signs;
    this.dumps = dumps;
  }

  List<Claim> all() {
    direction();
    distance();
    signs();
    if (!flips.isEmpty() && dumps == 1) {
      claims.add(
          new Claim(
              "stuck or once",
              "one dump cannot tell whether %s stuck or flipped once"
                  .formatted(flips.size() == 1 ? "the bit is" : "the bits are"),
              flips.size(),
              flips.size(),
              1,
              false));
    }
    return claims;
  }

  private void direction() {
    if (flips.size() < 2) {
      return;
    }
    int set = (int) flips.stream().filter(Flip::isSet).count();
    int most = Math.max(set, flips.size() - set);
    double chance =
        most == flips.size() ? Math.min(1, HardwareRule.PATTERNS * Math.pow(2, 1 - most)) : 1;
    claims.add(
        new Claim(
            "direction",
            "%d went from 0 to 1 and %d from 1 to 0%s"
                .formatted(
                    set,
                    flips.size() - set,
                    most == flips.size()
                        ? " (by chance %s)".formatted(HardwareRule.odds(chance))
                        : ""),
            most,
            flips.size(),
            chance,
            most == flips.size() && chance <= HardwareRule.EARNED));
  }

  private void distance() {
    if (flips.isEmpty()) {
      return;
    }
    List<Flip> sorted = flips.stream().sorted(Comparator.comparingLong(Flip::physical)).toList();
    Flip first = sorted.getFirst();
    if (sorted.size() == 1) {
      claims.add(
          new Claim(
              "place",
              "bit %d of the byte at physical 0x%x went from %s (bit %d of the 64-bit word, bit %d of the 32-bit word)"
                  .formatted(
                      first.bit(),
                      first.physical(),
                      first.isSet() ? "0 to 1" : "1 to 0",
                      first.lane64(),
                      first.lane32()),
              1,
              1,
              1,
              false));
      return;
    }
    long frames = sorted.stream().map(this::pfn).distinct().count();
    long differences = 0;
    for (Flip flip : sorted) {
      differences |= (flip.physical() ^ first.physical()) & -8L;
    }
    int shift = differences == 0 ? 0 : Long.numberOfTrailingZeros(differences);
    String spacing =
        frames > 1 && shift >= signs.pageShift()
            ? ", all apart by multiples of 0x%x: what one row or column of memory has, and a walk over an array, too"
                .formatted(1L << shift)
            : "";
    claims.add(
        new Claim(
            "distance",
            frames == 1
                ? "all lie in page frame 0x%x".formatted(pfn(first))
                : "they lie in %d page frames, physical 0x%x to 0x%x%s"
                    .formatted(frames, first.physical(), sorted.getLast().physical(), spacing),
            (int) frames,
            flips.size(),
            1,
            false));
  }

  private void signs() {
    List<String> parts = new ArrayList<>();
    add(parts, signs.edac(), "EDAC line", "EDAC lines");
    add(parts, signs.machineChecks(), "line of machine checks", "lines of machine checks");
    add(parts, signs.firmware(), "line of APEI", "lines of APEI");
    String pages =
        signs.pagesGivenUp() == 0
            ? "no page was taken out of use (hwpoison)"
            : HardwareRule.plural(
                signs.pagesGivenUp(),
                "page was taken out of use (hwpoison)",
                "pages were taken out of use (hwpoison)");
    String guest =
        signs.isGuest() ? "; this is a guest: errors of its memory are in the host's log" : "";
    String watched =
        signs.isWatched() && signs.edac() == 0
            ? ", although a driver watches the memory controllers"
            : "";
    claims.add(
        new Claim(
            "log and pages",
            (parts.isEmpty()
                    ? "the log has no line of EDAC, APEI or machine checks%s and %s%s"
                        .formatted(watched, pages, guest)
                    : "the log has %s; %s%s".formatted(String.join(", ", parts), pages, guest))
                + (signs.injected() > 0
                    ? "; %s of tests that inject errors"
                        .formatted(HardwareRule.plural(signs.injected(), "line is", "lines are"))
                    : ""),
            signs.edac() + signs.machineChecks() + signs.firmware(),
            1,
            1,
            false));
  }

  private long pfn(Flip flip) {
    return flip.pfn(signs.pageShift());
  }

  private static void add(List<String> parts, int count, String one, String many) {
    if (count > 0) {
      parts.add(HardwareRule.plural(count, one, many));
    }
  }
}
