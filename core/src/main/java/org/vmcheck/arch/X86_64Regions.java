package org.vmcheck.arch;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfSegment;
import org.vmcheck.io.ByteView;
import org.vmcheck.memory.AddressMap;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// Finds where the regions of a kernel of x86_64 lie in this boot: from its own variables, else
/// from its page tables, else from what VMCOREINFO and the dump's writer say. Bases moved from
/// kernel to kernel, and without `CONFIG_RANDOMIZE_MEMORY` there is no variable: no default is
/// taken, a region that is not found is empty.
final class X86_64Regions {
  private static final long GIB = 1L << 30;

  private final List<ElfSegment> segments;
  private final Vmcoreinfo info;
  private final VirtualMemory memory;
  private final Optional<Symbols> symbols;
  private final List<String> remarks = new ArrayList<>();

  private X86_64Regions(
      List<ElfSegment> segments, Vmcoreinfo info, VirtualMemory memory, Optional<Symbols> symbols) {
    this.segments = segments;
    this.info = info;
    this.memory = memory;
    this.symbols = symbols;
  }

  static Architecture.Regions find(
      List<ElfSegment> segments, Vmcoreinfo info, VirtualMemory memory, Optional<Symbols> symbols) {
    X86_64Regions finder = new X86_64Regions(segments, info, memory, symbols);
    return new Architecture.Regions(finder.map(), finder.remarks);
  }

  private AddressMap map() {
    AddressMap map = memory.map();
    long imageStart = map.imageStart();
    long imageEnd = map.imageEnd();
    if (symbols.isPresent()) {
      imageStart = symbols.get().address("_text").orElse(imageStart);
      imageEnd = symbols.get().address("_end").orElse(imageEnd);
    }
    long vmemmap = first(variable("vmemmap_base"), info.symbol("vmemmap"));
    long vmalloc = first(variable("vmalloc_base"), info.number("VMALLOC_START"));
    OptionalLong variable = variable("page_offset_base");
    OptionalLong tables =
        variable.isPresent() ? variable : ((X86_64Paging) memory.paging()).directMap();
    long directMap = first(tables, tables.isPresent() ? tables : directMapFromSegments());
    long directMapEnd = directMap;
    if (directMap != 0) {
      directMapEnd += memory.paddr(memory.physical().endPfn());
      // Memory of a device may lie beyond all that the map has room for.
      long next = vmalloc != 0 ? vmalloc : vmemmap;
      if (Long.compareUnsigned(directMapEnd, directMap) < 0
          || (Long.compareUnsigned(next, directMap) > 0
              && Long.compareUnsigned(directMapEnd, next) > 0)) {
        directMapEnd = Long.compareUnsigned(next, directMap) > 0 ? next : X86_64.IMAGE_BASE;
      }
    }
    return new AddressMap(
        new AddressMap.Image(imageStart, imageEnd, map.image().base(), map.physBase()),
        map.codeStart(),
        map.codeEnd(),
        new AddressMap.DirectMap(directMap, directMap, directMapEnd),
        vmemmap,
        vmalloc);
  }

  private static long first(OptionalLong preferred, OptionalLong other) {
    return preferred.isPresent() ? preferred.getAsLong() : other.orElse(0);
  }

  /// The base that a variable of the kernel holds; empty if there is none, or it cannot be one.
  private OptionalLong variable(String name) {
    OptionalLong address = symbols.isPresent() ? symbols.get().address(name) : OptionalLong.empty();
    if (address.isEmpty()
        || !(memory.read(address.getAsLong(), 8) instanceof MemoryRead.Bytes(ByteView view))) {
      return OptionalLong.empty();
    }
    long value = view.u64(0);
    if (isBase(value)) {
      return OptionalLong.of(value);
    }
    remarks.add(
        "the variable %s holds 0x%x, where no region of the kernel begins: it is not used"
            .formatted(name, value));
    return OptionalLong.empty();
  }

  /// Regions begin in the kernel's half at multiples of 1 GiB (Linux `arch/x86/mm/kaslr.c`).
  private boolean isBase(long vaddr) {
    return vaddr < 0
        && memory.paging().isCanonical(vaddr)
        && vaddr % GIB == 0
        && Long.compareUnsigned(vaddr, X86_64.IMAGE_BASE) < 0;
  }

  private OptionalLong directMapFromSegments() {
    OptionalLong last = OptionalLong.empty();
    for (ElfSegment segment : segments) {
      long base = segment.vaddr() - segment.paddr();
      if (segment.vaddr() < 0
          && Long.compareUnsigned(segment.vaddr(), X86_64.IMAGE_BASE) < 0
          && segment.paddr() != -1
          && isBase(base)) {
        last = OptionalLong.of(base);
      }
    }
    return last;
  }
}
