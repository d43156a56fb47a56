package org.vmcheck.search;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeSet;
import org.vmcheck.arch.Architecture;
import org.vmcheck.debuginfo.KallsymsSearch;
import org.vmcheck.debuginfo.Symbols;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.CancelledException;
import org.vmcheck.io.MalformedFileException;

/// Finds kallsyms in physical memory by its signature, and from it where the kernel image lies: the
/// image is contiguous there, so no page table is needed.
///
/// A page-cache copy of a vmlinux and the kernel of a guest look the same; what proves the running
/// one is that its variables say of themselves where they are.
final class KallsymsFinder {
  /// Pages that one task of the parallel scan reads.
  private static final int CHUNK_PAGES = 512;

  /// Bytes that are searched before what was found in them is looked at.
  private static final long WINDOW = 64 << 20;

  /// Kernels are aligned to 2 MiB in physical memory (`CONFIG_PHYSICAL_ALIGN`, at least).
  private static final long ALIGNMENT = 2 << 20;

  /// Digits stand in a few dozen places of a gigabyte.
  private static final int MAX_HITS = 100_000;

  /// Token tables looked at closely: one a kernel, and its copies.
  private static final int MAX_TABLES = 64;

  private static final byte[] BANNER = {'L', 'i', 'n', 'u', 'x', ' '};

  private final PhysicalMemory memory;
  private final Architecture architecture;
  private final int pageShift;

  KallsymsFinder(PhysicalMemory memory, Architecture architecture) {
    this.memory = memory;
    this.architecture = architecture;
    this.pageShift = Integer.numberOfTrailingZeros(memory.pageSize());
  }

  /// A kernel's symbols with where its image lies.
  ///
  /// @param imageOffset what an address in the image is more than its physical address
  record Found(Symbols symbols, long imageOffset) {}

  /// Looks for the kernel whose image lies at a known place.
  ///
  /// @param imageOffset what an address in the image is more than its physical address
  /// @param imageStart the first that the image can have, where `stext` is not known
  /// @param stext address of `_stext`
  /// @param imageEnd address that the image ends before
  Optional<Symbols> find(long imageOffset, long imageStart, OptionalLong stext, long imageEnd) {
    long start = Math.max(0, stext.orElse(imageStart) - imageOffset);
    for (long from = start; from < imageEnd - imageOffset; from += WINDOW) {
      for (KallsymsSearch.Located located : tables(from, WINDOW)) {
        try {
          Symbols symbols = located.symbols(imageOffset, stext);
          if (isRunning(symbols, imageOffset)) {
            return Optional.of(symbols);
          }
        } catch (MalformedFileException _) {
          // Another reading of the same tables may fit.
        }
      }
    }
    return Optional.empty();
  }

  /// Looks through all of physical memory, knowing nothing.
  Optional<Found> findAnywhere() {
    long unsearched = 0;
    try {
      // From one stored frame to the next: a header may claim memory without end.
      for (long pfn = memory.nextData(0);
          pfn >= 0;
          pfn = memory.nextData(pfn + (WINDOW >>> pageShift))) {
        unsearched = pfn;
        Optional<Found> found = findWithin(pfn << pageShift);
        if (found.isPresent()) {
          return found;
        }
      }
    } catch (CancelledException over) {
      throw over.leaving(
          "memory from 0x%x on was not searched for a symbol table"
              .formatted(unsearched << pageShift));
    }
    return Optional.empty();
  }

  /// Looks through one window.
  private Optional<Found> findWithin(long paddr) {
    for (KallsymsSearch.Located located : tables(paddr, WINDOW)) {
      try {
        Optional<Found> found = place(located);
        if (found.isPresent()) {
          return found;
        }
      } catch (MalformedFileException _) {
        // Another reading of the same tables may fit.
      }
    }
    return Optional.empty();
  }

  /// The one place of the image at which its own variable tells that very place.
  private Optional<Found> place(KallsymsSearch.Located located) throws MalformedFileException {
    if (located.isPlaceRelative()) {
      OptionalLong variable = located.positions().address(architecture.placeVariable());
      OptionalLong value = variable.isPresent() ? word(variable.getAsLong()) : variable;
      if (value.isEmpty()) {
        return Optional.empty();
      }
      long offset = architecture.imageOffset(value.getAsLong());
      return proven(located.symbols(offset, OptionalLong.empty()), offset);
    }
    Symbols symbols = located.symbols(0, OptionalLong.empty());
    OptionalLong rodataStart = symbols.address("__start_rodata");
    OptionalLong rodataEnd = symbols.address("__end_rodata");
    if (rodataStart.isEmpty() || rodataEnd.isEmpty()) {
      // Without data symbols: somewhere behind the start of the image, which has at most a
      // gigabyte.
      rodataStart = symbols.address("_text");
      if (rodataStart.isEmpty()) {
        return Optional.empty();
      }
      rodataEnd = OptionalLong.of(rodataStart.getAsLong() + (1L << 30));
    }
    long table = located.position("kallsyms_token_table").orElseThrow();
    long last = table - rodataStart.getAsLong();
    long first = table - rodataEnd.getAsLong() + ALIGNMENT - 1 & -ALIGNMENT;
    for (long delta = first; delta - last <= 0; delta += ALIGNMENT) {
      Optional<Found> found = proven(symbols, -delta);
      if (found.isPresent()) {
        return found;
      }
    }
    return Optional.empty();
  }

  private Optional<Found> proven(Symbols symbols, long imageOffset) {
    return isRunning(symbols, imageOffset)
        ? Optional.of(new Found(symbols, imageOffset))
        : Optional.empty();
  }

