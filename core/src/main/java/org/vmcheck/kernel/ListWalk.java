package org.vmcheck.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// A walk along a circular `struct list_head` list, with every reason for which it can end.
///
/// A list with one bad link is still whole in the other direction: the walk then finds the
/// remaining nodes that way, and knows which word is wrong. Where both directions break, the two
/// ends are kept, and so is the node between them if both lead to it.
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

    /// A node that both its neighbours lead to and that leads back to neither: both its words are
    /// overwritten.
    ///
    /// @param from the node before it
    /// @param behind the node behind it
    record Overwritten(long from, long node, long behind, long next, long prev) implements End {}

    /// The list runs in a circle that misses its head, as after a second list_add of a node that is
    /// on the list.
    ///
    /// @param from the node whose link closes the circle
    /// @param member the link, `next` or `prev`
    /// @param to the node that it leads to, met before
    record Circle(long from, String member, long to) implements End {}

    /// More nodes than the bound: it is no list.
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

  /// Whether all nodes were met although a link is wrong. Of a circle that cannot be told: what it
  /// cut off may be more than the other direction shows.
  public boolean isRecovered() {
    return !(end instanceof End.Circle) && bad.isPresent() && bad.get().expected != 0;
  }

  /// Address of the word to blame, or of the head where none can be told.
  public long blamed(long head) {
    return bad.map(BadLink::address).orElse(head);
  }

  /// Follows `next` from the head; each node's `prev` must lead back.
  ///
  /// @param head address of the head's list_head
  /// @param bound the most nodes that the list can have
  public static ListWalk walk(VirtualMemory memory, long head, int bound) {
    Half forward = half(memory, head, NEXT, bound);
    return switch (forward.end) {
      case End.Closed _, End.TooLong _ ->
          new ListWalk(forward.nodes, forward.end, Optional.empty());
      default -> recover(memory, head, bound, forward);
    };
  }

  private static final int NEXT = 0;
  private static final int PREV = 8;

  /// What following one of the two links gave.
  ///
  /// @param nodes met, in the order met
  /// @param from the last of these, or the head
  /// @param to where its link leads
  private record Half(List<Long> nodes, long from, long to, End end) {}

  /// Follows one link as long as the other leads back. No circle can hold it: a node that is met
  /// again would have to lead back to two others.
  private static Half half(VirtualMemory memory, long head, int linkAt, int bound) {
    List<Long> nodes = new ArrayList<>();
    long from = head;
    MemoryRead read = memory.read(from, 16);
    if (!(read instanceof MemoryRead.Bytes(ByteView first))) {
      return new Half(nodes, head, head, new End.Unreadable(head, head, read));
    }
    ByteView node = first;
    Cancellation cancellation = Cancellation.current();
    while (true) {
      cancellation.step();
      long to = node.u64(linkAt);
      MemoryRead target = (to & 7) == 0 ? memory.read(to, 16) : misaligned(to);
      if (!(target instanceof MemoryRead.Bytes(ByteView next))) {
        return new Half(nodes, from, to, new End.Unreadable(from, to, target));
      }
      long back = next.u64(NEXT + PREV - linkAt);
      if (back != from) {
        return new Half(nodes, from, to, new End.PrevMismatch(from, to, back));
      }
      if (to == head) {
        return new Half(nodes, from, to, new End.Closed());
      }
      if (nodes.size() >= bound) {
        return new Half(nodes, from, to, new End.TooLong(from, bound));
      }
      nodes.add(to);
      from = to;
      node = next;
    }
  }

  /// Finds the rest of a broken list: if `next` alone leads home, a `prev` is wrong; if `prev`
  /// alone does, a `next` is; if neither does, what both directions reach is kept.
  private static ListWalk recover(VirtualMemory memory, long head, int bound, Half forward) {
    List<Long> met = forward.nodes;
    long from = forward.from;
    long to = forward.to;
    int step = met.size();
    if (to == from && step == 0 && forward.end instanceof End.Unreadable) {
      return new ListWalk(met, forward.end, Optional.empty()); // The head itself.
    }
    int left = bound - step;
    Half backward = half(memory, head, PREV, left);
    if (backward.end instanceof End.TooLong) {
      return new ListWalk(met, new End.TooLong(from, bound), Optional.empty());
    }
    Optional<End.Circle> circle = circle(forward, backward);
    // A head that leads to itself is no empty list where nodes behind it lead to each other and
    // back to it. One node may be one that is being added.
    boolean isCutOff = step == 0 && to == head && backward.nodes.size() > 1;
    if (forward.end instanceof End.PrevMismatch(long _, long _, long prev)
        && circle.isEmpty()
        && !isCutOff) {
      List<Long> onwards = follow(memory, to, NEXT, head, head, left);
      if (onwards != null) {
        return new ListWalk(
            joined(met, onwards),
            forward.end,
            Optional.of(new BadLink(to + PREV, "prev", prev, from, step + 1)));
      }
    }
    List<Long> rest = follow(memory, backward.to, PREV, from, head, left);
    if (rest != null) {
      List<Long> tail = joined(backward.nodes, rest);
      long expected = tail.isEmpty() ? head : tail.getLast();
      return new ListWalk(
          joined(met, tail.reversed()),
          circle.<End>map(c -> c).orElse(forward.end),
          Optional.of(new BadLink(from, "next", to, expected, step)));
    }
    List<Long> behind = backward.nodes.reversed();
    if (circle.isEmpty() && to == backward.to && (to & 7) == 0) {
      MemoryRead read = memory.read(to, 16);
      if (read instanceof MemoryRead.Bytes(ByteView node)) {
        return new ListWalk(
            joined(joined(met, List.of(to)), behind),
            new End.Overwritten(from, to, backward.from, node.u64(NEXT), node.u64(PREV)),
            Optional.of(new BadLink(to, "next", node.u64(NEXT), backward.from, step + 1)));
      }
      if (read instanceof MemoryRead.Missing) {
        // The dump lacks it; that it is a node, and where, is known.
        met = joined(met, List.of(to));
      }
    }
    return new ListWalk(
        joined(met, behind),
        circle.<End>map(c -> c).orElse(forward.end),
        Optional.of(
            circle
                .filter(c -> c.member.equals("prev"))
                .map(c -> new BadLink(c.from + PREV, "prev", c.to, 0, step))
                .orElseGet(() -> new BadLink(from, "next", to, 0, step))));
  }

  /// The place where one of the two directions comes back to a node that it met.
  private static Optional<End.Circle> circle(Half forward, Half backward) {
    if (forward.nodes.contains(forward.to)) {
      return Optional.of(new End.Circle(forward.from, "next", forward.to));
    }
    return backward.nodes.contains(backward.to)
        ? Optional.of(new End.Circle(backward.from, "prev", backward.to))
        : Optional.empty();
  }

  private static List<Long> joined(List<Long> first, List<Long> second) {
    List<Long> all = new ArrayList<>(first);
    all.addAll(second);
    return all;
  }

  /// Follows one of the two links, unchecked, up to `stop`; null if that is not reached. What runs
  /// in a circle is found out by a mark that is moved up at every power of two (Brent), before it
  /// has filled the memory.
  private static List<Long> follow(
      VirtualMemory memory, long first, int linkAt, long stop, long head, int bound) {
    List<Long> nodes = new ArrayList<>();
    long at = first;
    long mark = 0;
    Cancellation cancellation = Cancellation.current();
    while (at != stop) {
      cancellation.step();
      if (nodes.size() >= bound || (at & 7) != 0 || at == head || at == mark) {
        return null;
      }
      if (!(memory.read(at + linkAt, 8) instanceof MemoryRead.Bytes(ByteView link))) {
        return null;
      }
      if (Integer.bitCount(nodes.size()) <= 1) {
        mark = at;
      }
      nodes.add(at);
      at = link.u64(0);
    }
    return nodes;
  }

  private static MemoryRead misaligned(long at) {
    return new MemoryRead.NotMapped(at, "a list_head is 8-byte aligned");
  }
}
