package org.vmcheck.kernel;

import java.util.ArrayList;
import java.util.List;
import org.vmcheck.io.ByteView;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// A walk along a circular `struct list_head` list, with every reason for which it can end.
///
/// @param nodes addresses of the list_heads met, the head itself not counted
/// @param end how the walk ended
public record ListWalk(List<Long> nodes, End end) {
  /// How a walk ended.
  public sealed interface End {
    /// Back at the head: the list is whole.
    record Closed() implements End {}

    /// A node cannot be read.
    ///
    /// @param from the node whose `next` leads there
    record Unreadable(long from, long to, MemoryRead why) implements End {}

    /// A node's `prev` is not the node before it.
    record PrevMismatch(long from, long to, long prev) implements End {}

    /// More nodes than the bound: the list runs in a circle that misses its head, or is no list.
    record TooLong(long from, int bound) implements End {}
  }

  public ListWalk {
    nodes = List.copyOf(nodes);
  }

  public boolean isClosed() {
    return end instanceof End.Closed;
  }

  /// Follows `next` from the head; each node's `prev` must lead back.
  ///
  /// @param head address of the head's list_head
  /// @param bound the most nodes that the list can have
  public static ListWalk walk(VirtualMemory memory, long head, int bound) {
    List<Long> nodes = new ArrayList<>();
    MemoryRead read = memory.read(head, 16);
    if (!(read instanceof MemoryRead.Bytes(ByteView headBytes))) {
      return new ListWalk(nodes, new End.Unreadable(head, head, read));
    }
    long from = head;
    long at = headBytes.u64(0);
    long headPrev = headBytes.u64(8);
    while (at != head) {
      if (nodes.size() >= bound) {
        return new ListWalk(nodes, new End.TooLong(from, bound));
      }
      read = (at & 7) == 0 ? memory.read(at, 16) : misaligned(at);
      if (!(read instanceof MemoryRead.Bytes(ByteView node))) {
        return new ListWalk(nodes, new End.Unreadable(from, at, read));
      }
      if (node.u64(8) != from) {
        return new ListWalk(nodes, new End.PrevMismatch(from, at, node.u64(8)));
      }
      nodes.add(at);
      from = at;
      at = node.u64(0);
    }
    return headPrev == from
        ? new ListWalk(nodes, new End.Closed())
        : new ListWalk(nodes, new End.PrevMismatch(from, head, headPrev));
  }

  private static MemoryRead misaligned(long at) {
    return new MemoryRead.NotMapped(at, "a list_head is 8-byte aligned");
  }
}
