package org.vmcheck.memory;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;

/// Which page tables of the kernel's half are in a dump: every table that another one leads to,
/// each once. The last level is looked for and not read: it leads to pages, not to tables.
///
/// @param byLevel tables found, by level (1 is the last)
/// @param missing tables that an entry leads to and that are not in the dump, the first ones
/// @param missingInAll how many these are
/// @param isWhole false if the deadline, or more tables than any kernel has, ended the walk
public record TableWalk(
    SortedMap<Integer, Long> byLevel, List<Missing> missing, long missingInAll, boolean isWhole) {
  private static final ValueLayout.OfLong ENTRY =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /// A terabyte that is mapped by pages of 4 KiB has half a million of the last level.
  private static final int MAX_TABLES = 1 << 20;

  /// Tables that are read: all but the last level's.
  private static final int MAX_READ = 1 << 15;

  private static final int MAX_MISSING = 64;

  /// A table that is not in the dump.
  ///
  /// @param paddr its physical address
  /// @param level 1 is the last
  /// @param firstVaddr the first address that it maps
  public record Missing(long paddr, int level, long firstVaddr, PageRead why) {}

  public TableWalk {
    byLevel = new TreeMap<>(byLevel);
    missing = List.copyOf(missing);
  }

  /// Walks from the top table.
  ///
  /// @param isOver asked now and then; true ends the walk early
  public static TableWalk of(Paging paging, PhysicalMemory memory, BooleanSupplier isOver) {
    Walker walker = new Walker(paging, memory, isOver);
    walker.visit(paging.root(), paging.levels(), 0);
    return new TableWalk(walker.byLevel, walker.missing, walker.missingInAll, !walker.ended);
  }

  private static final class Walker {
    private final Paging paging;
    private final PhysicalMemory memory;
    private final int pageShift;
    private final BooleanSupplier isOver;

    /// The shadow of KASAN maps the same table many times.
    private final Set<Long> seen = new HashSet<>();

    private final SortedMap<Integer, Long> byLevel = new TreeMap<>();
    private final List<Missing> missing = new ArrayList<>();
    private long missingInAll;
    private int read;
    private boolean ended;

    Walker(Paging paging, PhysicalMemory memory, BooleanSupplier isOver) {
      this.paging = paging;
      this.memory = memory;
      this.pageShift = Integer.numberOfTrailingZeros(memory.pageSize());
      this.isOver = isOver;
    }

    void visit(long table, int level, long firstVaddr) {
      if (!seen.add(table)) {
        return;
      }
      if (seen.size() > MAX_TABLES || read > MAX_READ || isOver.getAsBoolean()) {
        ended = true;
        return;
      }
      long pfn = table >>> pageShift;
      Optional<PageRead> why =
          memory.nextStored(pfn) == pfn ? memory.defect(pfn) : Optional.of(memory.read(pfn));
      if (why.isPresent()) {
        miss(table, level, firstVaddr, why.get());
        return;
      }
      byLevel.merge(level, 1L, Long::sum);
      if (level == 1) {
        return;
      }
      read++;
      if (!(memory.read(pfn) instanceof PageRead.Present(MemorySegment bytes))) {
        // It is stored and does not decode: the matter of who met it.
        return;
      }
      int shift = paging.shift(level);
      int end = paging.endSlot(level);
      for (int i = paging.firstSlot(level); i < end && !ended; i++) {
        long entry = bytes.get(ENTRY, i * 8L);
        if (paging.isPresent(entry, level) && !paging.isLeaf(entry, level)) {
          long vaddr = firstVaddr | (long) i << shift;
          visit(
              paging.target(entry, level),
              level - 1,
              level == paging.levels() ? paging.canonical(vaddr) : vaddr);
        }
      }
    }

    private void miss(long table, int level, long firstVaddr, PageRead why) {
      missingInAll++;
      if (missing.size() < MAX_MISSING) {
        missing.add(new Missing(table, level, firstVaddr, why));
      }
    }
  }
}
