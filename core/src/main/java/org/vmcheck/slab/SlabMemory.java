package org.vmcheck.slab;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.vmcheck.dump.PageBuffer;
import org.vmcheck.dump.PageRead;
import org.vmcheck.dump.PhysicalMemory;

/// The bytes of one slab, page by page: each page is read once. One instance serves one thread and
/// is pointed at slab after slab.
///
/// The pages are decoded into buffers of its own, past the cache of the dump: a walk over all slabs
/// meets each page once, and would only fill the cache with what nobody asks for again.
public final class SlabMemory {
  /// A view of arrays, not of memory segments: the walk reads one word of each object, most of it
  /// in code of the quick compiler, where this is ten times as fast.
  private static final VarHandle WORD =
      MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  private final PhysicalMemory physical;
  private final int pageShift;
  private PageRead[] pages = new PageRead[1];
  private PageBuffer[] buffers = new PageBuffer[1];
  private Slab slab;
  private long firstPfn;

  public SlabMemory(PhysicalMemory physical) {
    this.physical = physical;
    this.buffers[0] = PageBuffer.of(physical);
    this.pageShift = Integer.numberOfTrailingZeros(physical.pageSize());
  }

  /// Points at a slab; its pages are read when asked for.
  public void set(Slab newSlab) {
    slab = newSlab;
    int count = 1 << newSlab.order();
    if (pages.length < count) {
      pages = new PageRead[count];
      buffers = Arrays.copyOf(buffers, count);
    } else {
      Arrays.fill(pages, 0, count, null);
    }
    firstPfn = newSlab.pfn();
  }

  /// What reading the page that holds an address of the slab says; the bytes of a page that is
  /// present are good until the next [#set].
  public PageRead page(long address) {
    int index = (int) ((address - slab.base()) >>> pageShift);
    PageRead page = pages[index];
    if (page == null) {
      if (buffers[index] == null) {
        buffers[index] = buffers[0].another();
      }
      page = physical.readInto(firstPfn + index, buffers[index]);
      pages[index] = page;
    }
    return page;
  }

  /// The address of the first page of the slab that cannot be read; -1 if all can.
  long firstUnread() {
    for (long at = slab.base(); at < slab.base() + slab.byteCount(); at += 1L << pageShift) {
      if (!(page(at) instanceof PageRead.Present)) {
        return at;
      }
    }
    return -1;
  }

  /// Whether the word at an address of the slab can be read.
  public boolean isReadable(long address) {
    return page(address) instanceof PageRead.Present
        && ((address & ((1 << pageShift) - 1)) <= (1 << pageShift) - 8
            || page(address + 7) instanceof PageRead.Present);
  }

  /// The word at an address for which [#isReadable] holds.
  public long word(long address) {
    int index = (int) ((address - slab.base()) >>> pageShift);
    int at = (int) address & ((1 << pageShift) - 1);
    if (at <= (1 << pageShift) - 8) {
      return (long) WORD.get(buffers[index].bytes(), at);
    }
    long value = 0;
    for (int i = 7; i >= 0; i--) {
      value = value << 8 | u8(address + i);
    }
    return value;
  }

  /// Puts another word in the place of one, for a walk that asks what would be; until the next
  /// [#set].
  public void put(long address, long word) {
    if (isReadable(address)) {
      for (int i = 0; i < 8; i++) {
        long at = address + i - slab.base();
        buffers[(int) (at >>> pageShift)].bytes()[(int) at & ((1 << pageShift) - 1)] =
            (byte) (word >>> (8 * i));
      }
    }
  }

  /// The byte at an address whose page is present.
  public int u8(long address) {
    page(address);
    int index = (int) ((address - slab.base()) >>> pageShift);
    return buffers[index].bytes()[(int) address & ((1 << pageShift) - 1)] & 0xff;
  }
}
