package org.vmcheck.finding;

import java.util.List;

/// The picture of a range of page frames.
///
/// @param firstPfn of the first cell
/// @param framesPerCell page frames that one cell stands for, a power of two
/// @param pageSize bytes of a page frame
public record PageMap(long firstPfn, long framesPerCell, int pageSize, List<Cell> cells) {
  public PageMap {
    cells = List.copyOf(cells);
  }

  /// What page frames are used for, as far as a picture tells it apart.
  public enum Use {
    SLAB("slab", 'S'),
    RESERVED("reserved", 'R'),
    FREE("free", 'f'),
    PAGE_TABLE("page table", 'T'),
    ANONYMOUS("anonymous", 'A'),
    PAGE_CACHE("page cache", 'C'),
    KERNEL("other kernel memory", 'K'),
    HWPOISON("given up after a memory error", 'X'),
    UNKNOWN("not known", '-');

    private final String words;
    private final char letter;

    Use(String words, char letter) {
      this.words = words;
      this.letter = letter;
    }

    public String words() {
      return words;
    }

    /// One letter for pictures made of characters.
    public char letter() {
      return letter;
    }
  }

  /// What the bytes of a page look like.
  public enum Looks {
    NOT_STORED("not stored"),
    ZERO("zero"),
    TEXT("text"),
    POINTERS("pointers"),
    DATA("data"),
    FILLED("one block all over"),
    RANDOM("random-looking");

    private final String words;

    Looks(String words) {
      this.words = words;
    }

    public String words() {
      return words;
    }
  }

  /// One page frame, or several of which the first that is used stands for all.
  ///
  /// @param stored `stored`, `excluded`, `not in dump`, `truncated`, …
  /// @param role what the kernel says the page is, for example `slab dma-kmalloc-512`; empty if not
  ///   known
  /// @param marks what was found there, a few words each; empty if nothing was
  public record Cell(
      long pfn, String stored, Use use, String role, Looks looks, List<String> marks) {
    public Cell {
      marks = List.copyOf(marks);
    }
  }
}
