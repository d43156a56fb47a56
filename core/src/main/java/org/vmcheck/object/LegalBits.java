package org.vmcheck.object;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;

/// Which bits of a structure's words no state of it ever has set, by the types of its members:
/// those of a `bool` but one, those of locks, counters and times that the kernel does not use.
/// Enumerations are not among them, for flags are stored in them that are no enumerators, nor are
/// reference counts, which may count bytes (`sk_wmem_alloc`).
///
/// Members that share their bytes with others (unions) say nothing.
final class LegalBits {
  /// Structures within structures that are looked into.
  private static final int MAX_DEPTH = 8;

  private static final int MAX_MEMBERS = 1 << 16;
  private static final long INT = 0xffff_ffffL;

  /// `_Q_LOCKED_MASK` with `_Q_SLOW_VAL`, which paravirtual locks have, `_Q_PENDING_VAL` and the
  /// two bits of `_Q_TAIL_IDX_MASK` (include/asm-generic/qspinlock_types.h). The number of a CPU,
  /// one more, is above these.
  private static final long SPINLOCK = 0x3 | 0x100 | 0x30000;

  private static final int SPINLOCK_CPU = 18;

  /// `RWSEM_WRITER_LOCKED`, `RWSEM_FLAG_WAITERS`, `RWSEM_FLAG_HANDOFF`, `RWSEM_FLAG_READFAIL` and
  /// as many readers as there may be tasks (kernel/locking/rwsem.c, from 5.3 on).
  private static final long RWSEM = 0x7 | ((1L << 22) - 1) << 8 | Long.MIN_VALUE;

  /// What is known of CPUs may be less than there are.
  private static final int FEWEST_CPUS = 64;

  private final int cpus;
  private final long pages;

  /// A member, or what it is made of.
  ///
  /// @param bits where it begins, from the structure's start
  /// @param width in bits
  /// @param legal those that may be set
  /// @param what it is, in words
  record Leaf(long bits, int width, long legal, String what) {
    /// Its value in the word that holds it.
    long in(long word) {
      return word >>> shift() & mask();
    }

    /// Bits of the word that holds it which are never set.
    long never() {
      return (~legal & mask()) << shift();
    }

    long mask() {
      return width == Long.SIZE ? -1 : (1L << width) - 1;
    }

    private long shift() {
      return bits % Long.SIZE;
    }
  }

  /// @param cpus the highest number of a CPU, and one more
  /// @param pages of the machine: no file has more of them in memory
  LegalBits(int cpus, long pages) {
    this.cpus = Math.max(cpus, FEWEST_CPUS);
    this.pages = pages;
  }

  /// The members of a structure of which some bits are never set.
  List<Leaf> of(StructLayout struct) {
    List<Leaf> leaves = new ArrayList<>();
    byte[] covered = new byte[(int) Math.min(struct.size(), MAX_MEMBERS)];
    if (!walk(struct, 0, MAX_DEPTH, new int[] {MAX_MEMBERS}, leaves, covered)) {
      return List.of();
    }
    return leaves.stream().filter(leaf -> isAlone(leaf, covered)).toList();
  }

  private static boolean isAlone(Leaf leaf, byte[] covered) {
    int first = (int) (leaf.bits >>> 3);
    for (int i = first; i < first + leaf.width / 8; i++) {
      if (i >= covered.length || covered[i] != 1) {
        return false;
      }
    }
    return true;
  }

  private boolean walk(
      StructLayout struct, long base, int depth, int[] budget, List<Leaf> leaves, byte[] covered) {
    for (Member member : struct.all()) {
      if (--budget[0] < 0) {
        return false;
      }
      long start = base + member.offset();
      Optional<StructLayout> inner = member.struct();
      Optional<Leaf> known = known(struct, member, start);
      if (known.isPresent()) {
        leaves.add(known.get());
        cover(start, member.byteSize(), covered);
      } else if (inner.isPresent() && depth > 0 && inner.get().memberCount() > 0) {
        long each = Math.max(1, member.elementSize());
        for (long at = start;
            at < Math.min(start + member.byteSize(), covered.length);
            at += each) {
          if (--budget[0] < 0 || !walk(inner.get(), at, depth - 1, budget, leaves, covered)) {
            return false;
          }
        }
      } else {
        cover(start, Math.max(1, member.byteSize()), covered);
      }
    }
    return true;
  }

  private static void cover(long start, long bytes, byte[] covered) {
    for (long i = start; i < Math.min(start + bytes, covered.length); i++) {
      covered[(int) i] = (byte) Math.min(2, covered[(int) i] + 1);
    }
  }

  private Optional<Leaf> known(StructLayout struct, Member member, long start) {
    long bits = start * 8;
    int bytes = (int) Math.min(member.byteSize(), 8);
    String type = member.struct().map(StructLayout::name).orElse("");
    if (member.elementCount() >= 0 || member.isBitField()) {
      return Optional.empty();
    }
    if (type.equals("qspinlock") && bytes == 4) {
      return Optional.of(new Leaf(bits, 32, SPINLOCK | cpu() << SPINLOCK_CPU, "a spinlock"));
    }
    if (type.equals("lockref") && member.byteSize() == 8) {
      long lock = SPINLOCK | cpu() << SPINLOCK_CPU;
      return Optional.of(new Leaf(bits, 64, lock | ~INT, "a spinlock with a count"));
    }
    if (type.equals("optimistic_spin_queue") && bytes == 4) {
      return Optional.of(new Leaf(bits, 32, cpu(), "the queue of CPUs that wait for a lock"));
    }
    if (struct.name().equals("rw_semaphore")
        && member.name().equals("count")
        && bytes == 8
        && struct.member("owner").filter(owner -> owner.pointee().isEmpty()).isPresent()) {
      return Optional.of(new Leaf(bits, 64, RWSEM, "the count of a read-write semaphore"));
    }
    if (struct.name().equals("timespec64") && member.name().equals("tv_nsec") && bytes == 8) {
      return Optional.of(new Leaf(bits, 64, INT, "the nanoseconds of a time"));
    }
    if (struct.name().equals("address_space") && member.name().equals("nrpages") && bytes == 8) {
      long legal = 2 * Long.highestOneBit(pages) - 1;
      return Optional.of(new Leaf(bits, 64, legal, "the number of a file's pages in memory"));
    }
    if (struct.name().equals("inode") && member.name().equals("i_state") && bytes == 8) {
      return Optional.of(new Leaf(bits, 64, INT, "the state of an inode, of flags of 32 bits"));
    }
    if (member.isBool()) {
      return Optional.of(new Leaf(bits, 8, 1, "a bool"));
    }
    return Optional.empty();
  }

  /// The bits of a CPU's number, one more than it is.
  private long cpu() {
    return 2L * Long.highestOneBit(cpus) - 1;
  }
}
