package org.vmcheck.image;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.Paging;

/// The pass of a [TableSurvey].
///
/// Source: Linux `arch/x86/include/asm/pgtable_types.h`; Intel SDM volume 3, chapter 4; for other
/// processors what their [Paging] says.
final class TablePass {
  static final ValueLayout.OfLong ENTRY =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /// Accessed and dirty: an erratum of some processors of x86_64 leaves them behind alone.
  private static final long STRAYS_BY_ERRATUM = 0x60;

  /// Tables that are read; a terabyte in pages of 4 KiB has half a million.
  private static final int MAX_TABLES = 1 << 18;

  private static final int MAX_FAULTS = 256;

  /// Pages that are read in search of a table that one bit hides.
  private static final int MAX_SEARCHED = 1 << 16;

  /// More entries of a table than damage of single words leaves: the page is no table, or is of
  /// another moment than what leads to it.
  private static final int MOST_ODD = 2;

  private final Paging paging;
  private final PhysicalMemory memory;
  private final Expected expected;
  private final int pageShift;

  private final TableFlags flags;
  private final SortedMap<String, Long> notRead = new TreeMap<>();
  private final List<TableFault> faults = new ArrayList<>();

  /// Entries whose frame is right but for one bit above all memory. In guests of TDX, and of
  /// SEV-SNP below a paravisor, that bit marks what is shared with the host; VMCOREINFO does not
  /// name it.
  private final List<TableFault> maybeShared = new ArrayList<>();

  private final int[] sharedBy = new int[64];

  /// Pages that do not read as tables.
  private final List<Long> doubtful = new ArrayList<>();

  /// The shadow of KASAN maps the same table many times.
  private final Set<Long> seen = new HashSet<>();

  private long entries;
  private long right;
  private long wrong;
  private int searched;
  private boolean ended;

  TablePass(Kernel kernel) {
    this.paging = kernel.memory().paging();
    this.memory = kernel.memory().physical();
    this.expected = Expected.of(kernel);
    this.pageShift = kernel.memory().pageShift();
    this.flags = new TableFlags(kernel);
  }

  TableSurvey run() {
    List<String> remarks = new ArrayList<>();
    visit(paging.root(), paging.levels(), 0);
    if (ended) {
      remarks.add("more tables than were looked at");
    }
    if (!doubtful.isEmpty()) {
      remarks.add(
          "page tables that hold more odd words than damage of single words leaves: %d, not judged"
              .formatted(doubtful.size()));
    }
    List<TableFault> all = new ArrayList<>(faults);
    if (wrong > right) {
      // Then these pages may be no tables at all, and any word may have a single bit.
      all.clear();
      remarks.add("most entries are not where arithmetic has them: none was judged");
    } else {
      maybeShared.stream().filter(fault -> sharedBy[bit(fault)] <= MOST_ODD).forEach(all::add);
      Set<Long> noTables = new HashSet<>(doubtful);
      flags.faults().stream()
          .filter(fault -> !noTables.contains(fault.physical() >>> pageShift))
          .forEach(all::add);
    }
    SortedMap<String, Long> lookedAt = new TreeMap<>();
    if (!seen.isEmpty() && entries > 0) {
      lookedAt.put("tables", (long) seen.size());
      lookedAt.put("entries", entries);
      lookedAt.put("entries by arithmetic", right + wrong);
    }
    return new TableSurvey(lookedAt, notRead, all, remarks, entries * 8);
  }

  /// What was met in a table, all below it included.
  private record Tally(long right, long wrong, boolean isRead) {}

