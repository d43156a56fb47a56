package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.vmcheck.codec.Codecs;
import org.vmcheck.codec.CorruptPageException;
import org.vmcheck.codec.PageCodec;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.MappedFile;

/// A kdump-compressed dump: two bitmaps, a table of page descriptors, page data; in one file or in
/// the parts that `makedumpfile --split` writes.
///
/// The descriptor of frame p is number rank(p) of the second bitmap, counted from the part's first
/// frame. Each part repeats the headers and the bitmaps of the whole.
final class KdumpDump implements Dump, PhysicalMemory {
  static final int DESCRIPTOR_BYTES = 24;

  /// Pages at the end of a file that are looked at to see whether it was cut.
  private static final long LAST_PAGES = 256;

  private static final ThreadLocal<byte[]> SCRATCH = ThreadLocal.withInitial(() -> new byte[4096]);

  private final List<KdumpPart> parts;
  private final KdumpHeader header;
  private final PageBitmap exists;
  private final PageBitmap dumpable;
  private final List<ElfNote> notes;
  private final Optional<Vmcoreinfo> vmcoreinfo;
  private final Container container;
  private final PageCache cache;
  private final ReadFailures failures = new ReadFailures();
  private final DamagedPages damaged = new DamagedPages();
  private volatile ContainerAudit audit;

  /// Frames [from, to) whose bits were cut off with the end of a flattened stream.
  private final long lostBitsFrom;

  private final long lostBitsTo;

  private KdumpDump(List<OpenFile> files, List<KdumpHeader> headers) throws IOException {
    this.header = headers.getFirst();
    List<String> remarks = new ArrayList<>(header.remarks());
    for (OpenFile file : files) {
      remarks.addAll(file.remarks());
      if (file.source() instanceof FlattenedSource stream && !stream.isEnded()) {
        remarks.add("the flattened stream ends without its end marker: it was cut short");
      }
    }
    ByteSource source = files.getFirst().source();
    long bitmapBytes = header.bitmapBlocks() * header.blockSize();
    // Two bitmaps unless the area has room for one only (very old, complete dumps).
    boolean two = header.maxMapnr() <= bitmapBytes / 2 * 8;
    long oneBytes = two ? bitmapBytes / 2 : bitmapBytes;
    MemorySegment first = source.slice(header.bitmapOffset(), oneBytes);
    long secondAt = header.bitmapOffset() + (two ? oneBytes : 0);
    MemorySegment second = two ? source.slice(secondAt, oneBytes) : first;
    exists = new PageBitmap(first, header.maxMapnr());
    dumpable = two ? new PageBitmap(second, header.maxMapnr()) : exists;
    if (dumpable.setCount() == 0) {
      remarks.add("no page is marked as stored: the file is cut short, or was never finished");
    }
    long[] lost = lostBits(source, secondAt, oneBytes);
    lostBitsFrom = lost[0];
    lostBitsTo = lost[1];
    parts = KdumpPart.arrange(files, headers, dumpable, second, remarks);
    notes = notes(source, header);
    vmcoreinfo = vmcoreinfo(source, header, notes);
    cache = new PageCache(header.blockSize(), dumpable);
    boolean incomplete = headers.stream().anyMatch(KdumpHeader::isIncomplete);
    long missing = missing();
    container =
        new Container(
            header.isDiskdump() ? "diskdump" : "kdump-compressed",
            header.version(),
            files.getFirst().flattened(),
            Codecs.namesIn(
                headers.stream().mapToInt(KdumpHeader::status).reduce(0, (a, b) -> a | b)),
            header.dumpLevel(),
            header.is64(),
            header.bigEndian(),
            header.machine(),
            header.release(),
            incomplete,
            new Container.Pages(
                exists.setCount(),
                dumpable.setCount() - missing,
                exists.countNotIn(dumpable),
                missing),
            remarks);
  }

  /// Opens a dump in one file, or a split one from the parts that are there, in any order.
  ///
  /// @throws MalformedFileException if the files are no parts of one dump, or one is given twice
  static KdumpDump open(List<OpenFile> files) throws IOException {
    List<KdumpHeader> headers = new ArrayList<>();
    for (OpenFile file : files) {
      headers.add(KdumpHeader.read(file.source()));
    }
    return new KdumpDump(files, headers);
  }

