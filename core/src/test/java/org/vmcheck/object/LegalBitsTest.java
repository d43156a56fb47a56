package org.vmcheck.object;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.vmcheck.debuginfo.Member;
import org.vmcheck.debuginfo.StructLayout;

class LegalBitsTest {
  private final LegalBits legal = new LegalBits(100, 1 << 20);

  private static Member member(String name, int offset, int bytes, boolean isBool) {
    return new Member(name, offset * 8L, 0, bytes, -1, Optional::empty, "", isBool);
  }

  private static Member inner(String name, int offset, StructLayout struct, int count) {
    return new Member(
        name, offset * 8L, 0, struct.size() * Math.max(1, count), count, () -> Optional.of(struct));
  }

  private static StructLayout struct(String name, int size, Member... members) {
    return new StructLayout(name, size, List.of(members));
  }

  private static final StructLayout LOCK =
      struct("qspinlock", 4, member("val", 0, 4, false), member("locked", 0, 1, false));

  @Test
  void aBoolHasOneBit() {
    assertThat(legal.of(struct("s", 16, member("is", 3, 1, true))))
        .containsExactly(new LegalBits.Leaf(24, 8, 1, "a bool"));
  }

  @Test
  void whatSharesItsBytesSaysNothing() {
    assertThat(legal.of(struct("s", 16, member("is", 3, 1, true), member("all", 0, 8, false))))
        .isEmpty();
  }

  /// 100 CPUs: the tail has the number of one, 1 to 100, above bit 18.
  @Test
  void aSpinlockHasTheBitsOfItsParts() {
    assertThat(legal.of(struct("s", 16, inner("lock", 8, LOCK, -1))))
        .containsExactly(new LegalBits.Leaf(64, 32, 0x1ff0103, "a spinlock"));
  }

  @Test
  void structuresAndArraysOfThemAreLookedInto() {
    StructLayout one = struct("one", 8, inner("lock", 4, LOCK, -1));
    assertThat(legal.of(struct("s", 24, inner("both", 8, one, 2))))
        .extracting(LegalBits.Leaf::bits)
        .containsExactlyInAnyOrder(96L, 160L);
  }

  @Test
  void theCountOfASemaphoreIsKnownFromTheOwnerOn() {
    Member count = member("count", 0, 8, false);
    StructLayout today = struct("rw_semaphore", 16, count, member("owner", 8, 8, false));
    assertThat(legal.of(today))
        .extracting(LegalBits.Leaf::legal)
        .containsExactly(0x8000_0000_3fff_ff07L);
    // Before 5.3 the owner was a pointer, and the count one of another kind.
    Member owner = new Member("owner", 64, 0, 8, -1, Optional::empty, "struct task_struct", false);
    assertThat(legal.of(struct("rw_semaphore", 16, count, owner))).isEmpty();
  }

  /// Of a kernel of which one CPU is known there may be more.
  @Test
  void cpusThatAreNotKnownMayHoldALock() {
    assertThat(new LegalBits(1, 1).of(struct("s", 4, inner("lock", 0, LOCK, -1))))
        .extracting(LegalBits.Leaf::legal)
        .containsExactly(0x1ff0103L);
  }

  @Test
  void aFileHasNoMorePagesThanTheMachine() {
    assertThat(legal.of(struct("address_space", 16, member("nrpages", 8, 8, false))))
        .extracting(LegalBits.Leaf::legal)
        .containsExactly(0x1f_ffffL);
  }
}