  private Tally visit(long table, int level, long firstVaddr) {
    if (!seen.add(table)) {
      return new Tally(0, 0, true);
    }
    if (seen.size() > MAX_TABLES) {
      ended = true;
      return new Tally(0, 0, true);
    }
    Cancellation.check();
    if (!(memory.read(table >>> pageShift) instanceof PageRead.Present(MemorySegment bytes))) {
      notRead.merge("page tables", 1L, Long::sum);
      return new Tally(0, 0, false);
    }
    int shift = paging.shift(level);
    int end = paging.endSlot(level);
    long rightBefore = right;
    long wrongBefore = wrong;
    int faultsBefore = faults.size();
    long odd = 0;
    for (int i = paging.firstSlot(level); i < end && !ended; i++) {
      long vaddr = firstVaddr | (long) i << shift;
      long raw = bytes.get(ENTRY, i * 8L);
      entries++;
      if (raw != 0) {
        Place at =
            new Place(
                level,
                level == paging.levels() ? paging.canonical(vaddr) : vaddr,
                1L << shift,
                table + i * 8L,
                raw);
        odd += entry(at, raw & ~paging.encryptionMask()) ? 0 : 1;
      }
    }
    if (odd > MOST_ODD) {
      doubtful.add(table >>> pageShift);
      faults
          .subList(Math.min(faultsBefore, faults.size()), faults.size())
          .removeIf(fault -> fault.physical() >>> pageShift == table >>> pageShift);
    }
    return new Tally(right - rightBefore, wrong - wrongBefore, true);
  }

  /// An entry.
  ///
  /// @param vaddr the first address that it maps
  /// @param span bytes that it maps
  /// @param physical where it lies
  /// @param raw with the bit that marks encrypted memory
  record Place(int level, long vaddr, long span, long physical, long raw) {}

  /// @return whether it can be, as far as it tells by itself
  private boolean entry(Place at, long entry) {
    if (Long.bitCount(entry) == 1
        && (entry & STRAYS_BY_ERRATUM) == 0
        && entry != expected.frame(at.vaddr)) { // Else it is unmapped, all its flags gone.
      add(fault(TableFault.Kind.STRAY_BIT, at, at.raw ^ entry));
      return false;
    }
    if (!paging.isPresent(entry, at.level)) {
      if (!isStray(at, entry)) {
        return true;
      }
      add(fault(TableFault.Kind.STRAY_WORD, at, 0));
      return false;
    }
    if (paging.isLeaf(entry, at.level)) {
      return leaf(at, entry);
    }
    table(at, entry);
    return true;
  }

  /// Whether an entry that is not present holds what no kernel writes there. It is zero, or keeps
  /// the frame of a page that was unmapped on purpose, with its bits inverted where the processor
  /// could speculate with them (`__pte_needs_invert`, Linux
  /// `arch/x86/include/asm/pgtable-invert.h`).
  private boolean isStray(Place at, long entry) {
    long mask = paging.frameMask() & -at.span();
    long frame = entry & mask;
    long inverted = ~entry & mask;
    if (frame == 0) {
      return false;
    }
    long known = expected.frame(at.vaddr);
    return known >= 0
        ? frame != (known & mask) && inverted != (known & mask)
        : frame >>> pageShift >= memory.endPfn() && inverted >>> pageShift >= memory.endPfn();
  }

  private boolean leaf(Place at, long entry) {
    long frameMask = paging.frameMask() & -at.span();
    long known = expected.frame(at.vaddr);
    if (known < 0) {
      return true;
    }
    long differs = (entry ^ known) & frameMask;
    if (differs == 0) {
      right++;
      flags.leaf(at, entry);
      return true;
    }
    long above = Math.max(1L << 32, Long.highestOneBit(memory.endPfn() << pageShift) << 1);
    if (Long.bitCount(differs) == 1 && (entry & differs) != 0 && differs >= above) {
      TableFault fault = fault(TableFault.Kind.FRAME, at, at.raw ^ differs);
      sharedBy[bit(fault)]++;
      if (maybeShared.size() < MAX_FAULTS) {
        maybeShared.add(fault);
      }
      return true;
    }
    wrong++;
    add(fault(TableFault.Kind.FRAME, at, (at.raw & ~frameMask) | (known & frameMask)));
    return false;
  }

  private static int bit(TableFault fault) {
    return Long.numberOfTrailingZeros(fault.value() ^ fault.expected());
  }

