package org.vmcheck.dump;

import java.lang.foreign.MemorySegment;
import org.vmcheck.io.ReadAhead;

/// Room for one page, with what reads it past the caches. Serves one thread and one walk, which
/// meets each page once and would only fill a cache with what nobody asks for again.
public final class PageBuffer {
  private final byte[] bytes;
  private final ReadAhead ahead;
  private final PageRead.Present present;

  private PageBuffer(int pageSize, ReadAhead ahead) {
    this.bytes = new byte[pageSize];
    this.ahead = ahead;
    this.present = new PageRead.Present(MemorySegment.ofArray(bytes));
  }

  public static PageBuffer of(PhysicalMemory memory) {
    return new PageBuffer(memory.pageSize(), new ReadAhead());
  }

  /// Room for another page of the same walk.
  public PageBuffer another() {
    return new PageBuffer(bytes.length, ahead);
  }

  /// The page that was read last, if it was present.
  public byte[] bytes() {
    return bytes;
  }

  ReadAhead ahead() {
    return ahead;
  }

  /// The answer that the page is here: made once, for there are millions of pages.
  public PageRead.Present present() {
    return present;
  }
}