  /// Frames whose bits of the second bitmap a flattened stream that was cut short does not hold:
  /// their zeros say nothing.
  private static long[] lostBits(ByteSource source, long bitmapOffset, long byteCount)
      throws IOException {
    if (source instanceof FlattenedSource stream && !stream.isEnded()) {
      long there = stream.heldFrom(bitmapOffset, byteCount);
      return new long[] {there * 8, byteCount * 8};
    }
    return new long[] {0, 0};
  }

  private static List<ElfNote> notes(ByteSource source, KdumpHeader header) throws IOException {
    List<ElfNote> notes = new ArrayList<>();
    if (!header.notes().isEmpty()) {
      ElfFile.parseNotes(
          source.view(
              "notes", header.notes().offset(), header.notes().byteCount(), header.bigEndian()),
          notes);
    }
    return List.copyOf(notes);
  }

  private static Optional<Vmcoreinfo> vmcoreinfo(
      ByteSource source, KdumpHeader header, List<ElfNote> notes) throws IOException {
    KdumpHeader.Area area = header.vmcoreinfo();
    if (!area.isEmpty()) {
      ByteView view = source.view("vmcoreinfo", area.offset(), area.byteCount(), false);
      Vmcoreinfo parsed = Vmcoreinfo.parse(view.string(0, (int) area.byteCount()));
      if (!parsed.isEmpty()) {
        return Optional.of(parsed);
      }
    }
    return fromNotes(notes);
  }

  /// The text of a VMCOREINFO note.
  static Optional<Vmcoreinfo> fromNotes(List<ElfNote> notes) {
    for (ElfNote note : notes) {
      if (note.name().equals("VMCOREINFO")) {
        int length = (int) Math.min(note.desc().size(), Vmcoreinfo.MAX_BYTES);
        Vmcoreinfo parsed = Vmcoreinfo.parse(note.desc().string(0, length));
        if (!parsed.isEmpty()) {
          return Optional.of(parsed);
        }
      }
    }
    return Optional.empty();
  }

  /// Stored pages without a descriptor in the files: beyond a file's end, or of a part not given.
  private long missing() {
    long there = 0;
    for (KdumpPart part : parts) {
      long wanted = dumpable.rank(part.endPfn()) - part.rankOfStart();
      long room = part.source().size() - part.header().descriptorTableOffset();
      there += Math.clamp(room / DESCRIPTOR_BYTES, 0, wanted);
    }
    return dumpable.setCount() - there;
  }

  /// Whether pages lie beyond the end of a file. Writers put their data in the order of the frames,
  /// so that the last ones tell.
  @Override
  public boolean isCut() {
    if (Dump.super.isCut() || parts.stream().anyMatch(KdumpDump::isEndless)) {
      return true;
    }
    for (KdumpPart part : parts) {
      long end = dumpable.rank(part.endPfn());
      for (long i = Math.max(part.rankOfStart(), end - LAST_PAGES); i < end; i++) {
        if (defect(dumpable.select(i)).orElse(null) instanceof PageRead.Damaged damaged
            && damaged.damage() == PageRead.Damage.TRUNCATED) {
          return true;
        }
      }
    }
    return false;
  }

  private static boolean isEndless(KdumpPart part) {
    return part.source() instanceof FlattenedSource stream && !stream.isEnded();
  }

  KdumpHeader header() {
    return header;
  }

  List<KdumpPart> parts() {
    return parts;
  }

  PageBitmap exists() {
    return exists;
  }

  PageBitmap dumpable() {
    return dumpable;
  }

  @Override
  public List<String> names() {
    return parts.stream().flatMap(part -> part.file().names()).toList();
  }

  @Override
  public Path path() {
    return parts.getFirst().file().path();
  }

  @Override
  public List<Path> files() {
    return parts.stream().map(part -> part.file().path()).toList();
  }

  @Override
  public long fileBytes() {
    return parts.stream().mapToLong(part -> part.file().map().size()).sum();
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
    KdumpHeader.Area area = header.eraseinfo();
    try {
      return area.isEmpty()
          ? ""
          : parts
              .getFirst()
              .source()
              .view("eraseinfo", area.offset(), area.byteCount(), false)
              .string(0, (int) area.byteCount());
    } catch (IOException _) {
      return "";
    }
  }

  @Override
  public ContainerAudit audit() {
    ContainerAudit made = audit;
    if (made == null) {
      made = KdumpAudit.of(this);
      audit = made;
    }
    return made;
  }

  @Override
  public int pageSize() {
    return header.blockSize();
  }

  @Override
  public long endPfn() {
    return dumpable.bitCount();
  }

  @Override
  public long nextStored(long pfn) {
    return dumpable.nextSet(pfn);
  }

