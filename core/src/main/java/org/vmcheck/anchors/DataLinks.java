package org.vmcheck.anchors;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.TreeMap;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// The links in the kernel's own variables, found without types: two words of which the first leads
/// to a word that is followed by the way back, or the second to the way back itself. List heads and
/// hash heads, empty ones too, are of that kind.
///
/// A link is wrong only where one bit makes it whole and all other links of the same circle are
/// whole: trees, hash chains and pointers to a word's own struct look like links here and there,
/// but close no circle.
///
/// @param links words that are whole
/// @param faults of one bit each
/// @param notRead pages, by reason
record DataLinks(long links, List<LinkFault> faults, Map<String, Long> notRead) {
  /// The data of the largest kernels has 40 MiB.
  private static final long MAX_BYTES = 256L << 20;

  private static final int MAX_FAULTS = 64;

  /// Nodes that are followed in all, from words that may be wrong links.
  private static final int MAX_STEPS = 1 << 22;

  DataLinks {
    faults = List.copyOf(faults);
    notRead = Map.copyOf(notRead);
  }

  static DataLinks of(Kernel kernel, boolean isStill) {
    Pass pass = new Pass(kernel, isStill);
    pass.range("_sdata", "_edata");
    pass.range("__bss_start", "__bss_stop");
    return new DataLinks(pass.links, pass.faults, pass.notRead);
  }

  private static final class Pass {
    private final Kernel kernel;
    private final VirtualMemory memory;
    private final int pageSize;
    private final boolean isStill;
    private final List<LinkFault> faults = new ArrayList<>();
    private final Map<String, Long> notRead = new TreeMap<>();
    private long links;
    private int steps;

    Pass(Kernel kernel, boolean isStill) {
      this.kernel = kernel;
      this.memory = kernel.memory();
      this.pageSize = memory.pageSize();
      this.isStill = isStill;
    }

    void range(String first, String last) {
      OptionalLong start = kernel.symbol(first);
      OptionalLong end = kernel.symbol(last);
      if (start.isEmpty()
          || end.isEmpty()
          || !memory.map().isImage(start.getAsLong())
          || Long.compareUnsigned(end.getAsLong() - start.getAsLong(), MAX_BYTES) > 0) {
        return;
      }
      long carried = 0;
      for (long at = memory.pageStart(start.getAsLong()); at < end.getAsLong(); at += pageSize) {
        Cancellation.check();
        if (memory.page(at) instanceof MemoryRead.Bytes(ByteView page)) {
          pair(at - 8, carried, page.u64(0), page.u64(8)); // Across the border.
          page(at, page);
          carried = page.u64(pageSize - 8L);
        } else {
          carried = 0;
          notRead.merge("pages of data", 1L, Long::sum);
        }
      }
    }

    private void page(long start, ByteView page) {
      long first = page.u64(0);
      int words = pageSize / 8;
      for (int i = 0; i + 1 < words; i++) {
        long second = page.u64((i + 1) * 8L);
        pair(start + i * 8L, first, second, i + 2 < words ? page.u64((i + 2) * 8L) : 0);
        first = second;
      }
    }

    private void pair(long at, long next, long prev, long behind) {
      if (next >= 0 && prev >= 0) {
        return; // Of a link one may have lost its top bit.
      }
      if (next == at || prev == at) {
        empty(at, next, prev, behind);
        return;
      }
      boolean isForward = word(next + 8) == at;
      boolean isBackward = word(prev) == at;
      if (isForward && isBackward) {
        links += 2;
      } else if (isStill && isForward) {
        prev(at, next, prev, behind);
      } else if (isStill && isBackward) {
        next(at, next, prev);
      }
    }

    /// A head without nodes leads to itself, twice. A pointer to the struct that it begins, as of a
    /// tree's node that is in no tree, may stand before such a head, or before a child.
    private void empty(long at, long next, long prev, long behind) {
      if (next == at && prev == at) {
        links += 2;
      } else if (prev == at && Long.bitCount(next ^ at) == 1) {
        fault(at, "next", at, next, at);
      } else if (next == at
          && Long.bitCount(prev ^ at) == 1
          && word(prev) != at
          && !(prev == at + 8 && behind == prev)) {
        fault(at, "prev", at + 8, prev, at);
      }
    }

    private void prev(long at, long next, long prev, long behind) {
      long right = 0;
      for (int bit = 0; bit < 64; bit++) {
        long other = prev ^ (1L << bit);
        if (other != at && other < 0 && word(other) == at) {
          if (right != 0) {
            return;
          }
          right = other;
        }
      }
      // What follows a hash head is no link of it, and the node behind the head leads back to it
      // with its second word. The children of a tree's node lead to it too; and a node that is
      // being
      // taken off its list.
      if (right != 0
          && right != behind
          && right != next
          && right != next + 8
          && word(right + 8) != prev
          && reaches(next, right, 0)) {
        fault(at, "prev", at + 8, prev, right);
      }
    }

    private void next(long at, long next, long prev) {
      long right = 0;
      for (int bit = 2; bit < 64; bit++) {
        long other = next ^ (1L << bit);
        if (other != at && other < 0 && word(other + 8) == at) {
          if (right != 0) {
            return;
          }
          right = other;
        }
      }
      if (right != 0 && right != prev && word(right) != next && reaches(prev, right, 8)) {
        fault(at, "next", at, next, right);
      }
    }

    /// Whether the links of one direction, each answered by the other, lead from a node to another.
    private boolean reaches(long from, long to, int link) {
      long node = from;
      while (node != to) {
        Cancellation.current().step();
        long beside = word(node + link);
        if (++steps > MAX_STEPS || beside == from || word(beside + 8 - link) != node) {
          return false;
        }
        node = beside;
      }
      return true;
    }

    private void fault(long at, String what, long address, long value, long right) {
      if (faults.size() < MAX_FAULTS) {
        faults.add(
            new LinkFault(LinkFault.Kind.CIRCLE, kernel.describe(at), what, address, value, right));
      }
    }

    /// The word at an address; 0 if it is no word that a link could lead to.
    private long word(long at) {
      return at < 0 && (at & 7) == 0 ? kernel.word(at).orElse(0) : 0;
    }
  }
}
