package org.vmcheck.finding;

import java.util.List;

/// A range of page frames, one cell a frame.
public record PageMap(long firstPfn, List<Cell> cells) {
  public PageMap {
    cells = List.copyOf(cells);
  }

  /// @param stored `stored`, `excluded`, `not-in-dump`, `damaged` or `unreadable`
  /// @param role what the kernel says the page is, for example `slab dma-kmalloc-512` or
  ///   `reserved`; empty if not known
  /// @param looks what its bytes look like: `zero`, `data`, `random`; empty if not stored
  public record Cell(long pfn, String stored, String role, String looks) {}
}
