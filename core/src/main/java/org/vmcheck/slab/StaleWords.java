package org.vmcheck.slab;

import java.util.Collection;

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

  /// @param caches all that are known
  public StaleWords(Collection<SlabCache> caches) {
    this.caches = caches;
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
