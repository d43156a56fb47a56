package org.vmcheck.kernel;

import java.util.List;
import java.util.Optional;
import org.vmcheck.io.ByteView;
import org.vmcheck.memory.MemoryRead;
import org.vmcheck.memory.VirtualMemory;

/// A circular list and what its own links prove of it: each node has two witnesses, the node before
/// it and the one behind.
///
/// @param nodes that were reached, in list order, the head not counted
/// @param state what the links say
public record Ring(List<Long> nodes, State state) {
  /// What the links of a ring say.
  public sealed interface State {
    /// Each link is answered by its neighbour.
    record Whole() implements State {}

    /// Nothing is known of the rest: a page is not in the dump.
    record Unread(MemoryRead why) implements State {}

    /// It has more nodes than were to be followed.
    record TooLong(int bound) implements State {}

    /// As a CPU that was stopped within `list_add` or `list_del` leaves it, or one that was copied
    /// while it ran: the link leads to a node of another moment.
    record HalfLinked(long address) implements State {}

    /// One link is wrong.
    ///
    /// @param address of the word
    /// @param member `next` or `prev`
    /// @param value what it holds
    /// @param expected what both neighbours prove that it must hold; 0 if they do not
    /// @param step nodes before it, from the head
    record Wrong(long address, String member, long value, long expected, int step)
        implements State {
      /// Whether one bit differs from the value that is proven.
      public boolean isFlip() {
        return expected != 0 && Long.bitCount(value ^ expected) == 1;
      }
    }
  }

  public Ring {
    nodes = List.copyOf(nodes);
  }

  public boolean isWhole() {
    return state instanceof State.Whole;
  }

  /// Walks a ring.
  ///
  /// @param head address of its `struct list_head`
  /// @param bound the most nodes that it can have
  /// @param isStill whether all of the memory is of one moment: then only the one node that a CPU
  ///   was linking can be half linked, otherwise any that still looks like a node
  public static Ring of(Kernel kernel, long head, int bound, boolean isStill) {
    VirtualMemory memory = kernel.memory();
    ListWalk walk = ListWalk.walk(memory, head, bound);
    return new Ring(walk.nodes(), state(memory, walk, head, isStill));
  }

  private static State state(VirtualMemory memory, ListWalk walk, long head, boolean isStill) {
    return switch (walk.end()) {
      case ListWalk.End.Closed _ -> new State.Whole();
      case ListWalk.End.Unreadable(long _, long _, MemoryRead.Missing why) -> new State.Unread(why);
      case ListWalk.End.TooLong(long _, int most) -> new State.TooLong(most);
      default ->
          walk.bad()
              .map(bad -> judged(memory, bad, isStill))
              .orElseGet(() -> new State.Unread(memory.read(head, 16)));
    };
  }

  private static State judged(VirtualMemory memory, ListWalk.BadLink bad, boolean isStill) {
    long expected = bad.expected() != 0 ? bad.expected() : oneBitAway(memory, bad);
    State.Wrong wrong =
        new State.Wrong(bad.address(), bad.member(), bad.value(), expected, bad.step());
    Optional<long[]> target = links(memory, bad.value());
    if (target.isEmpty()) {
      // A page that is not in the dump may hold a node.
      return !wrong.isFlip()
              && (bad.value() & 7) == 0
              && memory.read(bad.value(), 16) instanceof MemoryRead.Missing missing
          ? new State.Unread(missing)
          : wrong;
    }
    return isHalf(memory, wrong, target.get(), isStill)
        ? new State.HalfLinked(bad.address())
        : wrong;
  }

  /// Whether `list_add` or `list_del`, stopped halfway, leaves such a link: `next->prev` is written
  /// first, before the new node's own links.
  private static boolean isHalf(
      VirtualMemory memory, State.Wrong wrong, long[] target, boolean isStill) {
    boolean isNext = wrong.member.equals("next");
    long node = isNext ? wrong.address : wrong.address - 8;
    boolean isNew = target[isNext ? 1 : 0] == node && target[isNext ? 0 : 1] == wrong.expected;
    boolean isSkip =
        links(memory, wrong.expected)
            .filter(beside -> beside[isNext ? 0 : 1] == wrong.value)
            .isPresent();
    boolean isOther = isLink(memory, target[0]) && isLink(memory, target[1]);
    // A new node may come from cleared memory, and is never the node itself.
    boolean isFresh =
        isOrWillBeLink(memory, target[0])
            && isOrWillBeLink(memory, target[1])
            && !isNext
            && wrong.value != node;
    return isNew || isSkip || (isOther && !isStill) || (isFresh && !wrong.isFlip());
  }

  private static boolean isLink(VirtualMemory memory, long value) {
    return (value & -0x1000L) == (ListPoison.NEXT & -0x1000L) || links(memory, value).isPresent();
  }

  private static boolean isOrWillBeLink(VirtualMemory memory, long value) {
    return value == 0 || isLink(memory, value);
  }

  private static Optional<long[]> links(VirtualMemory memory, long at) {
    return at < 0 && (at & 7) == 0 && memory.read(at, 16) instanceof MemoryRead.Bytes(ByteView view)
        ? Optional.of(new long[] {view.u64(0), view.u64(8)})
        : Optional.empty();
  }

  /// The one value that differs by one bit and leads to a node that leads back; 0 if there is none
  /// or more than one.
  private static long oneBitAway(VirtualMemory memory, ListWalk.BadLink bad) {
    boolean isNext = bad.member().equals("next");
    long node = isNext ? bad.address() : bad.address() - 8;
    long found = 0;
    for (int bit = 0; bit < 64; bit++) {
      long value = bad.value() ^ (1L << bit);
      Optional<long[]> target = links(memory, value);
      if (target.isPresent() && target.get()[isNext ? 1 : 0] == node) {
        if (found != 0) {
          return 0;
        }
        found = value;
      }
    }
    return found;
  }
}
