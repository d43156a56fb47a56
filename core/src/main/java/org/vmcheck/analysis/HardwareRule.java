package org.vmcheck.analysis;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Counted;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Origin;
import org.vmcheck.finding.Origin.Claim;
import org.vmcheck.finding.Origin.Flip;
import org.vmcheck.finding.Subject;

/// Hardware or software: what all findings together tell, of one dump or of all dumps of a host.
/// Every claim has its count and the chance that it is chance, multiplied by the number of patterns
/// that are looked for; one finding alone decides nothing.
public final class HardwareRule {
  /// Patterns that are looked for: lanes of 64 and of 32 bits, direction, distance, the same word.
  static final int PATTERNS = 5;

  /// A claim is earned where chance makes it less often than this.
  static final double EARNED = 0.01;

  private static final int FEWEST_IN_A_LANE = 3;
  private static final int LINE_SHIFT = 6;
  private static final int MAX_NAMED = 6;

  private final List<Flip> flips;
  private final List<Finding> damages;
  private final Origin.Signs signs;
  private final int dumps;
  private final List<Claim> claims = new ArrayList<>();

  private HardwareRule(List<Flip> flips, List<Finding> damages, Origin.Signs signs, int dumps) {
    this.flips = flips;
    this.damages = damages;
    this.signs = signs;
    this.dumps = dumps;
  }

  /// One dump's part.
  ///
  /// @param findings of all kinds
  public record Part(List<Finding> findings, Origin.Signs signs) {}

  /// Weighs one dump; empty if nothing was found and nothing recorded.
  public static Optional<Origin> judge(Part part) {
    return judge(List.of(part));
  }

  /// Weighs dumps of one host; empty if nothing was found and nothing recorded.
  public static Optional<Origin> judge(List<Part> parts) {
    List<Finding> damages = new ArrayList<>();
    List<Flip> flips = new ArrayList<>();
    Origin.Signs signs = Origin.Signs.NONE;
    for (int i = 0; i < parts.size(); i++) {
      Map<Long, Flip> byLine = new LinkedHashMap<>();
      for (Finding finding : parts.get(i).findings) {
        if (!finding.cause().isArtefact()) {
          damages.add(finding);
          // Words of one line of a cache are one event.
          flip(finding, i).ifPresent(f -> byLine.putIfAbsent(f.physical() >>> LINE_SHIFT, f));
        }
      }
      flips.addAll(byLine.values());
      signs = plus(signs, parts.get(i).signs);
    }
    if (damages.isEmpty() && !signs.isAny()) {
      return Optional.empty();
    }
    HardwareRule rule = new HardwareRule(flips, damages, signs, parts.size());
    return Optional.of(rule.weigh());
  }

  private static Origin.Signs plus(Origin.Signs one, Origin.Signs other) {
    Set<Long> frames = new TreeSet<>(one.frames());
    frames.addAll(other.frames());
    return new Origin.Signs(
        one.edac() + other.edac(),
        one.machineChecks() + other.machineChecks(),
        one.firmware() + other.firmware(),
        one.injected() + other.injected(),
        one.pagesGivenUp() + other.pagesGivenUp(),
        frames,
        other.pageShift(),
        one.isWatched() || other.isWatched(),
        one.isGuest() || other.isGuest());
  }

