package org.vmcheck.kernel;

import org.vmcheck.io.ByteView;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// Single words of the kernel's memory, for walks that follow a million pointers: the pages that
/// were met last are kept at hand. Not safe for use by several threads at once.
public final class WordCache {
  /// A power of two.
  private static final int PLACES = 4096;

  private final VirtualMemory memory;
  private final int pageShift;
  private final long inPage;
  private final long[] numbers = new long[PLACES];
  private final ByteView[] pages = new ByteView[PLACES];

  public WordCache(VirtualMemory memory) {
    this.memory = memory;
    this.pageShift = memory.pageShift();
    this.inPage = memory.pageSize() - 1L;
  }

  /// The page that holds an address; null if it cannot be read.
  public ByteView page(long at) {
    long number = at >>> pageShift;
    int place = (int) (number ^ number >>> 14) & (PLACES - 1);
    if (numbers[place] != number) {
      pages[place] = memory.page(at) instanceof MemoryRead.Bytes(ByteView page) ? page : null;
      numbers[place] = number;
    }
    return pages[place];
  }

  /// The word at an address; 0 where none can be read, or none is aligned.
  public long word(long at) {
    if ((at & 7) != 0) {
      return 0;
    }
    ByteView page = page(at);
    return page == null ? 0 : page.u64(at & inPage);
  }
}
