package org.vmcheck.page;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.StructLayout;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.io.ByteView;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// The sections of physical memory (`mem_section`), each with the place of its page descriptors.
///
/// With a vmemmap every section names the same base; without one (classic sparsemem) each has an
/// array of its own somewhere in the direct map. `section_mem_map` holds the address that frame 0
/// would have if the section's array went down to it, with flags in its low six bits.
///
/// Source: Linux `include/linux/mmzone.h`, `mm/sparse.c`.
final class MemSections {
  /// `SECTION_SIZE_BITS` of x86_64, in every kernel; VMCOREINFO says so from 5.10 on.
  private static final int SECTION_SHIFT = 27;

  private static final long HAS_MEM_MAP = 2;
  private static final long FLAGS = 63;

  /// 2^19 sections of 128 MiB are 64 TiB; 5-level kernels have 2^25 in theory.
  private static final int MAX_ROOTS = 1 << 18;

  private static final int MAX_SECTIONS = 1 << 20;

  private final int framesShift;

  /// Ascending by number: the section's number, and where the descriptor of frame 0 would be.
  private final long[] numbers;

  private final long[] bases;

  /// Indices of sections, ascending by the address of their first descriptor.
  private final Integer[] byAddress;

  private final int descriptorSize;

  private MemSections(int framesShift, List<long[]> sections, int descriptorSize) {
    this.framesShift = framesShift;
    this.descriptorSize = descriptorSize;
    this.numbers = sections.stream().mapToLong(section -> section[0]).toArray();
    this.bases = sections.stream().mapToLong(section -> section[1]).toArray();
    this.byAddress = new Integer[numbers.length];
    Arrays.setAll(byAddress, i -> i);
    Arrays.sort(byAddress, Comparator.comparing(this::start, Long::compareUnsigned));
  }

  /// Reads the tables.
  ///
  /// @param endPfn sections from this frame on are passed over
  /// @return empty if they cannot be found or read
  static Optional<MemSections> read(Kernel kernel, int descriptorSize, long endPfn) {
    Vmcoreinfo info = kernel.vmcoreinfo();
    VirtualMemory memory = kernel.memory();
    // VMCOREINFO holds the variable's value (its address up to 4.13), kallsyms its address.
    OptionalLong root = info.symbol("mem_section");
    if (root.isEmpty() || memory.map().isImage(root.getAsLong())) {
      root = root.isPresent() ? kernel.word(root.getAsLong()) : kernel.variable64("mem_section");
    }
    Optional<StructLayout> types = kernel.struct("mem_section", "section_mem_map");
    int entrySize =
        (int) info.size("mem_section").orElseGet(() -> types.map(StructLayout::size).orElse(0L));
    int mapAt =
        (int)
            info.offset("mem_section.section_mem_map")
                .orElseGet(
                    () ->
                        types.flatMap(s -> s.member("section_mem_map")).stream()
                            .mapToLong(member -> member.offset())
                            .findFirst()
                            .orElse(-1));
    int shift = (int) info.number("SECTION_SIZE_BITS").orElse(SECTION_SHIFT) - memory.pageShift();
    if (root.isEmpty()
        || entrySize < 8
        || entrySize > memory.pageSize()
        || mapAt < 0
        || mapAt > entrySize - 8
        || shift < 6
        || shift > 24) {
      return Optional.empty();
    }
    long perRoot = memory.pageSize() / entrySize;
    long sections = Math.min(MAX_SECTIONS, ((endPfn - 1) >>> shift) + 1);
    long roots =
        Math.min((sections + perRoot - 1) / perRoot, info.length("mem_section").orElse(MAX_ROOTS));
    if (roots < 1 || roots > MAX_ROOTS) {
      return Optional.empty();
    }
    if (!(memory.read(root.getAsLong(), (int) roots * 8)
        instanceof MemoryRead.Bytes(ByteView rootArray))) {
      return Optional.empty();
    }
    List<long[]> found = new ArrayList<>();
    for (int i = 0; i < roots; i++) {
      long page = rootArray.u64(8L * i);
      if (page == 0) {
        continue;
      }
      if (!(memory.read(page, (int) perRoot * entrySize)
          instanceof MemoryRead.Bytes(ByteView entries))) {
        return Optional.empty();
      }
      for (int j = 0; j < perRoot && i * perRoot + j < sections; j++) {
        long map = entries.u64((long) j * entrySize + mapAt);
        if ((map & HAS_MEM_MAP) != 0) {
          found.add(new long[] {i * perRoot + j, map & ~FLAGS});
        }
      }
    }
    return found.isEmpty()
        ? Optional.empty()
        : Optional.of(new MemSections(shift, found, descriptorSize));
  }

  /// The base that all sections share, where they do: then descriptors are one array.
  OptionalLong commonBase() {
    for (long base : bases) {
      if (base != bases[0]) {
        return OptionalLong.empty();
      }
    }
    return OptionalLong.of(bases[0]);
  }

  /// The first frame of the first section.
  long firstFrame() {
    return numbers[0] << framesShift;
  }

  /// Address of the first descriptor of the first section.
  long firstDescriptor() {
    return start(0);
  }

  /// The number of the section of a frame (`pfn_to_section_nr`).
  long number(long pfn) {
    return pfn >>> framesShift;
  }

  /// Index of the section of a frame, or -1 if there is none.
  private int of(long pfn) {
    int found = Arrays.binarySearch(numbers, pfn >>> framesShift);
    return found < 0 ? -1 : found;
  }

  /// Address of the descriptor of a frame; 0 if its section is not there.
  long descriptor(long pfn) {
    int section = of(pfn);
    return section < 0 ? 0 : bases[section] + pfn * descriptorSize;
  }

  /// The first frame of a section at or after `pfn`; -1 if there is none.
  long nextFrame(long pfn) {
    int found = Arrays.binarySearch(numbers, pfn >>> framesShift);
    if (found >= 0) {
      return pfn;
    }
    int next = -found - 1;
    return next < numbers.length ? numbers[next] << framesShift : -1;
  }

  /// One more than the last frame of the section that a frame is in.
  long endOfSection(long pfn) {
    return ((pfn >>> framesShift) + 1) << framesShift;
  }

  private long start(int section) {
    return bases[section] + (numbers[section] << framesShift) * descriptorSize;
  }

  /// The frame that the descriptor at an address describes; -1 if none starts there.
  long pfn(long descriptor) {
    int low = 0;
    int high = byAddress.length;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (Long.compareUnsigned(start(byAddress[middle]), descriptor) <= 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (low == 0) {
      return -1;
    }
    int section = byAddress[low - 1];
    long distance = descriptor - start(section);
    return distance < (long) descriptorSize << framesShift && distance % descriptorSize == 0
        ? (numbers[section] << framesShift) + distance / descriptorSize
        : -1;
  }
}