  /// The one bit that a finding comes down to.
  private static Optional<Flip> flip(Finding finding, int dump) {
    if (finding.cause() != Cause.BIT_FLIP && finding.cause() != Cause.TEXT_MODIFIED) {
      return Optional.empty();
    }
    for (Evidence evidence : finding.evidence()) {
      if (evidence instanceof Evidence.LoggedBytes logged
          && logged.physical() != Evidence.UNKNOWN
          && logged.markTo() - logged.markFrom() == 1
          && logged.hex().length() >= 2 * logged.markTo()) {
        int at = logged.markFrom();
        int there = Integer.parseInt(logged.hex(), 2 * at, 2 * at + 2, 16);
        int difference = there ^ logged.expected();
        if (Integer.bitCount(difference) == 1) {
          return Optional.of(
              new Flip(
                  dump,
                  finding.check(),
                  owner(finding),
                  -1,
                  logged.physical() + at,
                  Integer.numberOfTrailingZeros(difference),
                  (there & difference) != 0));
        }
      }
      if (evidence instanceof Evidence.WordAt(long _, long at, long raw, long right, String _)
          && at != Evidence.UNKNOWN
          && right != Evidence.UNKNOWN
          && Long.bitCount(raw ^ right) == 1) {
        int bit = Long.numberOfTrailingZeros(raw ^ right);
        Subject subject = finding.subject();
        return Optional.of(
            new Flip(
                dump,
                finding.check(),
                owner(finding),
                subject.object() == Evidence.UNKNOWN || subject.address() == Evidence.UNKNOWN
                    ? -1
                    : subject.address() - subject.object(),
                at + bit / 8,
                bit % 8,
                (raw >>> bit & 1) != 0));
      }
    }
    return Optional.empty();
  }

  private static String owner(Finding finding) {
    return finding.subject().cache().isEmpty() ? finding.fingerprint() : finding.subject().cache();
  }

  private Origin weigh() {
    // Each says what it sees, whatever the others see.
    boolean inFrames = frames();
    boolean inLane64 = lane64();
    boolean inOneWord = sameWord();
    boolean inLane32 = lane32();
    boolean inStores = stores();
    boolean isHardware = inFrames || inLane64 || inOneWord;
    boolean isSoftware = inLane32 || inStores;
    claims.addAll(new HardwareRemarks(flips, signs, dumps).all());
    Origin.Side side =
        isHardware == isSoftware
            ? Origin.Side.OPEN
            : isHardware ? Origin.Side.HARDWARE : Origin.Side.SOFTWARE;
    counted(isHardware && isSoftware);
    claims.sort(Comparator.comparing(claim -> !claim.earned() && !claim.about().equals("counted")));
    return new Origin(side, damages.size(), flips, signs, claims, refutations(side));
  }

  /// What there is to weigh, and that one finding is not enough.
  private void counted(boolean isBoth) {
    String inDumps = dumps > 1 ? " in %d dumps".formatted(dumps) : "";
    String what =
        damages.isEmpty()
            ? "no damage was found" + inDumps
            : damages.size() == 1
                ? "the one finding%s is %s"
                    .formatted(inDumps, flips.isEmpty() ? "no single flipped bit" : "a flipped bit")
                : "%d findings%s, %s"
                    .formatted(
                        damages.size(),
                        inDumps,
                        flips.isEmpty()
                            ? "none of them a single flipped bit"
                            : Counted.of(flips.size(), "flipped bits") + " among them");
    String caveat =
        isBoth
            ? "; there is evidence for both"
            : damages.size() == 1 && claims.stream().noneMatch(Claim::earned)
                ? ", and one alone decides nothing"
                : "";
    claims.addFirst(new Claim("counted", what + caveat, flips.size(), damages.size(), 1, false));
  }

  // ---- for hardware

  /// Damage in a page that the hardware itself complained of: two independent witnesses.
  private boolean frames() {
    List<Long> both =
        damages.stream()
            .map(finding -> finding.subject().physical())
            .filter(physical -> physical != Evidence.UNKNOWN)
            .map(physical -> physical >>> signs.pageShift())
            .filter(signs.frames()::contains)
            .distinct()
            .toList();
    if (both.isEmpty()) {
      return false;
    }
    boolean isEarned = signs.injected() == 0;
    claims.add(
        new Claim(
            "same page",
            "%s of damage %s named in hardware error reports, or taken out of use for them (%s)%s"
                .formatted(
                    plural(both.size(), "page frame", "page frames"),
                    both.size() == 1 ? "is" : "are",
                    hex(both),
                    isEarned ? "" : ", but the log has errors that somebody injected as a test"),
            both.size(),
            (int)
                damages.stream()
                    .map(f -> f.subject().physical() >>> signs.pageShift())
                    .distinct()
                    .count(),
            1,
            isEarned));
    return isEarned;
  }

