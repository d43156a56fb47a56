package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.elf.ElfSegment;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.MappedFile;
import org.vmcheck.io.UnsupportedFormatException;

/// An ELF core of a kernel: PT_LOAD segments of physical memory.
///
/// Segments may come in any order and overlap in physical space (the kernel image lies in the
/// direct map too): the first in file order counts. A `p_filesz` below `p_memsz` means pages left
/// out.
final class ElfDump implements Dump, PhysicalMemory {
  private static final int PAGE_SIZE = 4096;

  /// Pages handed out before the map's resident pages are given back: a fault maps 16 pages at
  /// once, so this bounds the resident size at about 128 MiB.
  private static final int PAGES_BETWEEN_RELEASES = 2048;

  private final MappedFile map;
  private final ByteSource source;
  private final ElfFile elf;
  private final List<ElfNote> notes;
  private final Optional<Vmcoreinfo> vmcoreinfo;
  private final Container container;

  // Pieces of physical space in ascending order, not overlapping; all in bytes.
  private final long[] starts;
  private final long[] ends;
  private final long[] storedEnds;
  private final long[] fileOffsets;
  private final AtomicInteger pagesRead = new AtomicInteger();

  /// @param storedEnd end of what the header says is in the file
  /// @param fileOffset where the byte at the piece's start lies
  private record Piece(long end, long storedEnd, long fileOffset) {}

  private ElfDump(OpenFile file, ElfFile elf) throws IOException {
    this.map = file.map();
    this.source = file.source();
    this.elf = elf;
    this.notes = List.copyOf(elf.notes());
    this.vmcoreinfo = KdumpDump.fromNotes(notes);
    List<String> remarks = new ArrayList<>();
    NavigableMap<Long, Piece> pieces = pieces(elf, remarks);
    int count = pieces.size();
    starts = new long[count];
    ends = new long[count];
    storedEnds = new long[count];
    fileOffsets = new long[count];
    int i = 0;
    for (Map.Entry<Long, Piece> entry : pieces.entrySet()) {
      starts[i] = entry.getKey();
      ends[i] = entry.getValue().end;
      storedEnds[i] = entry.getValue().storedEnd;
      fileOffsets[i++] = entry.getValue().fileOffset;
    }
    this.container =
        new Container(
            elf.is64() ? "elf64" : "elf32",
            0,
            file.flattened(),
            List.of(),
            -1,
            elf.is64(),
            elf.isBigEndian(),
            machineName(elf.machine()),
            vmcoreinfo.map(Vmcoreinfo::release).orElse(""),
            (elf.flags() & 1) != 0,
            countPages(),
            remarks);
  }

  static ElfDump open(OpenFile file) throws IOException {
    ElfFile elf = ElfFile.open(file.source());
    String name = file.source().name();
    if (elf.type() != ElfFile.ET_CORE) {
      String kind =
          switch (elf.type()) {
            case ElfFile.ET_REL -> "a relocatable object or kernel module";
            case ElfFile.ET_EXEC -> "an executable (a vmlinux? give it with --vmlinux)";
            case ElfFile.ET_DYN -> "a shared object or position-independent executable";
            default -> "not a core";
          };
      throw new UnsupportedFormatException(
          "[%s] Ehdr.e_type at 0x10: expected 4 (a core), got %d: %s"
              .formatted(name, elf.type(), kind));
    }
    if (elf.segments().stream().noneMatch(s -> s.type() == ElfSegment.PT_LOAD)) {
      throw new UnsupportedFormatException("[" + name + "] an ELF core without memory segments");
    }
    if (isProcessCore(elf)) {
      throw new UnsupportedFormatException(
          "[" + name + "] the core of a user process, not a kernel's dump: gdb reads it");
    }
    return new ElfDump(file, elf);
  }

