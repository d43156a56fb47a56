package org.vmcheck.check;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.finding.Evidence;
import org.vmcheck.finding.PageMap;
import org.vmcheck.io.Printable;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.PageState;
import org.vmcheck.kernel.SlabCache;
import org.vmcheck.kernel.SlabFault;
import org.vmcheck.memory.PageMask;

/// The low page frames of a dump, and pictures of these and of others: what is stored of each, what
/// the kernel used it for, and what its bytes look like.
public final class LowMemory {
  /// End of the range that kexec backs up: 640 KiB.
  public static final long BACKUP_END_PFN = 0xa0;

  /// End of the range that newer kernels reserve: 1 MiB.
  public static final long RESERVED_END_PFN = 0x100;

  /// Cells of a picture of all memory.
  private static final int MAX_CELLS = 4096;

  /// Pieces of the address space that are asked whether there is memory.
  private static final int MAX_BINS = 1 << 18;

  private static final int MAX_MARKS = 3;

  private LowMemory() {}

  /// The picture of the low 1 MiB, or of all memory without the holes in it.
  public static PageMap map(Subjects subjects, boolean all) {
    PhysicalMemory memory = subjects.dump().memory();
    long end = all ? Math.max(RESERVED_END_PFN, memory.endPfn()) : RESERVED_END_PFN;
    long frames = all ? subjects.dump().container().pages().total() : end;
    long framesPerCell = 1;
    while (frames / framesPerCell > MAX_CELLS || end / framesPerCell > MAX_BINS) {
      framesPerCell *= 2;
    }
    Map<Long, List<String>> marks = marks(subjects, framesPerCell);
    List<PageMap.Cell> cells = new ArrayList<>();
    for (long pfn = 0; pfn < end; pfn += framesPerCell) {
      // The first stored frame stands for its bin.
      long stored = framesPerCell == 1 ? pfn : memory.nextStored(pfn);
      long shown = stored >= pfn && stored < pfn + framesPerCell ? stored : pfn;
      PageRead read = memory.read(shown);
      Optional<MemorySegment> part =
          read instanceof PageRead.Present ? Optional.empty() : LowRange.part(memory, shown);
      PageState.Kind kind =
          subjects
              .kernel()
              .flatMap(Kernel::memMap)
              .map(map -> map.state(shown).kind())
              .orElse(PageState.Kind.UNKNOWN);
      boolean isHole =
          kind == PageState.Kind.UNKNOWN && !(read instanceof PageRead.Present) && part.isEmpty();
      if (isHole && pfn >= RESERVED_END_PFN) {
        continue;
      }
      cells.add(
          new PageMap.Cell(
              pfn,
              part.isPresent() ? "stored in part" : read.words(),
              use(kind),
              role(subjects.kernel(), shown),
              read instanceof PageRead.Present(MemorySegment bytes)
                  ? PageStatistics.of(bytes).looks()
                  : part.map(bytes -> PageStatistics.of(bytes).looks())
                      .orElse(PageMap.Looks.NOT_STORED),
              marks.getOrDefault(pfn, List.of())));
    }
    return new PageMap(0, framesPerCell, cells);
  }

  /// What was found, by the first frame of the cell that holds it.
  private static Map<Long, List<String>> marks(Subjects subjects, long framesPerCell) {
    Map<Long, List<String>> marks = new HashMap<>();
    LowMemoryReading reading = subjects.lowMemory();
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
    if (subjects.kernel().isEmpty()) {
      return marks;
    }
    for (long pfn : subjects.captureKernel().overwritten()) {
      mark(marks, pfn / framesPerCell * framesPerCell, "overwritten by the capture kernel");
    }
    if (!subjects.unmetForSlabs().isEmpty()) {
      return marks;
    }
    for (SlabFault fault : subjects.unmasked().soundFaults()) {
      long address =
          fault instanceof SlabFault.Broken broken ? broken.list().end().slot() : fault.address();
      long paddr = subjects.kernel().get().memory().physicalAddress(address);
      if (paddr >= 0) {
        mark(
            marks,
            (paddr >>> 12) / framesPerCell * framesPerCell,
            fault instanceof SlabFault.Broken
                ? "a freelist of cache %s breaks here".formatted(Words.name(fault.cache()))
                : "a fault of cache " + Words.name(fault.cache()));
      }
    }
    return marks;
  }

  /// How a page of the low 640 KiB was read that a fault of the kernel's own lies on, and what says
  /// that the fault is none of memory encryption; empty if nothing does.
  public static List<Evidence> evidence(Subjects subjects, long physical) {
    long pfn = physical >>> 12;
    LowMemoryReading reading = subjects.lowMemory();
    List<Evidence> evidence = new ArrayList<>();
    PageMask mask = reading.masks().get(pfn);
    if (mask != null) {
      evidence.add(
          new Evidence.WhatIf(
              Evidence.MASK_REMOVED,
              "page frame 0x%x is read through its mask %s (lowmem.sme): what is broken under it is the kernel's own"
                  .formatted(pfn, mask.hex())));
      return evidence;
    }
    LowMemoryReading.Frame frame = reading.frames().get((int) pfn);
    if (frame.bytes() == null || !frame.bytes().looksRandom()) {
      return evidence;
    }
    int clear = reading.lists().clear();
    if (clear > 0) {
      evidence.add(
          new Evidence.CountMismatch(
              "freelists of the low 640 KiB in the clear",
              0,
              clear,
              "the page holds random bytes, and %s of the low 640 KiB as they stand: the copy that memory encryption spoils takes the whole range"
                  .formatted(Words.plural(clear, "freelist closes", "freelists close"))));
    }
    if (reading.encryption() == MemoryEncryption.State.OFF) {
      evidence.add(
          new Evidence.CountMismatch(
              "sme_mask",
              0,
              0,
              "the page holds random bytes, and the kernel says that it does not encrypt its memory"
                  + subjects.kernel().map(kernel -> MemoryEncryption.of(kernel).why()).orElse("")));
    }
    return evidence;
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

  /// What the kernel used a frame for, in words; empty if it cannot be told.
  public static String role(Optional<Kernel> kernel, long pfn) {
    if (kernel.isEmpty() || kernel.get().memMap().isEmpty()) {
      return "";
    }
    PageState state = kernel.get().memMap().get().state(pfn);
    if (state.kind() != PageState.Kind.SLAB) {
      return state.kind().words();
    }
    SlabCache cache = kernel.get().slabCaches().byAddress().get(state.slabCache());
    return cache == null ? "slab" : "slab " + Printable.of(cache.name(), 60);
  }
}