  /// The same line of a bus of 64 bits, in things that have nothing to do with each other.
  private boolean lane64() {
    if (flips.size() < 2) {
      return false;
    }
    List<Flip> most = largest(Flip::lane64);
    int count = most.size();
    if (count < 2) {
      return false;
    }
    double chance = chance(64, count);
    boolean isEarned =
        count >= FEWEST_IN_A_LANE
            && chance <= EARNED
            && owners(most) > 1
            && !isAtOneOffset(most)
            && !isOfBothHalves();
    claims.add(
        new Claim(
            "bit lane of 64",
            "%d of %d flipped bits are bit %d of their 64-bit word (by chance %s), in %s%s"
                .formatted(
                    count,
                    flips.size(),
                    most.getFirst().lane64(),
                    odds(chance),
                    plural(owners(most), "cache or structure", "caches or structures"),
                    isEarned
                        ? ": a data line or a pin does that"
                        : count < FEWEST_IN_A_LANE
                            ? ": too few for a claim"
                            : owners(most) == 1 || isAtOneOffset(most)
                                ? ": one code path does that, too"
                                : ""),
            count,
            flips.size(),
            chance,
            isEarned));
    return isEarned;
  }

  /// The same bit of the same byte of physical memory in two crashes. Addresses of memory stay the
  /// same from boot to boot, unlike the kernel's.
  private boolean sameWord() {
    Map<Long, List<Flip>> byBit =
        flips.stream().collect(Collectors.groupingBy(f -> f.physical() * 8 + f.bit()));
    List<Long> twice =
        byBit.values().stream()
            .filter(same -> same.stream().map(Flip::dump).distinct().count() > 1)
            .map(same -> same.getFirst().physical())
            .sorted()
            .toList();
    if (!twice.isEmpty()) {
      claims.add(
          new Claim(
              "stuck",
              "the same bit of the same byte of memory is wrong in more than one dump (physical %s): a stuck bit, unless firmware or a device writes there"
                  .formatted(hex(twice)),
              twice.size(),
              flips.size(),
              1,
              true));
      return true;
    }
    List<Long> pages =
        flips.stream().collect(Collectors.groupingBy(this::pfn)).entrySet().stream()
            .filter(e -> e.getValue().stream().map(Flip::dump).distinct().count() > 1)
            .map(Map.Entry::getKey)
            .sorted()
            .toList();
    if (!pages.isEmpty()) {
      claims.add(
          new Claim(
              "same page",
              "bits are flipped in the same page frame in more than one dump (%s): see whether firmware or a device owns that page"
                  .formatted(hex(pages)),
              pages.size(),
              flips.size(),
              1,
              false));
    }
    return false;
  }

  // ---- for software

  /// The same bit of both halves of 64-bit words: what stores of 32 bits do, and no line of a bus
  /// of 64 bits.
  private boolean lane32() {
    if (!isOfBothHalves()) {
      return false;
    }
    List<Flip> most = largest(Flip::lane32);
    double chance = chance(32, most.size());
    boolean isEarned = owners(most) == 1 && chance <= EARNED;
    claims.add(
        new Claim(
            "bit lane of 32",
            "%d of %d flipped bits are bit %d of their 32-bit word, in both halves of 64-bit words (by chance %s), in %s: stores of 4 bytes do that, and no line of a memory bus of 64 bits (one of 32 bits, as of DDR5, might)"
                .formatted(
                    most.size(),
                    flips.size(),
                    most.getFirst().lane32(),
                    odds(chance),
                    plural(owners(most), "cache or structure", "caches or structures")),
            most.size(),
            flips.size(),
            chance,
            isEarned));
    return isEarned;
  }

  private boolean isOfBothHalves() {
    if (flips.size() < 2) {
      return false;
    }
    List<Flip> most = largest(Flip::lane32);
    return most.size() > 1
        && most.stream().map(Flip::lane64).distinct().count() > 1
        && most.stream().map(Flip::isSet).distinct().count() == 1;
  }