  /// Whether the variable that says where the image lies holds what was used to read it and the
  /// banner reads as one; a kernel without data symbols has neither, there nothing speaks against
  /// it.
  private boolean isRunning(Symbols symbols, long imageOffset) {
    OptionalLong variable = symbols.address(architecture.placeVariable());
    if (variable.isPresent()) {
      OptionalLong value = word(variable.getAsLong() - imageOffset);
      if (value.isEmpty() || architecture.imageOffset(value.getAsLong()) != imageOffset) {
        return false;
      }
    }
    OptionalLong banner = symbols.address("linux_banner");
    if (banner.isPresent()) {
      ByteView text = read(banner.getAsLong() - imageOffset, BANNER.length);
      return text != null && Arrays.equals(text.bytes(0, BANNER.length), BANNER);
    }
    return variable.isPresent();
  }

  /// What VMCOREINFO would say of a kernel of which nothing is known but its symbols: enough to
  /// read its memory. Empty if it has no page tables or no name.
  Optional<Vmcoreinfo> vmcoreinfo(Found found) {
    Symbols symbols = found.symbols;
    OptionalLong uts = symbols.address("init_uts_ns");
    OptionalLong stext = symbols.address("_stext");
    Optional<String> own = architecture.describe(symbols, found.imageOffset, memory);
    if (own.isEmpty() || uts.isEmpty() || stext.isEmpty()) {
      return Optional.empty();
    }
    // Before 5.11 a reference count of 4 bytes stands before the names, the first of which is
    // fixed.
    for (int nameAt = 0; nameAt <= 4; nameAt += 4) {
      ByteView names = read(uts.getAsLong() - found.imageOffset + nameAt, 390);
      if (names == null || !names.string(0, 65).equals("Linux")) {
        continue;
      }
      StringBuilder text = new StringBuilder();
      text.append("OSRELEASE=").append(names.string(130, 65).replace('\n', ' ')).append('\n');
      text.append("SYMBOL(init_uts_ns)=%x\n".formatted(uts.getAsLong()));
      text.append("OFFSET(uts_namespace.name)=%d\n".formatted(nameAt));
      text.append("SYMBOL(_stext)=%x\n".formatted(stext.getAsLong()));
      text.append(own.get());
      return Optional.of(Vmcoreinfo.parse(text.toString()));
    }
    return Optional.empty();
  }

  private OptionalLong word(long paddr) {
    ByteView view = read(paddr, 8);
    return view == null ? OptionalLong.empty() : OptionalLong.of(view.u64(0));
  }

  private List<KallsymsSearch.Located> tables(long paddr, long byteCount) {
    List<KallsymsSearch.Located> found = new ArrayList<>();
    long end = Math.min(memory.endPfn(), ((paddr + byteCount - 1) >>> pageShift) + 1);
    for (long digits : scan(paddr >>> pageShift, end)) {
      found.addAll(KallsymsSearch.at(this::read, digits));
      if (found.size() >= MAX_TABLES) {
        break;
      }
    }
    return found;
  }

  /// Every place in the frames where the ten digits of a token table stand, in ascending order.
  private List<Long> scan(long firstPfn, long endPfn) {
    // Only where something is stored: a header may claim more frames than could be counted.
    List<Long> chunks = new ArrayList<>();
    for (long pfn = memory.nextData(firstPfn);
        pfn >= 0 && pfn < endPfn;
        pfn = memory.nextData(pfn + CHUNK_PAGES)) {
      chunks.add(pfn);
    }
    Cancellation cancellation = Cancellation.current();
    List<Long> traces =
        chunks.parallelStream()
            .map(from -> traces(cancellation, from, Math.min(endPfn, from + CHUNK_PAGES)))
            .flatMap(List::stream)
            .limit(MAX_HITS)
            .toList();
    TreeSet<Long> digits = new TreeSet<>();
    for (long trace : traces) {
      OptionalLong start = KallsymsSearch.digitsAround(this::read, trace);
      if (start.isPresent()) {
        digits.add(start.getAsLong());
      }
    }
    return List.copyOf(digits);
  }

  private List<Long> traces(Cancellation cancellation, long firstPfn, long endPfn) {
    List<Long> found = new ArrayList<>();
    PageBuffer page = PageBuffer.of(memory);
    for (long pfn = memory.nextData(firstPfn);
        pfn >= 0 && pfn < endPfn;
        pfn = memory.nextData(pfn + 1)) {
      cancellation.step();
      if (memory.readInto(pfn, page) instanceof PageRead.Present(MemorySegment bytes)) {
        long at = KallsymsSearch.findTrace(bytes, 0);
        while (at >= 0 && found.size() < MAX_HITS) {
          found.add((pfn << pageShift) + at);
          at = KallsymsSearch.findTrace(bytes, at + 8);
        }
      }
    }
    return found;
  }

  /// Physical bytes that lie together; null if a page of them is not there.
  private ByteView read(long paddr, int byteCount) {
    if (paddr < 0 || byteCount < 0) {
      return null;
    }
    byte[] copy = new byte[byteCount];
    int done = 0;
    while (done < byteCount) {
      long at = paddr + done;
      if (!(memory.read(at >>> pageShift) instanceof PageRead.Present(MemorySegment bytes))) {
        return null;
      }
      int from = (int) (at & memory.pageSize() - 1);
      int count = Math.min(memory.pageSize() - from, byteCount - done);
      MemorySegment.copy(bytes, ValueLayout.JAVA_BYTE, from, copy, done, count);
      done += count;
    }
    return new ByteView("memory", "kallsyms", MemorySegment.ofArray(copy), paddr, false);
  }
}