  @Override
  public long storedAt(long index) {
    return dumpable.select(index);
  }

  @Override
  public boolean isPacked() {
    return true;
  }

  @Override
  public PageRead read(long pfn) {
    PageRead.Present cached = cache.get(pfn);
    if (cached != null) {
      return cached;
    }
    return read(pfn, null);
  }

  @Override
  public PageRead readInto(long pfn, PageBuffer page) {
    PageRead.Present cached = cache.get(pfn);
    if (cached == null) {
      return read(pfn, page);
    }
    try {
      // A page that is stored as it is lies in the map.
      MemorySegment.copy(cached.bytes(), ValueLayout.JAVA_BYTE, 0, page.bytes(), 0, pageSize());
      MappedFile.settle();
      return page.present();
    } catch (InternalError lost) {
      return failures.page(pfn, header.descriptorTableOffset(), lost);
    }
  }

  @Override
  public PageRead decodes(long pfn, PageBuffer page) {
    if (cache.get(pfn) != null) {
      return page.present();
    }
    return met(readStored(pfn, page, false));
  }

  /// @param into where to decode the page; null for a place in the cache
  private PageRead read(long pfn, PageBuffer into) {
    return met(readStored(pfn, into, true));
  }

  /// Keeps a page in mind that does not decode.
  private PageRead met(PageRead read) {
    if (read instanceof PageRead.Damaged found && found.damage() == PageRead.Damage.UNDECODABLE) {
      damaged.add(found.pfn());
    }
    return read;
  }

  /// @param rawToo whether a page that is stored as it is is read, and not only found
  private PageRead readStored(long pfn, PageBuffer into, boolean rawToo) {
    long at = header.descriptorTableOffset();
    try {
      Location location = locate(pfn);
      if (!(location instanceof Location.At found)) {
        MappedFile.settle();
        return ((Location.Nowhere) location).why();
      }
      at = found.offset;
      if (!rawToo && found.codecFlags == 0) {
        return into.present();
      }
      PageRead read = decode(pfn, found, into);
      MappedFile.settle();
      return read;
    } catch (IOException e) {
      return new PageRead.Damaged(pfn, 0, PageRead.Damage.TRUNCATED, e.getMessage());
    } catch (InternalError lost) {
      return failures.page(pfn, at, lost);
    }
  }

  @Override
  public Optional<PageRead> defect(long pfn) {
    try {
      return locate(pfn) instanceof Location.Nowhere(PageRead.Damaged damaged)
          ? Optional.of(damaged)
          : Optional.empty();
    } catch (IOException e) {
      return Optional.of(new PageRead.Damaged(pfn, 0, PageRead.Damage.TRUNCATED, e.getMessage()));
    } catch (InternalError lost) {
      return Optional.of(unreadable(pfn, lost));
    }
  }

  /// A page whose descriptor cannot be read.
  PageRead.Unreadable unreadable(long pfn, InternalError lost) {
    return failures.page(pfn, header.descriptorTableOffset(), lost);
  }

  @Override
  public List<String> readFailures() {
    return failures.words(parts.stream().map(part -> part.file().map()).toList());
  }

  @Override
  public DamagedPages damagedPages() {
    return damaged;
  }

  @Override
  public Set<Long> unreadablePages() {
    return failures.pfns();
  }

  /// Where a page's data lies, or why it lies nowhere.
  sealed interface Location {
    /// @param codecFlags the codec's bit, 0 for a page stored as it is
    record At(KdumpPart part, long offset, int byteCount, int codecFlags) implements Location {}

    record Nowhere(PageRead why) implements Location {}
  }

  private static Location damaged(
      long pfn, long fileOffset, PageRead.Damage damage, String format, Object... values) {
    return new Location.Nowhere(
        new PageRead.Damaged(pfn, fileOffset, damage, format.formatted(values)));
  }

  /// The file that holds a frame's descriptor, or null.
  private KdumpPart partOf(long pfn) {
    for (KdumpPart part : parts) {
      if (pfn >= part.startPfn() && pfn < part.endPfn()) {
        return part;
      }
    }
    return null;
  }

