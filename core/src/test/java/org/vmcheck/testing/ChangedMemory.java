package org.vmcheck.testing;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.vmcheck.dump.Container;
import org.vmcheck.dump.ContainerAudit;
import org.vmcheck.dump.DamagedPages;
import org.vmcheck.dump.Dump;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;
import org.vmcheck.dump.Vmcoreinfo;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.elf.ElfSegment;

/// An open dump some of whose pages read otherwise than they are stored: damage that costs no copy.
public final class ChangedMemory implements PhysicalMemory {
  private static final ValueLayout.OfLong WORD =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final PhysicalMemory memory;
  private final Map<Long, MemorySegment> changed = new ConcurrentHashMap<>();
  private final Set<Long> excluded = ConcurrentHashMap.newKeySet();

  public ChangedMemory(PhysicalMemory memory) {
    this.memory = memory;
  }

  /// Puts all as it was.
  public ChangedMemory restore() {
    changed.clear();
    excluded.clear();
    return this;
  }

  public long word(long physical) {
    return page(physical).get(WORD, physical & 4095);
  }

  public ChangedMemory setWord(long physical, long value) {
    changed.computeIfAbsent(physical >>> 12, _ -> page(physical)).set(WORD, physical & 4095, value);
    return this;
  }

  public ChangedMemory flip(long physical, int bit) {
    return setWord(physical, word(physical) ^ 1L << bit);
  }

  /// Reads as if the dumper had left the page out.
  public ChangedMemory exclude(long pfn) {
    excluded.add(pfn);
    return this;
  }

  /// A copy of the page as it now reads.
  private MemorySegment page(long physical) {
    if (read(physical >>> 12) instanceof PageRead.Present(MemorySegment bytes)) {
      return MemorySegment.ofArray(bytes.toArray(ValueLayout.JAVA_BYTE));
    }
    throw new IllegalArgumentException("no page at 0x%x".formatted(physical));
  }

  /// The dump with this memory.
  public Dump of(Dump dump) {
    return new ChangedDump(dump, this);
  }

  @Override
  public int pageSize() {
    return memory.pageSize();
  }

  @Override
  public long endPfn() {
    return memory.endPfn();
  }

  @Override
  public PageRead read(long pfn) {
    if (excluded.contains(pfn)) {
      return new PageRead.Excluded(pfn);
    }
    MemorySegment page = changed.get(pfn);
    return page == null ? memory.read(pfn) : new PageRead.Present(page.asReadOnly());
  }

  @Override
  public PageRead readInto(long pfn, PageBuffer page) {
    return changed.containsKey(pfn) || excluded.contains(pfn)
        ? PhysicalMemory.super.readInto(pfn, page)
        : memory.readInto(pfn, page);
  }

  @Override
  public long nextStored(long pfn) {
    long next = memory.nextStored(pfn);
    while (excluded.contains(next)) {
      next = memory.nextStored(next + 1);
    }
    return next;
  }

  @Override
  public Optional<PageRead> defect(long pfn) {
    return memory.defect(pfn);
  }

  @Override
  public int storedInPart(long paddr) {
    return memory.storedInPart(paddr);
  }

  @Override
  public MemorySegment readPart(long paddr, int byteCount) throws IOException {
    return memory.readPart(paddr, byteCount);
  }

  private record ChangedDump(Dump dump, ChangedMemory changed) implements Dump {
    @Override
    public Path path() {
      return dump.path();
    }

    @Override
    public long fileBytes() {
      return dump.fileBytes();
    }

    @Override
    public Container container() {
      return dump.container();
    }

    @Override
    public PhysicalMemory memory() {
      return changed;
    }

    @Override
    public List<ElfNote> notes() {
      return dump.notes();
    }

    @Override
    public Optional<Vmcoreinfo> vmcoreinfo() {
      return dump.vmcoreinfo();
    }

    @Override
    public List<ElfSegment> loadSegments() {
      return dump.loadSegments();
    }

    @Override
    public String eraseinfo() {
      return dump.eraseinfo();
    }

    @Override
    public DamagedPages damagedPages() {
      return dump.damagedPages();
    }

    @Override
    public ContainerAudit audit() {
      return dump.audit();
    }

    @Override
    public void close() {
      dump.close();
    }
  }
}
