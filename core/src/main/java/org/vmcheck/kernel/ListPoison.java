package org.vmcheck.kernel;

import org.vmcheck.memory.VirtualMemory;

/// What `list_del` leaves in the links of a node (Linux `include/linux/poison.h`, with the offset
/// `CONFIG_ILLEGAL_POINTER_VALUE` of x86-64).
public final class ListPoison {
  public static final long NEXT = 0xdead_0000_0000_0100L;
  private static final long PREV = 0xdead_0000_0000_0122L;

  /// Up to 4.15.
  private static final long OLD_PREV = 0xdead_0000_0000_0200L;

  /// What `set_page_pfmemalloc` writes.
  private static final long OF_RESERVES = 2;

  private ListPoison() {}

  /// Whether a page frame's `lru` is as the page allocator leaves it: it takes the page off a list
  /// and, from 5.13 on, says in the first link whether the page is of the reserves (Linux
  /// `include/linux/mm.h`, set_page_pfmemalloc, clear_page_pfmemalloc).
  public static boolean isInAllocated(long next, long prev) {
    return isFirstOfAllocated(next) && (prev == PREV || prev == OLD_PREV);
  }

  /// Whether a word can be the first link of such a page.
  public static boolean isFirstOfAllocated(long next) {
    return next == NEXT || next == 0 || next == OF_RESERVES;
  }

  /// Whether these are the links of a node that was taken off its list.
  public static boolean isIn(long next, long prev) {
    return next == NEXT && (prev == PREV || prev == OLD_PREV);
  }

  /// Whether a word is no address that a processor takes, whatever its highest byte, in which
  /// addresses may have tags (KASAN on arm64), and is no poison either. Numbers that fit into the
  /// lower half are addresses of programs.
  public static boolean isNoAddress(VirtualMemory memory, long value) {
    return !memory.paging().isCanonical(value << 8 >> 8) && value >>> 48 != NEXT >>> 48;
  }
}
