package org.vmcheck.finding;

import java.util.List;

/// One fact that supports or contradicts a finding, with what is needed to look at it again.
///
/// Addresses are kernel virtual addresses, `physical` ones are physical; both in bytes. A value
/// that is not known is [#UNKNOWN].
public sealed interface Evidence {
  /// Stands for an address or a word that is not known.
  long UNKNOWN = -1;

  /// The change of a [WhatIf] that read pages through their recovered encryption masks.
  String MASK_REMOVED = "mask removed";

  /// The fact as one sentence.
  String sentence();

  /// A 64-bit word in memory.
  record WordAt(long address, long physical, long raw, long decoded, String sentence)
      implements Evidence {}

  /// A list that went wrong at a step.
  ///
  /// @param list the list, by the kernel's names
  /// @param from the element whose link is bad
  /// @param to where the link leads
  /// @param step how many good links came before, from 0
  record ChainBroken(String list, long from, long to, int step, String sentence)
      implements Evidence {}

  /// Bytes around a place, with the range that is wrong.
  ///
  /// @param hex the bytes as hexadecimal digits, two a byte, from `address` on
  /// @param markFrom first marked byte, counted from `address`
  /// @param markTo end (exclusive) of the marked bytes
  record BytesAt(long address, long physical, String hex, int markFrom, int markTo, String sentence)
      implements Evidence {}

  /// Bytes around a place as the kernel's log has them. The kernel put them right after it printed
  /// them, so that the dump has others there.
  ///
  /// @param address [#UNKNOWN] where the log has only a hash of it
  /// @param hex as of [BytesAt]
  /// @param expected what each marked byte should be
  record LoggedBytes(
      long address,
      long physical,
      String hex,
      int markFrom,
      int markTo,
      int expected,
      String sentence)
      implements Evidence {}

  /// Bytes of one kind that follow each other.
  ///
  /// @param length how many
  /// @param pattern one period of them as hexadecimal digits, two a byte, repeated from `address`
  ///   on; empty where they are text (0x20 to 0x7e, tab, line feed, carriage return)
  record Run(long address, long physical, int length, String pattern, String sentence)
      implements Evidence {}

  /// A slab, object by object, and one of its freelists up to the break.
  ///
  /// @param first address of object 0
  /// @param stride bytes from one object to the next
  /// @param cells one character an object: [#ALLOCATED], [#FREE] on this list, [#ELSEWHERE] free on
  ///   another list
  /// @param path indices of the objects on the list, in list order
  /// @param holder index of the object that holds the bad word, -1 for the list's head
  /// @param target index of the object that the bad word leads to, -1 if to none of this slab
  record SlabPicture(
      long first,
      int stride,
      String cells,
      List<Integer> path,
      int holder,
      int target,
      String sentence)
      implements Evidence {
    public static final char ALLOCATED = '.';
    public static final char FREE = 'o';
    public static final char ELSEWHERE = 'c';

    public SlabPicture {
      path = List.copyOf(path);
      int objects = cells.length();
      if (path.stream().anyMatch(index -> index < 0 || index >= objects)
          || holder >= objects
          || target >= objects) {
        throw new IllegalArgumentException("an object outside of the slab's " + objects);
      }
    }
  }

  /// Two counts that should agree.
  record CountMismatch(String what, long expected, long actual, String sentence)
      implements Evidence {}

  /// What a page's bytes look like.
  record PageLooksLike(long pfn, String looks, String sentence) implements Evidence {}

  /// What came out when the check was repeated with one thing changed.
  record WhatIf(String change, String sentence) implements Evidence {}

  /// A line of the kernel's own log.
  record LogLineSays(long timestampNanos, String line, String sentence) implements Evidence {}
}
