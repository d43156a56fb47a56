package org.vmcheck.dump;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/// The physical pages of a dump. Safe for use by several threads at once.
public interface PhysicalMemory {
  /// Bytes a page: a power of two from 4 KiB to 256 KiB.
  int pageSize();

  /// One more than the highest page frame that the dump speaks of.
  long endPfn();

  /// Reads one page; any number is allowed.
  PageRead read(long pfn);

  /// Reads one page and keeps it in no cache, for sweeps over the whole dump.
  ///
  /// @param page into which the bytes are put
  /// @return if present, [PageBuffer#present]
  default PageRead readInto(long pfn, PageBuffer page) {
    PageRead read = read(pfn);
    if (!(read instanceof PageRead.Present(MemorySegment bytes))) {
      return read;
    }
    MemorySegment.copy(bytes, ValueLayout.JAVA_BYTE, 0, page.bytes(), 0, pageSize());
    return page.present();
  }

  /// The first frame at or after `pfn` that the dump says it stores, or -1 if there is none. What a
  /// header merely claims beyond the end of the file is not walked: a walk is bounded by the file.
  long nextStored(long pfn);

  /// The first stored frame at or after `pfn` that may hold something but zeros, or -1 if there is
  /// none: for searches, which find nothing in the holes of a sparse file.
  default long nextData(long pfn) {
    return nextStored(pfn);
  }

  /// The stored frame with `index` stored ones below it, or -1 if there are fewer. Found in a step
  /// or two, whatever the number; only of dumps whose pages are [#isPacked].
  default long storedAt(long index) {
    throw new UnsupportedOperationException("no index of stored pages");
  }

  /// Whether pages are stored in another form than they had, so that their bytes may fail to
  /// decode. An ELF core stores them as they are: there is nothing to decode.
  default boolean isPacked() {
    return false;
  }

  /// Whether a stored page decodes: present if it does. One that is stored as it is is found, and
  /// not read.
  ///
  /// @param page room to decode it in; what is in it afterwards is not said
  default PageRead decodes(long pfn, PageBuffer page) {
    return readInto(pfn, page);
  }

  /// What is wrong with a stored page as far as the tables tell, without decoding it; empty if
  /// nothing is, or if the page is not stored.
  default Optional<PageRead> defect(long pfn) {
    return Optional.empty();
  }

  /// How many bytes from a physical address to the end of its page the dump holds, where it does
  /// not hold the page whole: memory that ends inside a page, as below the BIOS's own at 0x9fc00. 0
  /// if the page is whole, or there is none of these.
  default int storedInPart(long paddr) {
    return 0;
  }

  /// Bytes of a page that the dump holds in part.
  ///
  /// @param byteCount at most [#storedInPart]
  default MemorySegment readPart(long paddr, int byteCount) throws IOException {
    throw new IOException("no page is stored in part");
  }
}
