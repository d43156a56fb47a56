package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.codec.Codecs;
import org.vmcheck.codec.CorruptPageException;
import org.vmcheck.codec.PageCodec;
import org.vmcheck.elf.ElfFile;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.MappedFile;

/// A kdump-compressed dump: two bitmaps, a table of page descriptors, page data.
///
/// The descriptor of frame p is number rank(p) of the second bitmap, counted from the part's first
/// frame.
final class KdumpDump implements Dump, PhysicalMemory {
  private static final int DESCRIPTOR_BYTES = 24;
  private static final ThreadLocal<byte[]> SCRATCH = ThreadLocal.withInitial(() -> new byte[4096]);

  private final MappedFile map;
  private final ByteSource source;
  private final KdumpHeader header;
  private final PageBitmap exists;
  private final PageBitmap dumpable;
  private final long rankOfStart;
  private final List<ElfNote> notes;
  private final Optional<Vmcoreinfo> vmcoreinfo;
  private final Container container;
  private final PageCache cache;

  private KdumpDump(
      OpenFile file,
      KdumpHeader header,
      PageBitmap exists,
      PageBitmap dumpable,
      List<ElfNote> notes,
      Optional<Vmcoreinfo> vmcoreinfo,
      List<String> remarks) {
    this.map = file.map();
    this.source = file.source();
    this.header = header;
    this.exists = exists;
    this.dumpable = dumpable;
    this.notes = notes;
    this.vmcoreinfo = vmcoreinfo;
    this.rankOfStart = header.split() ? dumpable.rank(header.startPfn()) : 0;
    this.cache = new PageCache(header.blockSize());
    long stored = dumpable.setCount();
    long missing = missing(stored);
    this.container =
        new Container(
            "kdump-compressed",
            header.version(),
            file.flattened(),
            Codecs.namesIn(header.status()),
            header.dumpLevel(),
            header.is64(),
            header.bigEndian(),
            header.machine(),
            header.release(),
            header.isIncomplete(),
            new Container.Pages(
                exists.setCount(), stored - missing, exists.countNotIn(dumpable), missing),
            remarks);
  }

