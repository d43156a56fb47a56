package org.vmcheck.lowmem;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.PageMask;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.FreelistDecoder;
import org.vmcheck.slab.SlabHeads;

/// How the low 640 KiB came into the dump: in the clear, as random-looking ciphertext, or under a
/// mask.
///
/// Every fact that could tell is a [Witness] with its weight: the decimal logarithm of how much
/// likelier it is under ciphertext than in memory as kernels leave it. The sum, with what is known
/// before any page is looked at (does this kernel encrypt its memory at all?), decides; between the
/// limits the answer is that it cannot be told. Frames that are used alike and lie side by side
/// hold parts of one thing, so that a run of them weighs little more than one; what may hold packed
/// data at any time (free pages, page cache) weighs nothing. What is in the clear weighs against
/// it, the more the more of it there is: the mechanism copies the range as a whole.
///
/// @param frames of the range, in order
/// @param before weight before any page was looked at
/// @param ciphertext frames judged to hold ciphertext, either reading
/// @param doubtful frames that are as likely ciphertext as destroyed: nothing can be said of what
///   rests on them
/// @param masks of those whose plaintext is recovered
/// @param guessed halves of masks that rest on no free pointer: frame times two, plus one for the
///   second half
public record LowMemoryReading(
    Answer answer,
    String why,
    List<Frame> frames,
    MemoryEncryption.State encryption,
    double before,
    List<Witness> witnesses,
    List<String> against,
    Set<Long> ciphertext,
    Set<Long> doubtful,
    Map<Long, PageMask> masks,
    Set<Long> guessed,
    Lists lists) {
  /// Odds of a thousand to one.
  static final double ENOUGH = 3;

  /// Where what lacks an anchor, or cannot be, stays: below [#ENOUGH].
  static final double OPEN = ENOUGH - 0.1;

  /// The answers.
  public enum Answer {
    NOT_STORED("no page of the range is stored"),
    PLAIN("not ciphertext"),
    CANNOT_TELL("cannot tell"),
    /// Unrelated blocks: read raw, or decrypted for another address by a two-sided cipher.
    RANDOM("ciphertext: random-looking (raw, or decrypted for another address)"),
    /// Plaintext under one mask a page: decrypted for another address by a one-sided cipher.
    MASKED("ciphertext: plaintext under a mask (decrypted for another address)");

    private final String words;

    Answer(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }

    public boolean isCiphertext() {
      return this == RANDOM || this == MASKED;
    }
  }

  /// One page frame.
  ///
  /// @param state null if there are no page descriptors
  /// @param bytes null if the page is not stored
  public record Frame(long pfn, PageRead read, PageState state, PageStatistics bytes) {
    PageState.Kind kind() {
      return state == null ? PageState.Kind.UNKNOWN : state.kind();
    }
  }

  /// A fact that weighs.
  public record Witness(long pfn, double weight, String words) {}

  /// The freelists of slabs that start in the range.
  ///
  /// @param slabs slabs there
  /// @param all lists that are not empty
  /// @param broken those that do not end as they stand
  /// @param clear those of pages in the copied range that end as they stand
  /// @param closedUnmasked of the broken ones, those that end when the masks are taken off
  /// @param first the first broken one with its bad word; null if none
  /// @param still those that break when they are read through their masks, with the word there
  /// @param lost those on pages whose masks are not recovered
  public record Lists(
      int slabs,
      int all,
      int broken,
      int clear,
      int closedUnmasked,
      Bad first,
      List<Bad> still,
      List<Lost> lost) {
    public static final Lists NONE = new Lists(0, 0, 0, 0, 0, null, List.of(), List.of());

    public Lists {
      still = List.copyOf(still);
      lost = List.copyOf(lost);
    }
  }

  /// A list on a page whose mask is not recovered.
  ///
  /// @param underAll whether every mask was tried and it is broken under each
  public record Lost(SlabHeads.Head head, long pfn, boolean underAll) {}

  /// A word that is no free pointer, read in the range.
  ///
  /// @param recovered the pointer under the mask; the word again if there is none
  /// @param rank how much it tells, 0 to 3
  public record Bad(
      SlabHeads.Head head,
      long slot,
      long physical,
      long raw,
      long decoded,
      long recovered,
      int rank) {}

  public LowMemoryReading {
    frames = List.copyOf(frames);
    witnesses = List.copyOf(witnesses);
    against = List.copyOf(against);
    ciphertext = Set.copyOf(ciphertext);
    doubtful = Set.copyOf(doubtful);
    masks = Map.copyOf(masks);
    guessed = Set.copyOf(guessed);
  }

  /// What pages of the range in the clear weigh against ciphertext: the more, the more there are.
  static double weightOfClear(long pages) {
    return -1 - 2 * Math.log10(1.0 + pages);
  }

  /// Whether the byte at an address of a frame is only guessed when its mask is taken off.
  public boolean isGuessed(long pfn, long address) {
    return guessed.contains(pfn * 2 + ((address & 8) == 0 ? 0 : 1));
  }

  /// The same range once the masks are taken off: what stays ciphertext, and what is guessed.
  public LowMemoryReading unmasked() {
    Set<Long> left = new HashSet<>(ciphertext);
    left.removeAll(masks.keySet());
    return new LowMemoryReading(
        answer,
        why,
        frames,
        encryption,
        before,
        witnesses,
        against,
        left,
        doubtful,
        Map.of(),
        guessed,
        lists);
  }

  public double weight() {
    return before + witnesses.stream().mapToDouble(Witness::weight).sum();
  }

  public long stored() {
    return frames.stream().filter(frame -> frame.bytes() != null).count();
  }

  /// Of a machine that has no such range.
  ///
  /// @param why a sentence
  public static LowMemoryReading none(String why) {
    return new LowMemoryReading(
        Answer.NOT_STORED,
        why,
        List.of(),
        MemoryEncryption.State.OFF,
        0,
        List.of(),
        List.of(),
        Set.of(),
        Set.of(),
        Map.of(),
        Set.of(),
        Lists.NONE);
  }

  /// Reads the range and judges.
  ///
  /// @param decoder of free pointers; empty if slabs cannot be walked
  public static LowMemoryReading of(
      PhysicalMemory memory, Optional<Kernel> kernel, Optional<FreelistDecoder> decoder) {
    return new LowMemoryJudge(new LowRange(memory, kernel), decoder).judge();
  }
}
