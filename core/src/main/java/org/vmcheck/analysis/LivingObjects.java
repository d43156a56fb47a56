package org.vmcheck.analysis;

import java.util.HashMap;
import java.util.Map;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;

/// What the objects of a cache that are in use hold: whether a strange word in a free one may be
/// what its last user left there.
final class LivingObjects {
  /// Objects that are looked at: enough to say "never", few enough to be fast.
  private static final int MOST = 4096;

  /// Of fewer nothing is said.
  private static final int LEAST = 32;

  private final Kernel kernel;
  private final MemMap memMap;
  private final Map<String, Map<Long, Boolean>> known = new HashMap<>();

  LivingObjects(Kernel kernel, MemMap memMap) {
    this.kernel = kernel;
    this.memMap = memMap;
  }

  /// Whether enough objects of the cache are in use, and none has text at an offset.
  boolean neverText(String cache, long offset) {
    return known
        .computeIfAbsent(cache, _ -> new HashMap<>())
        .computeIfAbsent(offset, at -> look(cache, at));
  }

  private boolean look(String cache, long offset) {
    int[] seen = {0, 0};
    SlabSurvey.eachView(
        kernel,
        memMap,
        0,
        memMap.endPfn(),
        one -> one.name().equals(cache),
        view -> {
          Cancellation.current().step();
          count(view, offset, seen);
          return seen[1] == 0 && seen[0] < MOST;
        });
    return seen[0] >= LEAST && seen[1] == 0;
  }

  private void count(SlabView view, long offset, int[] seen) {
    Slab slab = view.slab();
    for (int i = 0; i < slab.objects(); i++) {
      if (view.listOf(i) == null) {
        kernel
            .word(slab.object(i) + offset)
            .ifPresent(
                word -> {
                  seen[0]++;
                  seen[1] += isText(word) ? 1 : 0;
                });
      }
    }
  }

  /// Whether at least seven bytes of a word are of a text.
  static boolean isText(long word) {
    int printable = 0;
    for (int i = 0; i < 8; i++) {
      int b = (int) (word >>> (8 * i)) & 0xff;
      printable += (b >= 0x20 && b < 0x7f) || b == '\n' || b == '\t' ? 1 : 0;
    }
    return printable >= 7;
  }
}