  private void table(Place at, long entry) {
    flags.table(at, entry);
    int faultsBefore = faults.size();
    int sharedBefore = maybeShared.size();
    long rightBefore = right;
    long wrongBefore = wrong;
    int doubtfulBefore = doubtful.size();
    long entriesBefore = entries;
    TableFlags.Mark mark = flags.mark();
    boolean isOurs = expected.frame(at.vaddr) >= 0;
    Tally tally =
        memory.endPfn() > paging.target(entry, at.level) >>> pageShift
            ? visit(paging.target(entry, at.level), at.level - 1, at.vaddr)
            : new Tally(0, 0, false);
    if (!isOurs || tally.right > 0 || (tally.isRead && tally.wrong == 1)) {
      return;
    }
    // Nothing below is as arithmetic has it: one bit of this entry may lead to the right table.
    long found = 0;
    for (int bit = pageShift; bit < 52; bit++) {
      long other = paging.target(entry ^ (1L << bit), at.level);
      if (other >>> pageShift < memory.endPfn() && !seen.contains(other) && fits(other, at)) {
        found = found == 0 ? at.raw ^ (1L << bit) : -1;
      }
    }
    if (found != 0 && found != -1) {
      faults.subList(Math.min(faultsBefore, faults.size()), faults.size()).clear();
      List<TableFault> shared = maybeShared.subList(sharedBefore, maybeShared.size());
      shared.forEach(fault -> sharedBy[bit(fault)]--);
      shared.clear();
      flags.back(mark);
      doubtful.subList(doubtfulBefore, doubtful.size()).clear();
      right = rightBefore;
      wrong = wrongBefore;
      entries = entriesBefore;
      add(fault(TableFault.Kind.TABLE, at, found));
      visit(paging.target(found & ~paging.encryptionMask(), at.level), at.level - 1, at.vaddr);
    }
  }

  /// Whether a page reads as the table of these addresses: entries that are present map the frames
  /// that arithmetic says, at the next level down or the one below it.
  private boolean fits(long table, Place parent) {
    return matches(table, parent.level - 1, parent.vaddr, 2) > 0;
  }

  /// @return entries that match; -1 if one does not
  private int matches(long table, int level, long firstVaddr, int depth) {
    Cancellation.check();
    if (++searched > MAX_SEARCHED) {
      return -1; // Tables that lead to each other would be read without end.
    }
    if (!(memory.read(table >>> pageShift) instanceof PageRead.Present(MemorySegment bytes))) {
      return 0;
    }
    int shift = paging.shift(level);
    int end = paging.endSlot(level);
    int matching = 0;
    for (int i = 0; i < end; i++) {
      long entry = bytes.get(ENTRY, i * 8L) & ~paging.encryptionMask();
      long vaddr = firstVaddr | (long) i << shift;
      if (!paging.isPresent(entry, level)) {
        if (entry != 0 && (entry & paging.frameMask()) != expected.frame(vaddr)) {
          return -1;
        }
        continue;
      }
      if (paging.isLeaf(entry, level)) {
        long mask = paging.frameMask() & -(1L << shift);
        long known = expected.frame(vaddr);
        if (known >= 0 && (entry & mask) != (known & mask)) {
          return -1;
        }
        matching += known >= 0 ? 1 : 0;
      } else if (depth > 0
          && level > 1
          && paging.target(entry, level) >>> pageShift < memory.endPfn()) {
        int below = matches(paging.target(entry, level), level - 1, vaddr, depth - 1);
        if (below < 0) {
          return -1;
        }
        matching += below;
      } else {
        return -1;
      }
    }
    return matching;
  }

  private static TableFault fault(TableFault.Kind kind, Place at, long expectedValue) {
    return new TableFault(kind, at.level, at.vaddr, at.physical, at.raw, expectedValue);
  }

  private void add(TableFault fault) {
    if (faults.size() < MAX_FAULTS) {
      faults.add(fault);
    }
  }
}
