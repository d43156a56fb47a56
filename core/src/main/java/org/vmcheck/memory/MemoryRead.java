package org.vmcheck.memory;

import org.vmcheck.dump.PageRead;
import org.vmcheck.io.ByteView;

/// What one read of virtual memory said.
public sealed interface MemoryRead {
  /// All the bytes asked for.
  record Bytes(ByteView view) implements MemoryRead {}

  /// The kernel had nothing at this address: a wild pointer.
  ///
  /// @param vaddr the first byte that is not mapped
  record NotMapped(long vaddr, String reason) implements MemoryRead {}

  /// The page, or a page table on the way to it, cannot be had from the dump.
  ///
  /// @param vaddr the first byte that is missing
  record Missing(long vaddr, long pfn, PageRead why) implements MemoryRead {}

  /// A few words for messages.
  default String words() {
    return switch (this) {
      case Bytes _ -> "readable";
      case NotMapped notMapped -> "not mapped (" + notMapped.reason() + ")";
      case Missing missing -> "page 0x%x is %s".formatted(missing.pfn(), missing.why().words());
    };
  }
}
