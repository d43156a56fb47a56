package org.vmcheck.testing;

/// Flags of a slab cache: a fixed mask up to 6.8, a numbered bit from 6.9 on (Linux cc61eb851dd2
/// "mm, slab: use an enum to define SLAB_ cache creation flags").
///
/// The numbers are those of a build without DEBUG_OBJECTS and the like, which shift the later ones.
public enum CacheFlag {
  CONSISTENCY_CHECKS(0x100, "_SLAB_CONSISTENCY_CHECKS", 0),
  RED_ZONE(0x400, "_SLAB_RED_ZONE", 1),
  POISON(0x800, "_SLAB_POISON", 2),
  KMALLOC(0x1000, "_SLAB_KMALLOC", 3),
  HWCACHE_ALIGN(0x2000, "_SLAB_HWCACHE_ALIGN", 4),
  CACHE_DMA(0x4000, "_SLAB_CACHE_DMA", 5),
  STORE_USER(0x10000, "_SLAB_STORE_USER", 7),
  PANIC(0x40000, "_SLAB_PANIC", 8),
  TYPESAFE_BY_RCU(0x80000, "_SLAB_TYPESAFE_BY_RCU", 9),
  TRACE(0x200000, "_SLAB_TRACE", 10),
  OBJECT_POISON(0x80000000L, "_SLAB_OBJECT_POISON", 16),
  CMPXCHG_DOUBLE(0x40000000L, "_SLAB_CMPXCHG_DOUBLE", 17);

  private final long mask;
  private final String enumerator;
  private final int bit;

  CacheFlag(long mask, String enumerator, int bit) {
    this.mask = mask;
    this.enumerator = enumerator;
    this.bit = bit;
  }

  String enumerator() {
    return enumerator;
  }

  int bit() {
    return bit;
  }

  /// Its value in kernels of that layout.
  long value(Layout layout) {
    return layout.hasFlagBits() ? 1L << bit : mask;
  }
}