  /// Damage that only a program does: it frees twice, or writes whole words or strings.
  private boolean stores() {
    SortedMap<String, Integer> shapes = new TreeMap<>();
    int count = 0;
    for (Finding finding : damages) {
      if (isStore(finding)) {
        shapes.merge(finding.cause().id(), 1, Integer::sum);
        count++;
      }
    }
    if (count == 0 || damages.size() == 1) {
      return false; // Of one finding it is said already that it is no single bit.
    }
    boolean isEarned = count > 1 && flips.isEmpty();
    String words =
        shapes.entrySet().stream()
            .map(shape -> shape.getValue() + " " + shape.getKey())
            .collect(Collectors.joining(", "));
    claims.add(
        new Claim(
            "whole stores",
            "%d of %d findings cannot be a single flipped bit (%s)%s"
                .formatted(
                    count,
                    damages.size(),
                    words,
                    isEarned
                        ? ": stores do that, a program's or a device's, and no failing memory"
                        : ""),
            count,
            damages.size(),
            1,
            isEarned));
    return isEarned;
  }

  /// Whether a finding is of a kind that takes a program, and no flipped bit would explain it too.
  private static boolean isStore(Finding finding) {
    boolean isOfAProgram =
        switch (finding.cause()) {
          case DOUBLE_FREE, USE_AFTER_FREE_WRITE, OVERFLOW_FROM_NEIGHBOUR, REDZONE_OVERWRITTEN ->
              true;
          default -> false;
        };
    return isOfAProgram
        && finding.against().stream()
            .noneMatch(
                one ->
                    one instanceof Evidence.WordAt word
                        && word.decoded() != Evidence.UNKNOWN
                        && Long.bitCount(word.raw() ^ word.decoded()) <= 2);
  }

  private List<String> refutations(Origin.Side side) {
    return switch (side) {
      case HARDWARE ->
          List.of(
              "it would be refuted by the same damage on another host, or by a memory test that"
                  + " finds nothing at these addresses");
      case SOFTWARE ->
          List.of(
              "it would be refuted by the same physical words in another dump of this host, or by"
                  + " memory errors that its log names there");
      case OPEN ->
          damages.isEmpty()
              ? List.of()
              : List.of(
                  "the same physical word or bit lane in another dump of this host would point to"
                      + " hardware (see vmcheck catalogue hardware), the same cache and offset on"
                      + " another host to software");
    };
  }

  // ---- words and numbers

  private long pfn(Flip flip) {
    return flip.pfn(signs.pageShift());
  }

  private List<Flip> largest(Function<Flip, Integer> lane) {
    return flips.stream()
        .collect(Collectors.groupingBy(lane, TreeMap::new, Collectors.toList()))
        .values()
        .stream()
        .max(Comparator.comparingInt(List::size))
        .orElse(List.of());
  }

  private static int owners(List<Flip> flips) {
    return (int) flips.stream().map(Flip::owner).distinct().count();
  }

  /// Whether all lie at the same offset in their objects: so do the stores of one line of code,
  /// whatever cache the objects are of.
  private static boolean isAtOneOffset(List<Flip> flips) {
    return flips.stream().allMatch(flip -> flip.offset() >= 0)
        && flips.stream().map(Flip::offset).distinct().count() == 1;
  }

  /// That a number of flips share one of so many lanes, any one, after all patterns.
  private double chance(int lanes, int sharing) {
    double choices = 1;
    for (int i = 0; i < sharing; i++) {
      choices = choices * (flips.size() - i) / (i + 1);
    }
    return Math.min(1, PATTERNS * choices * Math.pow(lanes, 1.0 - sharing));
  }

  static String odds(double chance) {
    return chance > 0.5
        ? "as likely as not"
        : "1 in %,d".formatted(Math.round(Math.min(1e15, 1 / chance)));
  }

  private static String hex(List<Long> values) {
    return values.stream()
            .limit(MAX_NAMED)
            .map(value -> "0x" + Long.toHexString(value))
            .collect(Collectors.joining(", "))
        + (values.size() > MAX_NAMED ? ", ..." : "");
  }

  static String plural(long count, String one, String many) {
    return "%,d %s".formatted(count, count == 1 ? one : many);
  }
}
