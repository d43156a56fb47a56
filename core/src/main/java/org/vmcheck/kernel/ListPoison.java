package org.vmcheck.kernel;

/// What `list_del` leaves in the links of a node (Linux `include/linux/poison.h`, with the offset
/// `CONFIG_ILLEGAL_POINTER_VALUE` of x86-64).
final class ListPoison {
  static final long NEXT = 0xdead_0000_0000_0100L;
  private static final long PREV = 0xdead_0000_0000_0122L;

  /// Up to 4.15.
  private static final long OLD_PREV = 0xdead_0000_0000_0200L;

  private ListPoison() {}

  /// Whether these are the links of a node that was taken off its list.
  static boolean isIn(long next, long prev) {
    return next == NEXT && (prev == PREV || prev == OLD_PREV);
  }
}
