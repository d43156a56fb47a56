package org.vmcheck.finding;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;

/// Whether the damage that was found is the machine's or a program's, as far as all of it together
/// tells: of one dump, or of all dumps of one host.
///
/// @param side what the claims come to
/// @param damages findings against the kernel that were weighed
/// @param flips words of them of which one bit is all that differs, each once
/// @param signs what the kernel itself recorded of the hardware
/// @param claims what was counted, those that are earned first
/// @param refutations what would speak against the answer, or decide it
public record Origin(
    Side side,
    int damages,
    List<Flip> flips,
    Signs signs,
    List<Claim> claims,
    List<String> refutations) {
  /// The answers. Nothing is claimed from one finding alone.
  public enum Side {
    HARDWARE("hardware"),
    SOFTWARE("software"),
    OPEN("not decided");

    private final String words;

    Side(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }
  }

  /// A bit that differs.
  ///
  /// @param dump which dump it is in, from 0
  /// @param check that found it
  /// @param owner the cache, or else the finding's fingerprint: what makes two flips independent
  /// @param offset of the word in its object; -1 if it is in none
  /// @param physical address of its byte
  /// @param bit of that byte, 0 to 7
  /// @param isSet whether it is 1 and should be 0
  public record Flip(
      int dump, String check, String owner, long offset, long physical, int bit, boolean isSet) {
    /// Its place in a bus of 64 bits.
    public int lane64() {
      return (int) (physical & 7) * 8 + bit;
    }

    /// Its place in words of 32 bits.
    public int lane32() {
      return lane64() % 32;
    }

    /// @param pageShift of the kernel
    public long pfn(int pageShift) {
      return physical >>> pageShift;
    }
  }

  /// What the kernel recorded of the hardware, in its own lines of the log and in memory.
  ///
  /// @param edac lines of memory controllers that tell of an error
  /// @param machineChecks lines of the CPU's machine checks and of what was done about them
  /// @param firmware lines of the platform's firmware (APEI)
  /// @param injected lines that tell of errors that somebody made on purpose, as a test
  /// @param pagesGivenUp pages marked PG_hwpoison
  /// @param frames page frames that any of these name
  /// @param pageShift of the kernel, in whose pages the frames are
  /// @param isWatched whether a driver watches the memory controllers (EDAC), so that their silence
  ///   says something
  /// @param isGuest whether the kernel ran on a hypervisor, so that the host's log has the errors
  public record Signs(
      int edac,
      int machineChecks,
      int firmware,
      int injected,
      long pagesGivenUp,
      Set<Long> frames,
      int pageShift,
      boolean isWatched,
      boolean isGuest) {
    public static final Signs NONE = new Signs(0, 0, 0, 0, 0, Set.of(), 12, false, false);

    public Signs {
      frames = Collections.unmodifiableSet(new TreeSet<>(frames));
    }

    /// Whether anything was recorded.
    public boolean isAny() {
      return edac + machineChecks + firmware > 0 || pagesGivenUp > 0;
    }
  }

  /// Something that was counted.
  ///
  /// @param about one or two words
  /// @param sentence with its counts
  /// @param count how many there are
  /// @param of how many were looked at
  /// @param chance that it is chance, after all patterns that were looked for; 1 where no number
  ///   says it
  /// @param earned whether it counts for the answer
  public record Claim(
      String about, String sentence, int count, int of, double chance, boolean earned) {}

  public Origin {
    flips = List.copyOf(flips);
    claims = List.copyOf(claims);
    refutations = List.copyOf(refutations);
  }

  /// All of it as one paragraph.
  public String paragraph() {
    List<String> parts = new ArrayList<>();
    claims.forEach(claim -> parts.add(claim.sentence));
    parts.addAll(refutations);
    return side.words + ": " + String.join("; ", parts);
  }
}
