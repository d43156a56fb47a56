package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.Set;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.elf.ElfSegment;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.Cancellation;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.MappedFile;
import org.vmcheck.io.UnsupportedFormatException;

/// An ELF core of a kernel: PT_LOAD segments of physical memory.
///
/// Segments may come in any order and overlap in physical space (the kernel image lies in the
/// direct map too): the first in file order that holds the bytes counts. A `p_filesz` below
/// `p_memsz` means pages left out, unless another segment holds them.
final class ElfDump implements Dump, PhysicalMemory {
  private static final int DEFAULT_PAGE_SIZE = 4096;
  private static final int MAX_PAGE_SIZE = 256 << 10;

  private final OpenFile file;
  private final ByteSource source;
  private final ElfFile elf;
  private final List<ElfNote> notes;
  private final Optional<Vmcoreinfo> vmcoreinfo;
  private final int pageSize;

  /// The last frame whose end is still a positive address. Kept, since the quotient of two longs
  /// costs as much as the rest of a look-up where only the quick compiler runs.
  private final long lastPfn;

  private final Container container;

  private final ReadFailures failures = new ReadFailures();

  // Pieces of physical space in ascending order, not overlapping; all in bytes.
  private final long[] starts;
  private final long[] ends;
  private final long[] storedEnds;
  private final long[] fileOffsets;

  // Runs of physical space that is in the file, across pieces that touch; those with a whole page.
  private final long[] runStarts;
  private final long[] runEnds;