  /// Finds a page's descriptor and checks every value of it.
  Location locate(long pfn) throws IOException {
    if (!dumpable.get(pfn)) {
      if (pfn >= lostBitsFrom && pfn < lostBitsTo && pfn < endPfn()) {
        return damaged(
            pfn,
            0,
            PageRead.Damage.TRUNCATED,
            "the bitmap that says whether it is stored was cut off with the end of the stream");
      }
      return new Location.Nowhere(
          exists.get(pfn) ? new PageRead.Excluded(pfn) : new PageRead.NotInDump(pfn));
    }
    KdumpPart part = partOf(pfn);
    if (part == null) {
      return damaged(
          pfn,
          0,
          PageRead.Damage.MISSING_PART,
          "the page is in a part of this split dump that was not given");
    }
    return locate(pfn, part, dumpable.rank(pfn) - part.rankOfStart());
  }

  /// @param index number of the page's descriptor in its part
  Location locate(long pfn, KdumpPart part, long index) throws IOException {
    ByteSource source = part.source();
    long at = header.descriptorTableOffset() + index * DESCRIPTOR_BYTES;
    if (source.available(at, DESCRIPTOR_BYTES) < DESCRIPTOR_BYTES) {
      return damaged(
          pfn,
          at,
          PageRead.Damage.TRUNCATED,
          "its page_desc is not in the file's %d bytes",
          source.size());
    }
    ByteView descriptor = source.view("page_desc", at, DESCRIPTOR_BYTES, header.bigEndian());
    long offset = descriptor.u64(0);
    long size = descriptor.u32(8);
    int flags = descriptor.i32(12);
    int blockSize = header.blockSize();
    if (offset == 0) {
      return damaged(
          pfn,
          at,
          PageRead.Damage.NEVER_WRITTEN,
          "page_desc.offset is 0: the page was never written");
    }
    PageRead.Damage wrong = PageRead.Damage.UNDECODABLE;
    if ((flags & ~Codecs.FLAG_MASK) != 0) {
      return damaged(pfn, at, wrong, "page_desc.flags: expected known codec bits, got 0x%x", flags);
    }
    if (Integer.bitCount(flags) > 1) {
      return damaged(pfn, at, wrong, "page_desc.flags: expected one codec, got 0x%x", flags);
    }
    if (size == 0 || size > blockSize) {
      return damaged(
          pfn, at, wrong, "page_desc.size: expected 1 to %d bytes, got %d", blockSize, size);
    }
    if (flags == 0 && size != blockSize) {
      return damaged(
          pfn,
          at,
          wrong,
          "page_desc.size: expected %d bytes of an uncompressed page, got %d",
          blockSize,
          size);
    }
    if (offset < header.descriptorTableOffset()) {
      return damaged(
          pfn,
          at,
          wrong,
          "page_desc.offset: expected data behind the headers at 0x%x, got 0x%x",
          header.descriptorTableOffset(),
          offset);
    }
    if (source.available(offset, size) < size) {
      return damaged(
          pfn,
          offset,
          PageRead.Damage.TRUNCATED,
          "its %d bytes at 0x%x are not all in the file's %d bytes",
          size,
          offset,
          source.size());
    }
    return new Location.At(part, offset, (int) size, flags);
  }

  private PageRead decode(long pfn, Location.At at, PageBuffer into) throws IOException {
    MemorySegment stored = at.part.source().slice(at.offset, at.byteCount);
    int blockSize = header.blockSize();
    if (at.codecFlags == 0) {
      if (into == null) {
        // A page of the file that is gone shows itself here, not in a walk far from here.
        MappedFile.touch(stored);
        return cache.put(pfn, stored);
      }
      MemorySegment.copy(stored, ValueLayout.JAVA_BYTE, 0, into.bytes(), 0, blockSize);
      return into.present();
    }
    byte[] scratch = SCRATCH.get();
    if (scratch.length < at.byteCount) {
      scratch = new byte[blockSize];
      SCRATCH.set(scratch);
    }
    // Codecs may be native code, which must never see the map: they get a copy.
    MemorySegment.copy(stored, ValueLayout.JAVA_BYTE, 0, scratch, 0, at.byteCount);
    byte[] page = into == null ? cache.room() : into.bytes();
    PageCodec codec = Codecs.byFlag(at.codecFlags).orElseThrow();
    try {
      codec.decode(scratch, at.byteCount, page, blockSize);
    } catch (CorruptPageException e) {
      return new PageRead.Damaged(pfn, at.offset, PageRead.Damage.UNDECODABLE, e.getMessage());
    }
    if (into == null) {
      return cache.put(pfn, page);
    }
    if (cache.holdsAll()) {
      cache.put(pfn, page);
    }
    return into.present();
  }

  @Override
  public void close() {
    for (KdumpPart part : parts) {
      part.file().map().close();
    }
  }
}
