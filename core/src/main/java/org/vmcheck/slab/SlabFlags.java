package org.vmcheck.slab;

import java.util.OptionalLong;
import org.vmcheck.debuginfo.Types;

/// Masks of the flags in `kmem_cache.flags`.
///
/// Fixed values up to 6.8 (Linux `include/linux/slab.h`); from 6.9 on numbered by `enum
/// _slab_flag_bits`, whose later numbers shift with the configuration (cc61eb851dd2 "mm, slab: use
/// an enum to define SLAB_ cache creation flags").
///
/// @param isDebugging whether the flags of debugging options have an effect. Kernels that have the
///   static key `slub_debug_enabled` (5.9 on, ca0cab65ea2b "mm, slub: introduce static key for
///   slub_debug()") look at them only while it is on, and before 5.13 only `slub_debug=` turns it
///   on: a cache that was created with SLAB_RED_ZONE has the flag and the size then, but its
///   objects start at the slab's first byte and no pattern is ever written
/// @param isClearing whether `init_on_free` is on
public record SlabFlags(
    long redZone,
    long poison,
    long kmalloc,
    long storeUser,
    long reclaimAccount,
    long typesafeByRcu,
    long objectPoison,
    long doubleExchange,
    long kasan,
    boolean isDebugging,
    boolean isClearing) {

  /// @param debugKey counter of the static key `slub_debug_enabled`; empty where there is none
  /// @param clearKey that of `init_on_free` (struct static_key_false, whose first word it is)
  static SlabFlags of(Types types, OptionalLong debugKey, OptionalLong clearKey) {
    return new SlabFlags(
        mask(types, "_SLAB_RED_ZONE", 0x400),
        mask(types, "_SLAB_POISON", 0x800),
        mask(types, "_SLAB_KMALLOC", 0x1000),
        mask(types, "_SLAB_STORE_USER", 0x10000),
        mask(types, "_SLAB_RECLAIM_ACCOUNT", 0x20000),
        mask(types, "_SLAB_TYPESAFE_BY_RCU", 0x80000),
        mask(types, "_SLAB_OBJECT_POISON", 0x80000000L),
        mask(types, "_SLAB_CMPXCHG_DOUBLE", 0x40000000),
        mask(types, "_SLAB_KASAN", 0x08000000),
        debugKey.orElse(1) != 0,
        clearKey.orElse(0) != 0);
  }

  /// A flag whose bit the enumeration lacks is one that this kernel does not have.
  private static long mask(Types types, String enumerator, long fixed) {
    OptionalLong bit = types.enumerator("_slab_flag_bits", enumerator);
    if (bit.isPresent()) {
      return bit.getAsLong() >= 0 && bit.getAsLong() < 64 ? 1L << bit.getAsLong() : 0;
    }
    return types.enumerator("_slab_flag_bits", "_SLAB_RED_ZONE").isPresent() ? 0 : fixed;
  }

  /// Whether the cache has red zones around its objects, and the kernel looks at them.
  public boolean hasRedZones(SlabCache cache) {
    return isDebugging && (cache.flags() & redZone) != 0;
  }

  public boolean hasPoison(SlabCache cache) {
    return isDebugging && (cache.flags() & poison) != 0;
  }

  /// Whether free objects are filled with poison.
  public boolean hasObjectPoison(SlabCache cache) {
    return isDebugging && (cache.flags() & objectPoison) != 0;
  }

  /// Whether each object carries who allocated and freed it.
  public boolean hasTracking(SlabCache cache) {
    return isDebugging && (cache.flags() & storeUser) != 0;
  }

  /// Whether the pages of the cache count as ones that the kernel can take back.
  public boolean isReclaimable(SlabCache cache) {
    return (cache.flags() & reclaimAccount) != 0;
  }

  public boolean isKmalloc(SlabCache cache) {
    return (cache.flags() & kmalloc) != 0;
  }

  /// Whether KASAN keeps data of its own in and behind the objects.
  public boolean hasKasan(SlabCache cache) {
    return (cache.flags() & kasan) != 0;
  }

  /// Whether freelist and counters of a slab change in one instruction, without a lock.
  boolean hasDoubleExchange(SlabCache cache) {
    return (cache.flags() & doubleExchange) != 0;
  }

  /// Whether objects of the cache are cleared when they are freed (mm/slab.h,
  /// slab_want_init_on_free): the flag counts there, whether debugging is on or not.
  public boolean isClearedOnFree(SlabCache cache) {
    return isClearing && !cache.hasConstructor() && (cache.flags() & (typesafeByRcu | poison)) == 0;
  }

  /// Whether empty slabs are given back only after a grace period.
  public boolean isTypesafeByRcu(SlabCache cache) {
    return (cache.flags() & typesafeByRcu) != 0;
  }
}
