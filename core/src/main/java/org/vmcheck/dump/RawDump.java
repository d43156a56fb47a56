package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.vmcheck.elf.ElfNote;
import org.vmcheck.io.ByteSource;
import org.vmcheck.io.MalformedFileException;
import org.vmcheck.io.MappedFile;

/// Flat memory as a hypervisor's snapshot leaves it: byte n of the file is physical address n, and
/// nothing says so. Read only where the user does.
final class RawDump implements Dump, PhysicalMemory {
  private static final int PAGE_SIZE = 4096;

  private final OpenFile file;
  private final ByteSource source;
  private final long wholePages;
  private final ReadFailures failures = new ReadFailures();
  private final Container container;

  private RawDump(OpenFile file) {
    this.file = file;
    this.source = file.source();
    this.wholePages = source.size() / PAGE_SIZE;
    this.container =
        new Container(
            "raw",
            0,
            file.flattened(),
            List.of(),
            -1,
            true,
            false,
            "",
            "",
            false,
            new Container.Pages(endPfn(), wholePages, 0, 0, source.size() % PAGE_SIZE == 0 ? 0 : 1),
            file.remarks());
  }

  static RawDump open(OpenFile file) throws MalformedFileException {
    ByteSource source = file.source();
    if (source.size() < PAGE_SIZE) {
      throw new MalformedFileException(
          "[%s] flat memory: expected a page of %d bytes, got %d"
              .formatted(source.name(), PAGE_SIZE, source.size()));
    }
    return new RawDump(file);
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
    return List.of();
  }

  @Override
  public Optional<Vmcoreinfo> vmcoreinfo() {
    return Optional.empty();
  }

  @Override
  public String eraseinfo() {
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

  /// There are no tables that could disagree.
  @Override
  public ContainerAudit audit() {
    return new ContainerAudit(
        new ContainerAudit.Pages(wholePages, wholePages, 0, Map.of()),
        new TreeMap<>(Map.of("raw", wholePages)),
        0,
        List.of(),
        0,
        List.of(),
        List.of());
  }

  @Override
  public int pageSize() {
    return PAGE_SIZE;
  }

  @Override
  public long endPfn() {
    return (source.size() - 1) / PAGE_SIZE + 1;
  }

  @Override
  public long nextStored(long pfn) {
    long at = Math.max(0, pfn);
    return at < wholePages ? at : -1;
  }

  @Override
  public long nextData(long pfn) {
    long at = nextStored(pfn);
    return at < 0 ? at : nextStored(source.nextData(at * PAGE_SIZE) / PAGE_SIZE);
  }

  @Override
  public PageRead read(long pfn) {
    return read(pfn, null);
  }

  @Override
  public PageRead readInto(long pfn, PageBuffer page) {
    return read(pfn, page);
  }

  /// @param into where to copy the page; null for a view of the file
  private PageRead read(long pfn, PageBuffer into) {
    if (pfn < 0 || pfn >= wholePages) {
      return new PageRead.NotInDump(pfn);
    }
    long offset = pfn * PAGE_SIZE;
    try {
      if (into != null) {
        source.copy(offset, into.bytes(), PAGE_SIZE, into.ahead());
        return into.present();
      }
      MemorySegment bytes = source.slice(offset, PAGE_SIZE);
      MappedFile.touch(bytes);
      MappedFile.settle();
      return new PageRead.Present(bytes);
    } catch (IOException e) {
      return new PageRead.Damaged(pfn, offset, PageRead.Damage.TRUNCATED, e.getMessage());
    } catch (InternalError lost) {
      return failures.page(pfn, offset, lost);
    }
  }

  @Override
  public int storedInPart(long paddr) {
    return paddr / PAGE_SIZE == wholePages && paddr >= 0 && paddr < source.size()
        ? (int) (source.size() - paddr)
        : 0;
  }

  @Override
  public MemorySegment readPart(long paddr, int byteCount) throws IOException {
    return source.slice(paddr, byteCount);
  }

  @Override
  public void close() {
    file.map().close();
  }
}