  static KdumpDump open(OpenFile file) throws IOException {
    ByteSource source = file.source();
    KdumpHeader header = KdumpHeader.read(source);
    List<String> remarks = new ArrayList<>(header.remarks());
    if (file.flattened() && !((FlattenedSource) source).isEnded()) {
      remarks.add("the flattened stream ends without its end marker: it was cut short");
    }
    long bitmapBytes = header.bitmapBlocks() * header.blockSize();
    // Two bitmaps unless the area has room for one only (very old, complete dumps).
    boolean two = header.maxMapnr() <= bitmapBytes / 2 * 8;
    long oneBytes = two ? bitmapBytes / 2 : bitmapBytes;
    MemorySegment first = source.slice(header.bitmapOffset(), oneBytes);
    MemorySegment second = two ? source.slice(header.bitmapOffset() + oneBytes, oneBytes) : first;
    PageBitmap exists = new PageBitmap(first, header.maxMapnr());
    PageBitmap dumpable = two ? new PageBitmap(second, header.maxMapnr()) : exists;
    if (dumpable.setCount() == 0) {
      remarks.add("no page is marked as stored: the file is cut short, or was never finished");
    }
    List<ElfNote> notes = new ArrayList<>();
    if (!header.notes().isEmpty()) {
      ElfFile.parseNotes(
          source.view(
              "notes", header.notes().offset(), header.notes().byteCount(), header.bigEndian()),
          notes);
    }
    Optional<Vmcoreinfo> vmcoreinfo = vmcoreinfo(source, header, notes);
    return new KdumpDump(file, header, exists, dumpable, notes, vmcoreinfo, remarks);
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

  /// Stored pages whose descriptor lies beyond the end of the file.
  private long missing(long stored) {
    long room = source.size() - header.descriptorTableOffset();
    return Math.clamp(stored - rankOfStart - room / DESCRIPTOR_BYTES, 0, stored);
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
  public int pageSize() {
    return header.blockSize();
  }

  @Override
  public long endPfn() {
    return header.maxMapnr();
  }

  @Override
  public long nextStored(long pfn) {
    return dumpable.nextSet(pfn);
  }

  @Override
  public PageRead read(long pfn) {
    PageRead.Present cached = cache.get(pfn);
    if (cached != null) {
      return cached;
    }
    try {
      return switch (locate(pfn)) {
        case Location.At at -> decode(pfn, at);
        case Location.Nowhere(PageRead why) -> why;
      };
    } catch (IOException e) {
      return new PageRead.Damaged(pfn, 0, PageRead.Damage.TRUNCATED, e.getMessage());
    } catch (InternalError lost) {
      return unreadable(pfn, lost);
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

  private static PageRead unreadable(long pfn, InternalError lost) {
    if (MappedFile.isLostMap(lost)) {
      return new PageRead.Unreadable(pfn, 0, "the file shrank or its device failed");
    }
    throw lost;
  }

  /// Where a page's data lies, or why it lies nowhere.
  private sealed interface Location {
    /// @param codecFlags the codec's bit, 0 for a page stored as it is
    record At(long offset, int byteCount, int codecFlags) implements Location {}

    record Nowhere(PageRead why) implements Location {}
  }

  private static Location damaged(
      long pfn, long fileOffset, PageRead.Damage damage, String format, Object... values) {
    return new Location.Nowhere(
        new PageRead.Damaged(pfn, fileOffset, damage, format.formatted(values)));
  }

  /// Finds a page's descriptor and checks every value of it.
  private Location locate(long pfn) throws IOException {
    if (!dumpable.get(pfn)) {
      return new Location.Nowhere(
          exists.get(pfn) ? new PageRead.Excluded(pfn) : new PageRead.NotInDump(pfn));
    }
    if (header.split() && (pfn < header.startPfn() || pfn >= header.endPfn())) {
      return damaged(
          pfn, 0, PageRead.Damage.MISSING_PART, "the page is in another part of this split dump");
    }
    long at =
        header.descriptorTableOffset() + (dumpable.rank(pfn) - rankOfStart) * DESCRIPTOR_BYTES;
    if (at > source.size() - DESCRIPTOR_BYTES) {
      return damaged(
          pfn,
          at,
          PageRead.Damage.TRUNCATED,
          "its page_desc lies beyond the file's %d bytes",
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
    if (offset > source.size() - size) {
      return damaged(
          pfn,
          offset,
          PageRead.Damage.TRUNCATED,
          "its %d bytes at 0x%x lie beyond the file's %d bytes",
          size,
          offset,
          source.size());
    }
    return new Location.At(offset, (int) size, flags);
  }

  private PageRead decode(long pfn, Location.At at) throws IOException {
    MemorySegment stored = source.slice(at.offset, at.byteCount);
    if (at.codecFlags == 0) {
      return cache.put(pfn, stored);
    }
    int blockSize = header.blockSize();
    byte[] scratch = SCRATCH.get();
    if (scratch.length < at.byteCount) {
      scratch = new byte[blockSize];
      SCRATCH.set(scratch);
    }
    // Codecs may be native code, which must never see the map: they get a copy.
    MemorySegment.copy(stored, ValueLayout.JAVA_BYTE, 0, scratch, 0, at.byteCount);
    byte[] page = new byte[blockSize];
    PageCodec codec = Codecs.byFlag(at.codecFlags).orElseThrow();
    try {
      codec.decode(scratch, at.byteCount, page, blockSize);
    } catch (CorruptPageException e) {
      return new PageRead.Damaged(pfn, at.offset, PageRead.Damage.UNDECODABLE, e.getMessage());
    }
    return cache.put(pfn, MemorySegment.ofArray(page).asReadOnly());
  }

  @Override
  public void close() {
    map.close();
  }
}