  /// A process core has an NT_PRPSINFO or NT_AUXV note and only user addresses.
  private static boolean isProcessCore(ElfFile elf) throws IOException {
    boolean processNote = false;
    for (ElfNote note : elf.notes()) {
      if (note.name().equals("VMCOREINFO") || note.name().equals("QEMU")) {
        return false;
      }
      processNote |= note.name().equals("CORE") && (note.type() == 3 || note.type() == 6);
    }
    return processNote
        && elf.segments().stream()
            .filter(s -> s.type() == ElfSegment.PT_LOAD)
            .allMatch(s -> s.paddr() == 0 && s.vaddr() >= 0);
  }

  private static NavigableMap<Long, Piece> pieces(ElfFile elf, List<String> remarks) {
    NavigableMap<Long, Piece> pieces = new TreeMap<>();
    int index = -1;
    for (ElfSegment segment : elf.segments()) {
      index++;
      if (segment.type() != ElfSegment.PT_LOAD || segment.memorySize() == 0) {
        continue;
      }
      long start = segment.paddr();
      if (start == -1L) {
        continue;
      }
      long size = segment.memorySize();
      if (size < 0 || start < 0 || start > Long.MAX_VALUE - size) {
        remarks.add("program header %d: p_paddr + p_memsz wraps; ignored".formatted(index));
        continue;
      }
      if (Long.compareUnsigned(segment.fileSize(), size) > 0) {
        remarks.add(
            "program header %d: p_filesz is more than p_memsz; the latter counts".formatted(index));
      }
      long stored = Long.compareUnsigned(segment.fileSize(), size) > 0 ? size : segment.fileSize();
      insert(pieces, start, start + size, start + stored, segment.offset());
    }
    return pieces;
  }

  /// Adds the parts of a segment that no earlier one covers.
  private static void insert(
      NavigableMap<Long, Piece> pieces, long start, long end, long storedEnd, long fileOffset) {
    long at = start;
    while (at < end) {
      Map.Entry<Long, Piece> before = pieces.floorEntry(at);
      if (before != null && before.getValue().end > at) {
        at = before.getValue().end;
        continue;
      }
      Long next = pieces.higherKey(at);
      long pieceEnd = next == null ? end : Math.min(end, next);
      long pieceStored = Math.clamp(storedEnd, at, pieceEnd);
      pieces.put(at, new Piece(pieceEnd, pieceStored, fileOffset + (at - start)));
      at = pieceEnd;
    }
  }

  private Container.Pages countPages() {
    long total = 0;
    long stored = 0;
    long missing = 0;
    for (int i = 0; i < starts.length; i++) {
      total += (ends[i] - starts[i]) / PAGE_SIZE;
      long inHeader = storedEnds[i] - starts[i];
      long there = inHeader == 0 ? 0 : source.available(fileOffsets[i], inHeader);
      stored += there / PAGE_SIZE;
      missing += (inHeader - there) / PAGE_SIZE;
    }
    return new Container.Pages(total, stored, total - stored - missing, missing);
  }

  private static String machineName(int machine) {
    return switch (machine) {
      case ElfFile.EM_X86_64 -> "x86_64";
      case ElfFile.EM_386 -> "i386";
      case 20 -> "ppc";
      case 21 -> "ppc64";
      case 22 -> "s390x";
      case 40 -> "arm";
      case 183 -> "aarch64";
      case 243 -> "riscv64";
      case 258 -> "loongarch64";
      default -> "machine " + machine;
    };
  }

  @Override
  public Path path() {
    return map.path();
  }

  @Override
  public long fileBytes() {
    return map.size();
  }

  @Override
  public Container container() {
    return container;
  }

  @Override
  public PhysicalMemory memory() {
    return this;
  }

  @Override
  public List<ElfNote> notes() {
    return notes;
  }

  @Override
  public Optional<Vmcoreinfo> vmcoreinfo() {
    return vmcoreinfo;
  }

  @Override
  public List<ElfSegment> loadSegments() {
    return elf.segments().stream().filter(s -> s.type() == ElfSegment.PT_LOAD).toList();
  }

