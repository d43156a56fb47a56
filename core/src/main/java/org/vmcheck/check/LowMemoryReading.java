package org.vmcheck.check;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.kernel.Freelist;
import org.vmcheck.kernel.FreelistDecoder;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.PageState;
import org.vmcheck.kernel.SlabHeads;
import org.vmcheck.kernel.SlabMemory;
import org.vmcheck.memory.PageMask;
import org.vmcheck.memory.UnmaskedMemory;

/// How the low 640 KiB came into the dump: in the clear, as random-looking ciphertext, or under a
/// mask.
///
/// Every fact that could tell is a [Witness] with its weight: the decimal logarithm of how much
/// likelier it is under ciphertext than in memory as kernels leave it. The sum, with what is known
/// before any page is looked at (does this kernel encrypt its memory at all?), decides; between the
/// limits the answer is that it cannot be told. Frames that are used alike and lie side by side
/// hold parts of one thing, so that a run of them weighs little more than one; what may hold packed
/// data at any time (free pages, page cache) weighs nothing.
///
/// @param frames of the range, in order
/// @param before weight before any page was looked at
/// @param ciphertext frames judged to hold ciphertext, either reading
/// @param masks of those whose plaintext is recovered
record LowMemoryReading(
    Answer answer,
    String why,
    List<Frame> frames,
    MemoryEncryption.State encryption,
    double before,
    List<Witness> witnesses,
    List<String> against,
    Set<Long> ciphertext,
    Map<Long, PageMask> masks,
    Lists lists) {
  /// Odds of a thousand to one.
  private static final double ENOUGH = 3;

  /// A range of which only a part is ciphertext does not fit the mechanism well.
  private static final double PARTIAL = -2;

  /// A list that closes under a mask which nothing but the list speaks for.
  private static final double LIST = 6;

  /// One whose mask cannot be the constant between two caches' encodings: nothing else that is
  /// known turns a whole list by one constant.
  private static final double CONFIRMED_LIST = 8;

  private static final int MIN_FRAMES_WITHOUT_ZEROS = 8;
  private static final int MIN_SUPPORT = 4;

  /// Random-looking pages that can be the whole range, where nothing in it is in the clear.
  private static final int MIN_WHOLE_RANGE = 64;

  /// How far below [#ENOUGH] what lacks an anchor stays.
  private static final double CLOSE = 0.1;

  private static final double MAX_DEVIATION = 4.5;

  /// The answers.
  enum Answer {
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

    String words() {
      return words;
    }

    boolean isCiphertext() {
      return this == RANDOM || this == MASKED;
    }
  }

  /// One page frame.
  ///
  /// @param state null if there are no page descriptors
  /// @param bytes null if the page is not stored
  record Frame(long pfn, PageRead read, PageState state, PageStatistics bytes) {
    PageState.Kind kind() {
      return state == null ? PageState.Kind.UNKNOWN : state.kind();
    }
  }

  /// A fact that weighs.
  record Witness(long pfn, double weight, String words) {}

  /// The freelists of slabs that start in the range.
  ///
  /// @param slabs slabs there
  /// @param all lists that are not empty
  /// @param broken those that do not end as they stand
  /// @param closedUnmasked of the broken ones, those that end when the masks are taken off
  /// @param first the first broken one with its bad word; null if none
  record Lists(int slabs, int all, int broken, int closedUnmasked, Bad first) {
    static final Lists NONE = new Lists(0, 0, 0, 0, null);
  }

  /// A word that is no free pointer, read in the range.
  ///
  /// @param recovered the pointer under the mask; the word again if there is none
  /// @param rank how much it tells, 0 to 3
  record Bad(
      SlabHeads.Head head,
      long slot,
      long physical,
      long raw,
      long decoded,
      long recovered,
      int rank) {}

  LowMemoryReading {
    frames = List.copyOf(frames);
    witnesses = List.copyOf(witnesses);
    against = List.copyOf(against);
    ciphertext = Set.copyOf(ciphertext);
    masks = Map.copyOf(masks);
  }

  double weight() {
    return before + witnesses.stream().mapToDouble(Witness::weight).sum();
  }

  long stored() {
    return frames.stream().filter(frame -> frame.bytes() != null).count();
  }

  /// Reads the range and judges.
  ///
  /// @param decoder of free pointers; empty if slabs cannot be walked
  static LowMemoryReading of(
      Dump dump, Optional<Kernel> kernel, Optional<FreelistDecoder> decoder) {
    return new Judge(dump.memory(), kernel, decoder).judge();
  }

  /// Gathers the witnesses.
  private static final class Judge {
    private final PhysicalMemory memory;
    private final Optional<Kernel> kernel;
    private final Optional<FreelistDecoder> decoder;
    private final List<Frame> frames = new ArrayList<>();
    private final Map<Long, PageStatistics> statistics = new TreeMap<>();
    private final Map<Long, Frame> byPfn = new HashMap<>();
    private final List<String> against = new ArrayList<>();
    private final Set<Long> soundByList = new TreeSet<>();
    private final Map<Long, Freelist> brokenAt = new LinkedHashMap<>();
    private final List<SlabHeads.Head> broken = new ArrayList<>();
    private SlabHeads heads = new SlabHeads(List.of(), List.of());
    private MemoryEncryption.State encryption = MemoryEncryption.State.UNKNOWN;
    private long trampolineStart = -1;
    private long trampolineEnd = -1;

    Judge(PhysicalMemory memory, Optional<Kernel> kernel, Optional<FreelistDecoder> decoder) {
      this.memory = memory;
      this.kernel = kernel;
      this.decoder = decoder;
    }

    LowMemoryReading judge() {
      kernel.ifPresent(
          k -> {
            encryption = MemoryEncryption.of(k).state();
            trampoline(k);
          });
      for (long pfn = 0; pfn < LowMemory.BACKUP_END_PFN; pfn++) {
        long at = pfn;
        PageRead read = memory.read(pfn);
        PageState state = kernel.flatMap(Kernel::memMap).map(map -> map.state(at)).orElse(null);
        PageStatistics bytes =
            read instanceof PageRead.Present(MemorySegment page) ? PageStatistics.of(page) : null;
        Frame frame = new Frame(pfn, read, state, bytes);
        frames.add(frame);
        byPfn.put(pfn, frame);
        if (bytes != null) {
          statistics.put(pfn, bytes);
        }
      }
      double before = before();
      if (statistics.isEmpty()) {
        return result(Answer.NOT_STORED, "", before, List.of(), Set.of(), Map.of(), Lists.NONE);
      }
      walk();
      List<Witness> forRandom = randomWitnesses();
      MaskSearch search =
          new MaskSearch(
              memory,
              decoder.orElse(FreelistDecoder.PLAIN),
              LowMemory.BACKUP_END_PFN,
              statistics,
              soundByList);
      search.search(broken);
      Map<Long, PageMask> masks = new TreeMap<>(search.masks());
      List<Witness> forMask = maskWitnesses(search, masks);
      double random = before + sum(forRandom);
      double masked = before + sum(forMask);
      Lists lists = lists(masks);
      if (Math.max(random, masked) >= ENOUGH) {
        // Random-looking plaintext stays random-looking under a mask; ciphertext closes no list.
        boolean isMask = masked >= ENOUGH;
        Set<Long> cipher = new TreeSet<>(isMask ? masks.keySet() : Set.of());
        for (Frame frame : frames) {
          if (frame.bytes() != null
              && frame.bytes().looksRandom()
              && !isTrampoline(frame.pfn())
              && !soundByList.contains(frame.pfn())) {
            cipher.add(frame.pfn());
          }
        }
        if (isMask) {
          // What no list and no commonest block tells apart still lies in the range.
          for (SlabHeads.Head head : broken) {
            if (brokenAt.get(head.slot()).end()
                instanceof Freelist.End.BadPointer(int _, long slot, long _, long _)) {
              long pfn = pfn(head, slot);
              if (byPfn.containsKey(pfn)) {
                cipher.add(pfn);
              }
            }
          }
        }
        return result(
            isMask ? Answer.MASKED : Answer.RANDOM,
            "",
            before,
            isMask ? forMask : forRandom,
            cipher,
            isMask ? masks : Map.of(),
            lists);
      }
      long looksRandom = statistics.values().stream().filter(PageStatistics::looksRandom).count();
      List<Witness> better = random >= masked ? forRandom : forMask;
      boolean suspicious = better.stream().anyMatch(witness -> witness.weight() > 0);
      if (suspicious || plain() == 0) {
        String why =
            suspicious
                ? "what speaks for ciphertext weighs %.1f, %.0f are needed"
                    .formatted(Math.max(random, masked), ENOUGH)
                : looksRandom > 0
                    ? "the stored pages look random and could hold packed data by right"
                    : "no stored page has bytes that decide";
        return result(
            suspicious || looksRandom > 0 ? Answer.CANNOT_TELL : Answer.PLAIN,
            suspicious || looksRandom > 0 ? why : "",
            before,
            better,
            Set.of(),
            Map.of(),
            lists);
      }
      boolean isOpen =
          encryption == MemoryEncryption.State.SME || encryption == MemoryEncryption.State.UNKNOWN;
      Optional<Frame> open = isOpen ? brokenUnderSomeBlock() : Optional.empty();
      if (open.isPresent()) {
        return result(
            Answer.CANNOT_TELL,
            "a freelist breaks in page frame 0x%x (%s), which holds no zero block: one link is too few to tell a mask from damage"
                .formatted(open.get().pfn(), role(open.get())),
            before,
            List.of(),
            Set.of(),
            Map.of(),
            lists);
      }
      return result(Answer.PLAIN, "", before, List.of(), Set.of(), Map.of(), lists);
    }

    /// A page that a list breaks on and that could lie under a mask: no block of it is zero, and it
    /// is not filled with a pattern.
    private Optional<Frame> brokenUnderSomeBlock() {
      for (SlabHeads.Head head : broken) {
        if (brokenAt.get(head.slot()).end()
            instanceof Freelist.End.BadPointer(int holder, long slot, long _, long _)) {
          Frame frame = byPfn.get(pfn(head, slot));
          if (holder != Freelist.HEAD
              && frame != null
              && frame.bytes() != null
              && frame.bytes().zeroBlocks() == 0
              && !frame.bytes().commonest().isFillPattern()
              && !soundByList.contains(frame.pfn())) {
            return Optional.of(frame);
          }
        }
      }
      return Optional.empty();
    }

    private double before() {
      return switch (encryption) {
        case SME -> -2;
        case UNKNOWN -> -4;
        // A guest's kexec page tables carry the mask: the copy is right.
        case SEV -> -6;
        case OFF -> -9;
      };
    }

    private LowMemoryReading result(
        Answer answer,
        String why,
        double before,
        List<Witness> witnesses,
        Set<Long> ciphertext,
        Map<Long, PageMask> masks,
        Lists lists) {
      return new LowMemoryReading(
          answer, why, frames, encryption, before, witnesses, against, ciphertext, masks, lists);
    }

    private static double sum(List<Witness> witnesses) {
      return witnesses.stream().mapToDouble(Witness::weight).sum();
    }

    /// Stored pages that are neither random-looking nor could be masked.
    private long plain() {
      return statistics.values().stream().filter(page -> page.zeroBlocks() > 0).count();
    }

    /// The real-mode trampoline lies unencrypted in memory, so that it alone is random in a dump
    /// that was decrypted.
    private void trampoline(Kernel k) {
      k.variable64("real_mode_header")
          .ifPresent(
              header -> {
                long paddr = k.memory().physicalAddress(header);
                if (paddr > 0 && paddr < LowMemory.RESERVED_END_PFN << 12) {
                  trampolineStart = paddr >>> 12;
                  trampolineEnd = trampolineStart + 8;
                }
              });
    }

    /// Whether a frame is of no use as a witness. Without encryption the trampoline is code in the
    /// clear as any other.
    private boolean isTrampoline(long pfn) {
      return encryption != MemoryEncryption.State.OFF && isInTrampoline(pfn);
    }

    private boolean isInTrampoline(long pfn) {
      return pfn >= trampolineStart && pfn < trampolineEnd;
    }

    // ---- freelists

    private void walk() {
      if (kernel.isEmpty() || decoder.isEmpty() || kernel.get().memMap().isEmpty()) {
        return;
      }
      Kernel k = kernel.get();
      heads = SlabHeads.below(k, k.memMap().orElseThrow(), LowMemory.BACKUP_END_PFN);
      Freelist.Walker walker = new Freelist.Walker(decoder.get(), new SlabMemory(memory));
      for (SlabHeads.Head head : heads.heads()) {
        walker.start(head.slab());
        Freelist list = walker.walk(head.slab(), head.first(), head.slot());
        if (!list.isClosed()) {
          broken.add(head);
          brokenAt.put(head.slot(), list);
          continue;
        }
        for (int i = 0; i < head.slab().walkableObjects(); i++) {
          if (walker.isMet(i)) {
            soundByList.add(pfn(head, head.slab().slot(i)));
          }
        }
      }
    }

    private static long pfn(SlabHeads.Head head, long address) {
      return head.slab().pfn() + ((address - head.slab().base()) >>> 12);
    }

    private Lists lists(Map<Long, PageMask> masks) {
      int closed = 0;
      if (!masks.isEmpty()) {
        Freelist.Walker walker =
            new Freelist.Walker(
                decoder.orElseThrow(), new SlabMemory(new UnmaskedMemory(memory, masks)));
        for (SlabHeads.Head head : broken) {
          walker.start(head.slab());
          closed += walker.walk(head.slab(), head.first(), head.slot()).isClosed() ? 1 : 0;
        }
      }
      return new Lists(
          heads.slabs().size(), heads.heads().size(), broken.size(), closed, firstBad(masks));
    }

    /// The bad word that tells most: one of a CPU's list, which other tools name too, and one that
    /// leads somewhere once its mask is off.
    private Bad firstBad(Map<Long, PageMask> masks) {
      Bad best = null;
      for (SlabHeads.Head head : broken) {
        if (brokenAt.get(head.slot()).end()
                instanceof Freelist.End.BadPointer(int holder, long slot, long raw, long decoded)
            && holder != Freelist.HEAD
            && byPfn.containsKey(pfn(head, slot))) {
          long pfn = pfn(head, slot);
          PageMask mask = masks.get(pfn);
          long recovered =
              mask == null
                  ? decoded
                  : decoder
                      .orElseThrow()
                      .decode(raw ^ mask.over(slot), slot, head.slab().cache().random());
          Bad bad =
              new Bad(
                  head,
                  slot,
                  (pfn << 12) + (slot & 4095),
                  raw,
                  decoded,
                  recovered,
                  (head.cpu() >= 0 ? 2 : 0) + (head.slab().index(recovered) >= 0 ? 1 : 0));
          best = best == null || bad.rank() > best.rank() ? bad : best;
        }
      }
      return best;
    }

    // ---- random-looking pages

    /// Probability that a page of this use looks random in a healthy kernel, and that the next
    /// frame does too when it is used alike; measured on dumps of 5.3, 6.1 and 7.1, rounded up.
    private record Chance(double first, double next) {}

    private Chance chance(Frame frame) {
      if (isInTrampoline(frame.pfn()) && frame.kind() == PageState.Kind.RESERVED) {
        return new Chance(1e-3, 0.5);
      }
      return switch (frame.kind()) {
        case SLAB -> isOneObjectAPage(frame) ? new Chance(0.02, 0.9) : new Chance(1e-4, 0.3);
        case PAGE_TABLE -> new Chance(1e-6, 1e-3);
        case RESERVED -> new Chance(2e-3, 0.9);
        case KERNEL -> new Chance(0.02, 0.95);
        case ANONYMOUS -> new Chance(0.05, 0.98);
        case BUDDY, FREE -> isFreeZeroed() ? new Chance(1e-3, 0.9) : new Chance(1, 1);
        case PAGE_CACHE, HWPOISON, UNKNOWN -> new Chance(1, 1);
      };
    }

    private boolean isOneObjectAPage(Frame frame) {
      return kernel
          .map(k -> k.slabCaches().byAddress().get(frame.state().slabCache()))
          .map(cache -> cache.size() > 2048)
          .orElse(true);
    }

    private boolean isFreeZeroed() {
      return kernel.map(k -> k.identity().commandLine().contains("init_on_free=1")).orElse(false);
    }

    private List<Witness> randomWitnesses() {
      List<Witness> found = new ArrayList<>();
      Set<Long> anchors = brokenOnRandomPages(found);
      Frame previous = null;
      int strong = 0;
      double sumOfChiSquares = 0;
      int plainStrong = 0;
      for (Frame frame : frames) {
        PageStatistics bytes = frame.bytes();
        if (bytes == null || isTrampoline(frame.pfn())) {
          continue;
        }
        Chance chance = chance(frame);
        if (!bytes.looksRandom() || soundByList.contains(frame.pfn())) {
          plainStrong += chance.first < 1 && !bytes.isZero() ? 1 : 0;
          continue;
        }
        // Where lists close, slabs are in the clear: then only a list that breaks tells.
        boolean isContradicted =
            frame.kind() == PageState.Kind.SLAB
                && !soundByList.isEmpty()
                && !anchors.contains(frame.pfn());
        if (chance.first == 1 || isContradicted) {
          continue;
        }
        strong++;
        if (frame.kind() == PageState.Kind.PAGE_TABLE || isInTrampoline(frame.pfn())) {
          anchors.add(frame.pfn());
        }
        sumOfChiSquares += bytes.chiSquare();
        boolean alike =
            previous != null
                && previous.pfn() == frame.pfn() - 1
                && previous.kind() == frame.kind()
                && (frame.kind() != PageState.Kind.SLAB
                    || previous.state().headPfn() == frame.state().headPfn());
        found.add(
            new Witness(
                frame.pfn(),
                -Math.log10(alike ? chance.next : chance.first),
                "page frame 0x%x (%s) looks random: chi-square %.0f"
                    .formatted(frame.pfn(), role(frame), bytes.chiSquare())));
        previous = frame;
      }
      if (strong == 0) {
        return List.of();
      }
      double deviation = PageStatistics.deviation(sumOfChiSquares, strong);
      if (Math.abs(deviation) > MAX_DEVIATION) {
        found.add(
            new Witness(
                -1,
                -5,
                "the byte counts of these pages together lie %.1f standard deviations from random:"
                        .formatted(deviation)
                    + " packed data"));
      }
      long zero = statistics.values().stream().filter(PageStatistics::isZero).count();
      if (strong >= 2 * MIN_FRAMES_WITHOUT_ZEROS && zero == 0) {
        // Measured: 141 of 160 low pages of a healthy guest are zero, so many without one weigh
        // more.
        found.add(
            new Witness(
                -1,
                strong >= 8 * MIN_FRAMES_WITHOUT_ZEROS ? 4 : 2,
                "not one stored page of the range is zero"));
      }
      if (plainStrong > 0) {
        found.add(
            new Witness(
                -1, PARTIAL, "%d other pages of such use are in the clear".formatted(plainStrong)));
        against.add(
            "%d pages of the range that the kernel used are in the clear".formatted(plainStrong));
      }
      boolean isWhole = strong >= MIN_WHOLE_RANGE && plainStrong == 0 && zero == 0;
      double sum = sum(found);
      if (anchors.isEmpty() && !isWhole && before() + sum >= ENOUGH) {
        found.add(
            new Witness(
                -1,
                ENOUGH - CLOSE - before() - sum,
                "nothing among them must be in the clear: no list breaks, no page table, no"
                    + " trampoline"));
      }
      return found;
    }

    /// A list that breaks on a page of random bytes: the first weighs as much as real damage is
    /// rare, the others follow from it.
    ///
    /// @return the frames on which lists break
    private Set<Long> brokenOnRandomPages(List<Witness> found) {
      Set<Long> anchors = new TreeSet<>();
      int count = 0;
      Set<Long> slabs = new TreeSet<>();
      for (SlabHeads.Head head : broken) {
        if (brokenAt.get(head.slot()).end()
            instanceof Freelist.End.BadPointer(int holder, long slot, long _, long _)) {
          Frame frame = byPfn.get(pfn(head, slot));
          if (holder != Freelist.HEAD
              && frame != null
              && frame.bytes() != null
              && frame.bytes().looksRandom()) {
            count++;
            anchors.add(frame.pfn());
            slabs.add(head.slab().pfn());
          }
        }
      }
      if (count > 0) {
        found.add(
            new Witness(
                slabs.iterator().next(),
                4 + Math.min(4, slabs.size() - 1),
                "%s of %s %s on them"
                    .formatted(
                        Words.plural(count, "freelist", "freelists"),
                        Words.plural(slabs.size(), "slab", "slabs"),
                        count == 1 ? "breaks" : "break")));
      }
      return anchors;
    }

    // ---- masked pages

    private List<Witness> maskWitnesses(MaskSearch search, Map<Long, PageMask> masks) {
      List<Witness> found = new ArrayList<>();
      for (MaskSearch.Closed closed : search.closed()) {
        boolean period =
            closed.tests() == 0 && search.masks().values().stream().anyMatch(PageMask::hasPeriod32);
        found.add(
            new Witness(
                closed.head().slab().pfn(),
                closed.tests() > 0 ? closed.isConfirmed() ? CONFIRMED_LIST : LIST : period ? 3 : 0,
                "the freelist of slab 0x%x (%s) breaks as it stands and closes with the mask removed: %s"
                    .formatted(
                        closed.head().slab().address(),
                        Words.name(closed.head().slab().cache()),
                        Words.plural(
                            closed.links(),
                            "free pointer read through it",
                            "free pointers read through it"))));
      }
      shared(found, masks);
      if (found.isEmpty()) {
        return found;
      }
      int nonZero = 0;
      int withZeros = 0;
      for (Frame frame : frames) {
        if (frame.bytes() != null && !frame.bytes().isZero() && !isTrampoline(frame.pfn())) {
          nonZero++;
          withZeros += frame.bytes().zeroBlocks() > 0 || soundByList.contains(frame.pfn()) ? 1 : 0;
        }
      }
      if (withZeros == 0 && nonZero >= MIN_FRAMES_WITHOUT_ZEROS) {
        found.add(
            new Witness(
                -1,
                2,
                "none of %d stored pages holds one zero block of 16 bytes".formatted(nonZero)));
      } else if (withZeros > 0) {
        found.add(
            new Witness(
                -1, PARTIAL, "%d pages of the range are in the clear".formatted(withZeros)));
        against.add("%d pages of the range are in the clear".formatted(withZeros));
      }
      return found;
    }

    /// One commonest block in pages of different use, none of which holds a zero block.
    private void shared(List<Witness> found, Map<Long, PageMask> masks) {
      Map<PageMask, List<Frame>> byBlock = new LinkedHashMap<>();
      for (Frame frame : frames) {
        PageStatistics bytes = frame.bytes();
        if (bytes != null
            && bytes.zeroBlocks() == 0
            && !soundByList.contains(frame.pfn())
            && bytes.commonestCount() >= MIN_SUPPORT
            && bytes.commonestCount() < bytes.blocks()
            && !bytes.commonest().isFillPattern()
            && !isTrampoline(frame.pfn())) {
          byBlock.computeIfAbsent(bytes.commonest(), _ -> new ArrayList<>()).add(frame);
        }
      }
      for (Map.Entry<PageMask, List<Frame>> entry : byBlock.entrySet()) {
        Set<String> uses = new TreeSet<>();
        entry.getValue().forEach(frame -> uses.add(use(frame)));
        boolean known = masks.containsValue(entry.getKey());
        if (uses.size() < 2 && !known) {
          continue;
        }
        found.add(
            new Witness(
                entry.getValue().getFirst().pfn(),
                2.0 * (known ? uses.size() : uses.size() - 1),
                "%s of %s share the commonest block %s"
                    .formatted(
                        Words.plural(entry.getValue().size(), "page", "pages"),
                        Words.plural(uses.size(), "use", "different uses"),
                        entry.getKey().hex())));
        entry.getValue().forEach(frame -> masks.putIfAbsent(frame.pfn(), entry.getKey()));
        for (Frame frame : frames) {
          // Pages that are nothing but the mask come out zero.
          if (frame.bytes() != null
              && frame.bytes().commonestCount() == frame.bytes().blocks()
              && frame.bytes().commonest().equals(entry.getKey())) {
            masks.putIfAbsent(frame.pfn(), entry.getKey());
          }
        }
      }
    }

    /// What tells two uses apart: the kind of page and, of slabs, the cache.
    private static String use(Frame frame) {
      return frame.kind() + " " + (frame.state() == null ? 0 : frame.state().slabCache());
    }

    private String role(Frame frame) {
      String role = LowMemory.role(kernel, frame.pfn());
      return role.isEmpty() ? "use not known" : role;
    }
  }
}
