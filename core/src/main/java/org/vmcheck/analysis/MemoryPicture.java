package org.vmcheck.analysis;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.check.CheckContext;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.finding.PageMap;
import org.vmcheck.lowmem.LowMemory;
import org.vmcheck.lowmem.LowMemoryReading;
import org.vmcheck.lowmem.LowRange;
import org.vmcheck.lowmem.PageStatistics;
import org.vmcheck.page.MemMap;
import org.vmcheck.page.PageState;
import org.vmcheck.slab.SlabFault;
import org.vmcheck.slab.Words;

/// Pictures of page frames: what is stored of each, what the kernel used it for, what its bytes
/// look like, and what was found there.
final class MemoryPicture {
  /// Cells of a picture of all memory.
  private static final int MAX_CELLS = 4096;

  /// Pieces of the address space that are asked whether there is memory.
  private static final int MAX_BINS = 1 << 18;

  private static final int MAX_MARKS = 3;

  private MemoryPicture() {}

  /// The picture of the low 1 MiB, or of all memory without the holes in it; of a machine that has
  /// no such range always the latter.
  static PageMap of(CheckContext context, boolean whole) {
    boolean lacksLow = context.lacksLowMemory().isPresent();
    boolean all = whole || lacksLow;
    PhysicalMemory memory =
        context.kernel().map(kernel -> kernel.memory().physical()).orElse(context.dump().memory());
    long end =
        all ? Math.max(LowMemory.RESERVED_END_PFN, memory.endPfn()) : LowMemory.RESERVED_END_PFN;
    long frames =
        all
            ? context.dump().container().pages().total()
                * context.dump().memory().pageSize()
                / memory.pageSize()
            : end;
    long framesPerCell = 1;
    while (frames / framesPerCell > MAX_CELLS || end / framesPerCell > MAX_BINS) {
      framesPerCell *= 2;
    }
    Map<Long, List<String>> marks = marks(context, framesPerCell);
    List<PageMap.Cell> cells = new ArrayList<>();
    for (long pfn = 0; pfn < end; pfn += framesPerCell) {
      // The first stored frame stands for its bin.
      long stored = framesPerCell == 1 ? pfn : memory.nextStored(pfn);
      long shown = stored >= pfn && stored < pfn + framesPerCell ? stored : pfn;
      PageRead read = memory.read(shown);
      Optional<MemorySegment> part =
          read instanceof PageRead.Present ? Optional.empty() : LowRange.part(memory, shown);
      PageState.Kind kind =
          context
              .kernel()
              .flatMap(MemMap::of)
              .map(map -> map.state(shown).kind())
              .orElse(PageState.Kind.UNKNOWN);
      boolean isHole =
          kind == PageState.Kind.UNKNOWN && !(read instanceof PageRead.Present) && part.isEmpty();
      if (isHole && (lacksLow || pfn >= LowMemory.RESERVED_END_PFN)) {
        continue;
      }
      cells.add(
          new PageMap.Cell(
              pfn,
              part.isPresent() ? "stored in part" : read.words(),
              use(kind),
              LowMemory.role(context.kernel(), shown),
              read instanceof PageRead.Present(MemorySegment bytes)
                  ? PageStatistics.of(bytes).looks()
                  : part.map(bytes -> PageStatistics.of(bytes).looks())
                      .orElse(PageMap.Looks.NOT_STORED),
              marks.getOrDefault(pfn, List.of())));
    }
    return new PageMap(0, framesPerCell, memory.pageSize(), cells);
  }

  /// What was found, by the first frame of the cell that holds it.
  private static Map<Long, List<String>> marks(CheckContext context, long framesPerCell) {
    Map<Long, List<String>> marks = new HashMap<>();
    LowMemoryReading reading = context.lowMemory();
    for (long pfn : reading.ciphertext()) {
      mark(
          marks,
          pfn / framesPerCell * framesPerCell,
          reading.masks().containsKey(pfn)
              ? "under the mask " + reading.masks().get(pfn).hex()
              : "ciphertext");
    }
    for (long pfn : reading.doubtful()) {
      mark(marks, pfn / framesPerCell * framesPerCell, "ciphertext, or destroyed");
    }
    if (context.kernel().isEmpty()) {
      return marks;
    }
    for (long pfn : context.captureKernel().overwritten()) {
      mark(marks, pfn / framesPerCell * framesPerCell, "overwritten by the capture kernel");
    }
    if (!context.unmetForSlabs().isEmpty()) {
      return marks;
    }
    for (SlabFault fault : context.unmasked().soundFaults()) {
      long address =
          fault instanceof SlabFault.Broken broken ? broken.list().end().slot() : fault.address();
      long paddr = context.kernel().get().memory().physicalAddress(address);
      if (paddr >= 0) {
        mark(
            marks,
            context.kernel().get().memory().pfn(paddr) / framesPerCell * framesPerCell,
            fault instanceof SlabFault.Broken
                ? "a freelist of cache %s breaks here".formatted(Words.name(fault.cache()))
                : "a fault of cache " + Words.name(fault.cache()));
      }
    }
    return marks;
  }

  private static void mark(Map<Long, List<String>> marks, long pfn, String words) {
    List<String> here = marks.computeIfAbsent(pfn, _ -> new ArrayList<>());
    if (here.size() < MAX_MARKS && !here.contains(words)) {
      here.add(words);
    }
  }

  private static PageMap.Use use(PageState.Kind kind) {
    return switch (kind) {
      case SLAB -> PageMap.Use.SLAB;
      case RESERVED -> PageMap.Use.RESERVED;
      case BUDDY, FREE -> PageMap.Use.FREE;
      case PAGE_TABLE -> PageMap.Use.PAGE_TABLE;
      case ANONYMOUS -> PageMap.Use.ANONYMOUS;
      case PAGE_CACHE -> PageMap.Use.PAGE_CACHE;
      case KERNEL -> PageMap.Use.KERNEL;
      case HWPOISON -> PageMap.Use.HWPOISON;
      case UNKNOWN -> PageMap.Use.UNKNOWN;
    };
  }
}
