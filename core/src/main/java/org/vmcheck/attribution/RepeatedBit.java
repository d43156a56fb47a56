package org.vmcheck.attribution;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.finding.Cause;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.Finding;
import org.vmcheck.finding.Note;

/// One bit of the word flipped in several places is what a bad line of a memory module does. The
/// same bit of both 32-bit halves, always set, is what stores of 32 bits do that set a bit.
public final class RepeatedBit {
  private static final int HALF = 32;

  /// Places that are named.
  private static final int MAX_NAMED = 8;

  private RepeatedBit() {}

  /// A flipped bit.
  private record Flipped(int bit, boolean isSet, long physical) {}

  public static List<Note> notes(List<Finding> findings) {
    Map<Integer, List<Flipped>> lanes = new TreeMap<>();
    findings.forEach(
        finding -> {
          Flipped flipped = flipped(finding);
          if (flipped != null) {
            lanes.computeIfAbsent(flipped.bit % HALF, _ -> new ArrayList<>()).add(flipped);
          }
        });
    List<Note> notes = new ArrayList<>();
    lanes.forEach(
        (lane, flips) -> {
          boolean isInBothHalves = flips.stream().map(Flipped::bit).distinct().count() > 1;
          if (isInBothHalves && flips.stream().allMatch(Flipped::isSet)) {
            notes.add(
                new Note(
                    "stores of 4 bytes",
                    "bit %d of 32-bit words is set in %d places, in both halves of the 64-bit words (physical %s): stores of 4 bytes that set a bit do that, and no memory module does"
                        .formatted(lane, flips.size(), places(flips))));
            return;
          }
          Map<Integer, List<Flipped>> byBit = new TreeMap<>();
          flips.forEach(flip -> byBit.computeIfAbsent(flip.bit, _ -> new ArrayList<>()).add(flip));
          byBit.forEach(
              (bit, at) -> {
                if (at.size() > 1) {
                  notes.add(
                      new Note(
                          "memory module",
                          "bit %d is flipped in %d words (physical %s): a memory module is the suspect"
                              .formatted(bit, at.size(), places(at))));
                }
              });
        });
    return notes;
  }

  private static String places(List<Flipped> flips) {
    return String.join(
        ", ",
        flips.stream()
            .limit(MAX_NAMED)
            .map(flip -> "0x" + Long.toHexString(flip.physical))
            .toList());
  }

  /// The one bit that a finding puts down to a flip; null if there is none.
  private static Flipped flipped(Finding finding) {
    if (finding.cause() == Cause.BIT_FLIP) {
      for (Evidence evidence : finding.evidence()) {
        if (evidence instanceof Evidence.WordAt(long _, long at, long raw, long right, String _)
            && FlippedBit.isOne(raw, right)) {
          int bit = Long.numberOfTrailingZeros(raw ^ right);
          return new Flipped(bit, (raw >>> bit & 1) != 0, at);
        }
      }
    }
    return null;
  }
}