  private ElfDump(
      OpenFile file, ElfFile elf, NavigableMap<Long, ElfPieces.Piece> pieces, List<String> remarks)
      throws IOException {
    this.file = file;
    this.source = file.source();
    this.elf = elf;
    this.notes = List.copyOf(elf.notes());
    this.vmcoreinfo = KdumpDump.fromNotes(notes);
    this.pageSize = pageSize(vmcoreinfo, remarks);
    this.lastPfn = Long.MAX_VALUE / pageSize - 1;
    int count = pieces.size();
    starts = new long[count];
    ends = new long[count];
    storedEnds = new long[count];
    fileOffsets = new long[count];
    long[] froms = new long[count];
    long[] tos = new long[count];
    BitSet cut = new BitSet();
    int i = 0;
    int runs = 0;
    long held = 0;
    for (Map.Entry<Long, ElfPieces.Piece> entry : pieces.entrySet()) {
      starts[i] = entry.getKey();
      ends[i] = entry.getValue().end();
      storedEnds[i] = entry.getValue().storedEnd();
      fileOffsets[i] = entry.getValue().fileOffset();
      long there = lostFrom(i);
      if (there > starts[i]) {
        held += there - starts[i];
        if (runs > 0 && tos[runs - 1] == starts[i]) {
          tos[runs - 1] = there;
        } else {
          froms[runs] = starts[i];
          tos[runs++] = there;
        }
        cut.set(runs - 1, there < storedEnds[i]);
      }
      i++;
    }
    if (held / 2 > source.size()) {
      // Pieces do not overlap in memory, so that each byte of the file is one byte of memory, or
      // two where a mapping is listed twice: more is a trap for whoever walks them.
      throw new MalformedFileException(
          "[%s] program headers: expected at most %d bytes of memory in the file, got %d"
              .formatted(source.name(), source.size(), held));
    }
    long inPart = inPart(froms, tos, runs, cut);
    int whole = 0;
    for (int run = 0; run < runs; run++) {
      if (pageFrom(froms[run]) <= tos[run] / pageSize - 1) {
        froms[whole] = froms[run];
        tos[whole++] = tos[run];
      }
    }
    runStarts = Arrays.copyOf(froms, whole);
    runEnds = Arrays.copyOf(tos, whole);
    remarks.addAll(file.remarks());
    if (source instanceof FlattenedSource stream && !stream.isEnded()) {
      remarks.add("the flattened stream ends without its end marker: it was cut short");
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
            machineName(elf),
            vmcoreinfo.map(Vmcoreinfo::release).orElse(""),
            (elf.flags() & 1) != 0,
            countPages(inPart),
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
    if (isXenCore(elf)) {
      throw new UnsupportedFormatException(
          "[" + name + "] looks like an xl dump-core file, which is not supported: crash reads it");
    }
    List<ElfSegment> loads =
        elf.segments().stream().filter(s -> s.type() == ElfSegment.PT_LOAD).toList();
    if (loads.isEmpty()) {
      throw new UnsupportedFormatException("[" + name + "] an ELF core without memory segments");
    }
    if (isProcessCore(elf)) {
      throw new UnsupportedFormatException(
          "[" + name + "] the core of a user process, not a kernel's dump: gdb reads it");
    }
    boolean someAddress = loads.stream().anyMatch(s -> s.paddr() != 0 && s.paddr() != -1L);
    if (!someAddress && (loads.size() > 1 || loads.getFirst().paddr() != 0)) {
      throw new UnsupportedFormatException(
          "[" + name + "] an ELF core whose segments carry no physical addresses");
    }
    List<String> remarks = new ArrayList<>();
    return new ElfDump(file, elf, ElfPieces.of(elf, remarks), remarks);
  }

  /// The file of `xl dump-core`: its pages stand in sections.
  private static boolean isXenCore(ElfFile elf) {
    try {
      return elf.sections().stream()
          .anyMatch(s -> s.name().equals(".xen_pages") || s.name().equals(".note.Xen"));
    } catch (IOException _) {
      // QEMU puts its section names at the end of the file: a dump cut short has lost them.
      return false;
    }
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

  /// The kernel's page size: `PAGESIZE`, else 4 KiB.
  private static int pageSize(Optional<Vmcoreinfo> info, List<String> remarks) {
    String told = info.flatMap(i -> i.value("PAGESIZE")).orElse("");
    if (told.isEmpty()) {
      return DEFAULT_PAGE_SIZE;
    }
    try {
      int size = Integer.parseInt(told);
      if (size >= DEFAULT_PAGE_SIZE && size <= MAX_PAGE_SIZE && Integer.bitCount(size) == 1) {
        return size;
      }
    } catch (NumberFormatException _) {
      // Said below.
    }
    remarks.add("VMCOREINFO says PAGESIZE=" + told + ", which is none; 4096 is taken");
    return DEFAULT_PAGE_SIZE;
  }

  /// How many frames hold the first or the last byte of a run that begins or ends inside of them.
  ///
  /// @param cut the runs that end where the file does: their rest is missing
  private long inPart(long[] froms, long[] tos, int runs, BitSet cut) {
    long frames = 0;
    long last = -1;
    for (int run = 0; run < runs; run++) {
      for (long border : new long[] {froms[run], cut.get(run) ? 0 : tos[run]}) {
        if (border % pageSize != 0 && border / pageSize != last) {
          last = border / pageSize;
          frames++;
        }
      }
    }
    return frames;
  }

  /// Frames, each once, however many pieces it is put together from.
  private Container.Pages countPages(long inPart) {
    long total = 0;
    long next = 0;
    long missing = 0;
    for (int i = 0; i < starts.length; i++) {
      long end = (ends[i] - 1) / pageSize + 1;
      total += Math.max(0, end - Math.max(next, starts[i] / pageSize));
      next = Math.max(next, end);
      long inHeader = storedEnds[i] - starts[i];
      missing +=
          inHeader == 0 ? 0 : (inHeader - source.available(fileOffsets[i], inHeader)) / pageSize;
    }
    long stored = 0;
    for (int run = 0; run < runStarts.length; run++) {
      stored += runEnds[run] / pageSize - pageFrom(runStarts[run]);
    }
    return new Container.Pages(
        total, stored, Math.max(0, total - stored - missing - inPart), missing, inPart);
  }

  private static String machineName(ElfFile elf) {
    return switch (elf.machine()) {
      case ElfFile.EM_X86_64 -> "x86_64";
      // QEMU says so of a guest that had not reached long mode when its dump was taken.
      case ElfFile.EM_386 -> "i386";
      case 8 -> "mips";
      case 20 -> "ppc";
      case 21 -> elf.isBigEndian() ? "ppc64" : "ppc64le";
      case 22 -> elf.is64() ? "s390x" : "s390";
      case 40 -> "arm";
      case 42 -> "sh";
      case 43 -> "sparc64";
      case 50 -> "ia64";
      case ElfFile.EM_AARCH64 -> "aarch64";
      case 243 -> elf.is64() ? "riscv64" : "riscv32";
      case 258 -> "loongarch64";
      default -> "machine " + elf.machine();
    };
  }

  @Override
  public List<String> names() {
    return file.names().toList();
  }

  @Override
  public Path path() {
    return file.path();
  }

  @Override
  public long fileBytes() {
    return file.map().size();
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
  public String eraseinfo() {
    for (ElfNote note : notes) {
      if (note.name().equals("ERASEINFO")) {
        return note.desc().string(0, (int) Math.min(note.desc().size(), 16 << 20));
      }
    }
    return "";
  }

  @Override
  public List<String> readFailures() {
    return failures.words(List.of(file.map()));
  }

  @Override
  public Set<Long> unreadablePages() {
    return failures.pfns();
  }

  @Override
  public ContainerAudit audit() {
    return ElfAudit.of(this);
  }

  @Override
  public List<ElfSegment> loadSegments() {
    return elf.segments().stream().filter(s -> s.type() == ElfSegment.PT_LOAD).toList();
  }

  @Override
  public boolean isCut() {
    return Dump.super.isCut()
        || nextTruncated(0) >= 0
        || (source instanceof FlattenedSource stream && !stream.isEnded());
  }

  ByteSource source() {
    return source;
  }

  @Override
  public int pageSize() {
    return pageSize;
  }

  @Override
  public long endPfn() {
    return ends.length == 0 ? 0 : (ends[ends.length - 1] - 1) / pageSize + 1;
  }

  @Override
  public long nextStored(long pfn) {
    if (pfn < 0 || pfn > lastPfn) {
      return pfn < 0 ? nextStored(0) : -1;
    }
    long paddr = pfn * pageSize;
    // The run that holds the address, or else the next: each has a whole page.
    for (int i = Math.max(0, atOrBefore(runStarts, paddr)); i < runStarts.length; i++) {
      long first = pageFrom(Math.max(runStarts[i], paddr));
      if (first <= runEnds[i] / pageSize - 1) {
        return first;
      }
    }
    return -1;
  }

  @Override
  public long nextData(long pfn) {
    Cancellation cancellation = Cancellation.current();
    long at = nextStored(pfn);
    while (at >= 0) {
      cancellation.step();
      long paddr = at * pageSize;
      int i = atOrBefore(starts, paddr);
      if (i < 0 || paddr + pageSize > storedEnds[i]) {
        return at; // Put together from several pieces.
      }
      long offset = fileOffsets[i] + (paddr - starts[i]);
      long zeros = Math.min(source.nextData(offset) - offset, storedEnds[i] - paddr);
      if (zeros < pageSize) {
        return at;
      }
      at = nextStored(at + zeros / pageSize);
    }
    return -1;
  }

  /// The first frame that begins at an address or above it.
  private long pageFrom(long paddr) {
    return paddr / pageSize + (paddr % pageSize == 0 ? 0 : 1);
  }

  private static int atOrBefore(long[] sorted, long value) {
    int found = Arrays.binarySearch(sorted, value);
    return found >= 0 ? found : -found - 2;
  }

  @Override
  public PageRead read(long pfn) {
    return read(pfn, null);
  }

  @Override
  public PageRead readInto(long pfn, PageBuffer page) {
    return read(pfn, page);
  }

  /// @param into where to copy the page; null for a view of the file where that is possible
  private PageRead read(long pfn, PageBuffer into) {
    if (pfn < 0 || pfn > lastPfn) {
      return new PageRead.NotInDump(pfn);
    }
    long paddr = pfn * pageSize;
    int i = atOrBefore(starts, paddr);
    long fileOffset = i >= 0 && paddr < ends[i] ? fileOffsets[i] + (paddr - starts[i]) : 0;
    try {
      if (i >= 0 && paddr + pageSize <= storedEnds[i]) {
        if (source.available(fileOffset, pageSize) < pageSize) {
          return truncated(pfn, fileOffset);
        }
        if (into == null) {
          MemorySegment bytes = source.slice(fileOffset, pageSize);
          MappedFile.touch(bytes);
          MappedFile.settle();
          return new PageRead.Present(bytes);
        }
        source.copy(fileOffset, into.bytes(), pageSize, into.ahead());
        return into.present();
      }
      if (i >= 0 && paddr >= storedEnds[i] && paddr + pageSize <= ends[i]) {
        return new PageRead.Excluded(pfn);
      }
      PageRead partial = readPartial(pfn, paddr, Math.max(i, 0), into);
      MappedFile.settle();
      return partial;
    } catch (IOException e) {
      return new PageRead.Damaged(pfn, fileOffset, PageRead.Damage.TRUNCATED, e.getMessage());
    } catch (InternalError lost) {
      return failures.page(pfn, fileOffset, lost);
    }
  }

  private PageRead truncated(long pfn, long fileOffset) {
    return new PageRead.Damaged(
        pfn,
        fileOffset,
        PageRead.Damage.TRUNCATED,
        "the page lies beyond the file's " + source.size() + " bytes");
  }

  /// A page that no piece stores whole: put together from several, or else the reason it is not
  /// there.
  private PageRead readPartial(long pfn, long paddr, int firstPiece, PageBuffer into)
      throws IOException {
    MemorySegment page = null;
    long covered = 0;
    boolean excluded = false;
    for (int i = firstPiece; i < starts.length && starts[i] < paddr + pageSize; i++) {
      long from = Math.max(starts[i], paddr);
      long to = Math.min(ends[i], paddr + pageSize);
      if (from >= to) {
        continue;
      }
      long storedTo = Math.min(storedEnds[i], to);
      excluded |= storedTo < to;
      if (from < storedTo) {
        if (page == null) {
          page = MemorySegment.ofArray(into == null ? new byte[pageSize] : into.bytes());
        }
        long offset = fileOffsets[i] + (from - starts[i]);
        if (source.available(offset, storedTo - from) < storedTo - from) {
          return truncated(pfn, offset);
        }
        MemorySegment.copy(
            source.slice(offset, storedTo - from), 0, page, from - paddr, storedTo - from);
        covered += storedTo - from;
      }
    }
    if (covered == pageSize) {
      return into != null ? into.present() : new PageRead.Present(page.asReadOnly());
    }
    return excluded ? new PageRead.Excluded(pfn) : new PageRead.NotInDump(pfn);
  }

  @Override
  public int storedInPart(long paddr) {
    if (paddr < 0 || paddr / pageSize > lastPfn || isWhole(paddr / pageSize)) {
      return 0;
    }
    long pageEnd = paddr - paddr % pageSize + pageSize;
    long at = paddr;
    for (int i = Math.max(0, atOrBefore(starts, paddr)); i < starts.length && at < pageEnd; i++) {
      if (starts[i] <= at && at < lostFrom(i)) {
        at = Math.min(pageEnd, lostFrom(i));
      }
    }
    return (int) (at - paddr);
  }

  private boolean isWhole(long pfn) {
    return nextStored(pfn) == pfn;
  }

  @Override
  public MemorySegment readPart(long paddr, int byteCount) throws IOException {
    MemorySegment part = MemorySegment.ofArray(new byte[byteCount]);
    int done = 0;
    for (int i = Math.max(0, atOrBefore(starts, paddr));
        i < starts.length && done < byteCount;
        i++) {
      long at = paddr + done;
      long count = Math.min(byteCount - done, lostFrom(i) - at);
      if (starts[i] <= at && count > 0) {
        MemorySegment.copy(
            source.slice(fileOffsets[i] + (at - starts[i]), count), 0, part, done, count);
        done += (int) count;
      }
    }
    MappedFile.settle();
    return part.asSlice(0, done).asReadOnly();
  }

  @Override
  public Optional<PageRead> defect(long pfn) {
    if (pfn < 0 || pfn > lastPfn) {
      return Optional.empty();
    }
    long paddr = pfn * pageSize;
    for (int i = Math.max(0, atOrBefore(starts, paddr));
        i < starts.length && starts[i] < paddr + pageSize;
        i++) {
      long from = Math.max(starts[i], paddr);
      long to = Math.min(storedEnds[i], paddr + pageSize);
      long offset = fileOffsets[i] + (from - starts[i]);
      if (from < to && source.available(offset, to - from) < to - from) {
        return Optional.of(truncated(pfn, offset));
      }
    }
    return Optional.empty();
  }

  /// The first frame at or after `pfn` that holds a byte beyond the end of the file, or -1.
  long nextTruncated(long pfn) {
    long paddr = pfn * pageSize;
    for (int i = Math.max(0, atOrBefore(starts, paddr)); i < starts.length; i++) {
      long lostFrom = Math.max(paddr, lostFrom(i));
      if (lostFrom < storedEnds[i]) {
        return lostFrom / pageSize;
      }
    }
    return -1;
  }

  /// The last frame of the piece that holds a truncated frame's lost bytes.
  long lastTruncated(long pfn) {
    long paddr = pfn * pageSize;
    for (int i = Math.max(0, atOrBefore(starts, paddr)); i < starts.length; i++) {
      if (Math.max(paddr, lostFrom(i)) < storedEnds[i]) {
        return (storedEnds[i] - 1) / pageSize;
      }
    }
    return pfn;
  }

  /// First physical address of a piece that should be in the file and lies beyond its end.
  private long lostFrom(int piece) {
    long stored = storedEnds[piece] - starts[piece];
    return stored == 0
        ? storedEnds[piece]
        : starts[piece] + source.available(fileOffsets[piece], stored);
  }

  @Override
  public void close() {
    file.map().close();
  }
}
