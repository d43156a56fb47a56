package org.vmcheck.memory;

import org.vmcheck.dump.PageRead;

/// What became of translating one virtual address.
public sealed interface Translated {
  /// @param paddr physical address
  record At(long paddr) implements Translated {}

  /// The kernel had nothing there.
  ///
  /// @param span bytes, a power of two: the aligned range around the address that shares this
  ///   answer
  record NotMapped(long span, String reason) implements Translated {}

  /// The page tables that would tell are not in the dump.
  record TableMissing(long tablePaddr, PageRead why) implements Translated {}
}
