package org.vmcheck.desk;

import java.util.Map;
import java.util.Optional;

/// Words that the kernel writes where a pointer must not be followed, or memory must not be used
/// (Linux `include/linux/poison.h`, `mm/kfence/kfence.h`, `include/linux/refcount.h`).
final class Poison {
  /// `POISON_POINTER_DELTA` of 64-bit kernels (`CONFIG_ILLEGAL_POINTER_VALUE`).
  private static final long DELTA = 0xdead_0000_0000_0000L;

  private static final Map<Long, String> WORDS =
      Map.ofEntries(
          Map.entry(DELTA + 0x100, "LIST_POISON1: next of an entry that was removed from its list"),
          Map.entry(
              DELTA + 0x122, "LIST_POISON2: prev or pprev of an entry that was removed (4.19 on)"),
          Map.entry(
              DELTA + 0x200, "LIST_POISON2: prev or pprev of an entry that was removed (to 4.18)"),
          Map.entry(DELTA + 0x300, "TIMER_ENTRY_STATIC: a static timer that was never started"),
          Map.entry(DELTA + 0x400, "TAIL_MAPPING: mapping of a tail page"),
          Map.entry(DELTA + 0x500, "MUTEX_POISON_WW_CTX"),
          Map.entry(DELTA + 0x040, "PP_SIGNATURE: a page of a page_pool"),
          Map.entry(DELTA + 0x800, "SKB_LIST_POISON_NEXT"),
          Map.entry(DELTA + 0xeb9f, "BPF_PTR_POISON"),
          Map.entry(DELTA + 0xd390, "STACK_DEPOT_POISON"),
          Map.entry(DELTA + 0x1091, "IO_URING_PTR_POISON"),
          Map.entry(DELTA + 0xf5, "VFS_PTR_POISON"),
          Map.entry(0xa56b_6b6b_6b6b_6b6bL, "the last word of a free object with SLUB's poison"),
          Map.entry(0xadac_afae_a9a8_abaaL, "canary of KFENCE, around an object of its pool"),
          Map.entry(0x57ac_6e9dL, "STACK_END_MAGIC: the lowest word of a task's stack"),
          Map.entry(-0xbeefL, "filler of an erased stack (STACKLEAK, KSTACK_ERASE)"),
          Map.entry(0xdead_4eadL, "magic of a spinlock (DEBUG_SPINLOCK)"),
          Map.entry(0xdeaf_1eedL, "magic of a rwlock (DEBUG_SPINLOCK)"),
          Map.entry(0xc000_0000L, "a saturated refcount_t"),
          Map.entry(0x41b5_8ab3L, "magic of a stack frame (KASAN)"),
          Map.entry(0x09f9_1102_9d74_e35bL, "red zone of a free object (SLAB, RED_INACTIVE)"),
          Map.entry(0xd841_56c5_6356_88c0L, "red zone of an allocated object (SLAB, RED_ACTIVE)"));

  /// Bytes that fill memory.
  private static final Map<Integer, String> FILLS =
      Map.ofEntries(
          Map.entry(0x6b, "POISON_FREE: SLUB's poison in a free object"),
          Map.entry(0x5a, "POISON_INUSE: SLUB's poison in an object that was never written"),
          Map.entry(0xbb, "SLUB_RED_INACTIVE: red zone of a free object"),
          Map.entry(
              0xcc,
              "SLUB_RED_ACTIVE: red zone of an allocated object; also freed init memory and the"
                  + " padding between functions"),
          Map.entry(0xaa, "PAGE_POISON: a free page (page_poison=1)"),
          Map.entry(0x11, "MUTEX_DEBUG_INIT"),
          Map.entry(0x22, "MUTEX_DEBUG_FREE"),
          Map.entry(0x5b, "JBD_POISON_FREE"),
          Map.entry(0x5c, "JBD2_POISON_FREE"),
          Map.entry(0xa7, "POOL_POISON_FREED: freed memory of a DMA pool"),
          Map.entry(0xa9, "POOL_POISON_ALLOCATED: fresh memory of a DMA pool"),
          Map.entry(0xbd, "KEY_DESTROY: a key that was destroyed"),
          Map.entry(
              0xff, "all ones: -1, memory that was never set up, or an error pointer of -EPERM"));

  private Poison() {}

  /// What a word is; empty if it is no poison.
  static Optional<String> of(long word) {
    String exact = WORDS.get(word);
    if (exact != null) {
      return Optional.of(exact);
    }
    int first = (int) (word & 0xff);
    return isFill(word) ? Optional.ofNullable(FILLS.get(first)) : Optional.empty();
  }

  /// Whether the eight bytes are one byte.
  private static boolean isFill(long word) {
    return word == (word & 0xff) * 0x0101_0101_0101_0101L;
  }
}
