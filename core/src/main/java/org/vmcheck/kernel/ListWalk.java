package org.vmcheck.kernel;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import org.vmcheck.io.ByteView;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// A walk along a circular `struct list_head` list, with every reason for which it can end.
///
/// A list with one bad link is still whole in the other direction: the walk then finds the
/// remaining nodes that way, and knows which word is wrong.
///
/// @param nodes addresses of the list_heads met, in list order, the head itself not counted
/// @param end how the forward walk ended
/// @param bad the word to blame, where it can be told
public record ListWalk(List<Long> nodes, End end, Optional<BadLink> bad) {
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

  /// A link that is wrong.
  ///
  /// @param address of the word
  /// @param member `next` or `prev`
  /// @param value what it holds
  /// @param expected what it must hold for the list to be whole; 0 if that cannot be told
  /// @param step nodes before it, from the head
  public record BadLink(long address, String member, long value, long expected, int step) {}

  public ListWalk {
    nodes = List.copyOf(nodes);
  }

  public boolean isClosed() {
    return end instanceof End.Closed;
  }

  /// Whether all nodes were met although a link is wrong.
  public boolean isRecovered() {
    return !isClosed() && bad.isPresent() && bad.get().expected != 0;
  }

  /// Follows `next` from the head; each node's `prev` must lead back.
  ///
  /// @param head address of the head's list_head
  /// @param bound the most nodes that the list can have
  public static ListWalk walk(VirtualMemory memory, long head, int bound) {
    List<Long> nodes = new ArrayList<>();
    long from = head;
    while (true) {
      MemoryRead read = memory.read(from, 16);
      if (!(read instanceof MemoryRead.Bytes(ByteView node))) {
        return new ListWalk(nodes, new End.Unreadable(from, from, read), Optional.empty());
      }
      long to = node.u64(0);
      MemoryRead target = (to & 7) == 0 ? memory.read(to, 16) : misaligned(to);
      if (!(target instanceof MemoryRead.Bytes(ByteView next))) {
        return recover(memory, head, bound, nodes, from, to, new End.Unreadable(from, to, target));
      }
      if (next.u64(8) != from) {
        return recover(
            memory, head, bound, nodes, from, to, new End.PrevMismatch(from, to, next.u64(8)));
      }
      if (to == head) {
        return new ListWalk(nodes, new End.Closed(), Optional.empty());
      }
      if (nodes.size() >= bound) {
        return new ListWalk(nodes, new End.TooLong(from, bound), Optional.empty());
      }
      nodes.add(to);
      from = to;
    }
  }

  /// Finds the rest of a broken list: if `next` alone leads home, a `prev` is wrong; if `prev`
  /// alone does, a `next` is.
  private static ListWalk recover(
      VirtualMemory memory, long head, int bound, List<Long> met, long from, long to, End end) {
    int left = bound - met.size();
    if (end instanceof End.PrevMismatch(long _, long _, long prev)) {
      List<Long> rest = follow(memory, to, 0, head, left);
      if (rest != null) {
        List<Long> all = new ArrayList<>(met);
        all.addAll(rest);
        return new ListWalk(
            all, end, Optional.of(new BadLink(to + 8, "prev", prev, from, met.size() + 1)));
      }
    }
    List<Long> backwards = new ArrayList<>();
    long last = word(memory, head + 8);
    List<Long> tail = last == from ? List.of() : follow(memory, last, 8, from, left);
    if (tail != null) {
      backwards.addAll(tail);
      Collections.reverse(backwards);
      long expected = backwards.isEmpty() ? head : backwards.getFirst();
      List<Long> all = new ArrayList<>(met);
      all.addAll(backwards);
      return new ListWalk(
          all, end, Optional.of(new BadLink(from, "next", to, expected, met.size())));
    }
    return new ListWalk(met, end, Optional.of(new BadLink(from, "next", to, 0, met.size())));
  }

  /// Follows one of the two links, unchecked, up to `stop`; null if that is not reached.
  private static List<Long> follow(
      VirtualMemory memory, long first, int linkAt, long stop, int bound) {
    List<Long> nodes = new ArrayList<>();
    long at = first;
    while (at != stop) {
      if (nodes.size() > bound || (at & 7) != 0) {
        return null;
      }
      if (!(memory.read(at + linkAt, 8) instanceof MemoryRead.Bytes(ByteView link))) {
        return null;
      }
      nodes.add(at);
      at = link.u64(0);
    }
    return nodes;
  }

  private static long word(VirtualMemory memory, long vaddr) {
    return memory.read(vaddr, 8) instanceof MemoryRead.Bytes(ByteView view) ? view.u64(0) : 0;
  }

  private static MemoryRead misaligned(long at) {
    return new MemoryRead.NotMapped(at, "a list_head is 8-byte aligned");
  }
}