  @Override
  public int pageSize() {
    return PAGE_SIZE;
  }

  @Override
  public long endPfn() {
    return ends.length == 0 ? 0 : (ends[ends.length - 1] + PAGE_SIZE - 1) / PAGE_SIZE;
  }

  @Override
  public long nextStored(long pfn) {
    long paddr = pfn * PAGE_SIZE;
    for (int i = Math.max(0, pieceAtOrBefore(paddr)); i < starts.length; i++) {
      long first = (Math.max(starts[i], paddr) + PAGE_SIZE - 1) / PAGE_SIZE;
      if (first * PAGE_SIZE <= storedEnds[i] - PAGE_SIZE) {
        return first;
      }
    }
    return -1;
  }

  private int pieceAtOrBefore(long paddr) {
    int found = Arrays.binarySearch(starts, paddr);
    return found >= 0 ? found : -found - 2;
  }

  @Override
  public PageRead read(long pfn) {
    if (pfn < 0 || pfn > Long.MAX_VALUE / PAGE_SIZE - 1) {
      return new PageRead.NotInDump(pfn);
    }
    long paddr = pfn * PAGE_SIZE;
    int i = pieceAtOrBefore(paddr);
    if (i >= 0 && paddr <= storedEnds[i] - PAGE_SIZE) {
      return readStored(pfn, fileOffsets[i] + (paddr - starts[i]));
    }
    return readPartial(pfn, paddr, Math.max(i, 0));
  }

  private PageRead readStored(long pfn, long offset) {
    if (source.available(offset, PAGE_SIZE) < PAGE_SIZE) {
      return new PageRead.Damaged(
          pfn,
          offset,
          PageRead.Damage.TRUNCATED,
          "the page lies beyond the file's " + source.size() + " bytes");
    }
    if (pagesRead.incrementAndGet() % PAGES_BETWEEN_RELEASES == 0) {
      map.releaseResidentPages();
    }
    try {
      return new PageRead.Present(source.slice(offset, PAGE_SIZE));
    } catch (IOException e) {
      return new PageRead.Damaged(pfn, offset, PageRead.Damage.TRUNCATED, e.getMessage());
    }
  }

  /// A page that no piece stores whole: put together from several, or else the reason it is not
  /// there.
  private PageRead readPartial(long pfn, long paddr, int firstPiece) {
    MemorySegment page = null;
    long covered = 0;
    boolean excluded = false;
    for (int i = firstPiece; i < starts.length && starts[i] < paddr + PAGE_SIZE; i++) {
      long from = Math.max(starts[i], paddr);
      long to = Math.min(ends[i], paddr + PAGE_SIZE);
      if (from >= to) {
        continue;
      }
      long storedTo = Math.min(storedEnds[i], to);
      excluded |= storedTo < to;
      if (from < storedTo) {
        if (page == null) {
          page = MemorySegment.ofArray(new byte[PAGE_SIZE]);
        }
        long offset = fileOffsets[i] + (from - starts[i]);
        if (source.available(offset, storedTo - from) < storedTo - from) {
          return new PageRead.Damaged(
              pfn, offset, PageRead.Damage.TRUNCATED, "the page lies beyond the end of the file");
        }
        try {
          MemorySegment.copy(
              source.slice(offset, storedTo - from), 0, page, from - paddr, storedTo - from);
        } catch (IOException e) {
          return new PageRead.Damaged(pfn, offset, PageRead.Damage.TRUNCATED, e.getMessage());
        } catch (InternalError lost) {
          if (MappedFile.isLostMap(lost)) {
            return new PageRead.Unreadable(pfn, offset, "the file shrank or its device failed");
          }
          throw lost;
        }
        covered += storedTo - from;
      }
    }
    if (covered == PAGE_SIZE) {
      return new PageRead.Present(page.asReadOnly());
    }
    return excluded ? new PageRead.Excluded(pfn) : new PageRead.NotInDump(pfn);
  }

  @Override
  public void close() {
    map.close();
  }
}
