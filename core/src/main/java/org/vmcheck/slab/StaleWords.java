package org.vmcheck.slab;

import java.util.Collection;
import java.util.OptionalLong;
import org.vmcheck.kernel.Kernel;

/// Words that an object may hold from the time before it was taken, for not all who take one clear
/// it: the free pointer of any cache, as pages go from cache to cache, and the poison of
/// `slub_debug`.
public final class StaleWords {
  /// A free pointer leads to an object of the same slab, which is no larger.
  private static final long LARGEST_SLAB = 1 << 20;

  private static final FreelistDecoder[] ENCODED = {
    FreelistDecoder.HARDENED, FreelistDecoder.HARDENED_SWAPPED
  };

  private final Collection<SlabCache> caches;
  private final boolean isClearing;
  private final long poison;

  /// @param caches all that are known
  public StaleWords(Kernel kernel, Collection<SlabCache> caches) {
    this.caches = caches;
    // struct static_key_false, whose first word counts who turned it on.
    this.isClearing = kernel.variable32("init_on_alloc").orElse(0) > 0;
    this.poison =
        kernel
            .types()
            .map(types -> SlabFlags.of(types, OptionalLong.empty(), OptionalLong.empty()).poison())
            .orElse(-1L);
  }

  /// Whether what was in memory before cannot be in a cache's objects, but for the free pointer and
  /// what objects of the same kind had: the kernel clears pages as they are taken (`init_on_alloc`,
  /// Linux 6471384af2a6 "mm: security: introduce init_on_alloc=1 and init_on_free=1 boot options").
  /// In others a member that its user has not written yet may hold anything.
  public boolean areCleared(SlabCache cache) {
    return isClearing && (cache.flags() & poison) == 0;
  }

  public boolean isOne(long value, long address) {
    return isPoison(value) || isFreePointer(value, address);
  }

  private static boolean isPoison(long value) {
    int first = (int) (value & 0xff);
    return value == first * 0x0101_0101_0101_0101L
        && (first == DebugPatterns.POISON_INUSE || first == DebugPatterns.POISON_FREE);
  }

  private boolean isFreePointer(long value, long address) {
    for (SlabCache cache : caches) {
      for (FreelistDecoder decoder : ENCODED) {
        long decoded = decoder.decode(value, address, cache.random());
        if (cache.random() != 0 && (decoded == 0 || Math.abs(decoded - address) <= LARGEST_SLAB)) {
          return true;
        }
      }
    }
    return false;
  }
}
