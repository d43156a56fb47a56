package org.vmcheck.object;

import java.util.BitSet;
import java.util.Map;
import java.util.TreeMap;
import org.vmcheck.io.ByteView;
import org.vmcheck.io.Cancellation;
import org.vmcheck.kernel.Kernel;
import org.vmcheck.kernel.WordCache;
import org.vmcheck.memory.VirtualMemory;
import org.vmcheck.page.MemMap;
import org.vmcheck.slab.Slab;
import org.vmcheck.slab.SlabCache;
import org.vmcheck.slab.SlabSurvey;
import org.vmcheck.slab.SlabView;

/// All objects of slabs that somebody holds, one after the other, with their words.
final class AllocatedObjects {
  static final int WORD = 8;

  /// Objects of a megabyte are no structures.
  private static final int MAX_WORDS = 1 << 13;

  private final Kernel kernel;
  private final MemMap memMap;
  private final VirtualMemory memory;
  private final WordCache words;
  private final Map<String, Long> notRead = new TreeMap<>();
  private final long[] ofObject = new long[MAX_WORDS];

  /// Takes objects.
  interface Taker {
    /// @param words those of the object, and perhaps others behind them
    /// @param count how many are the object's
    void object(SlabCache cache, long object, long[] words, int count);
  }

  AllocatedObjects(Kernel kernel, MemMap memMap, WordCache words) {
    this.kernel = kernel;
    this.memMap = memMap;
    this.memory = kernel.memory();
    this.words = words;
  }

  /// What the last sweep could not read, by reason.
  Map<String, Long> notRead() {
    return notRead;
  }

  void each(Taker taker) {
    notRead.clear();
    SlabSurvey.eachView(
        kernel,
        memMap,
        0,
        memory.physical().endPfn(),
        _ -> true,
        view -> {
          slab(view, taker);
          return true;
        });
  }

  private void slab(SlabView view, Taker taker) {
    Cancellation.check();
    Slab slab = view.slab();
    SlabCache cache = slab.cache();
    int count = Math.min(cache.objectSize() / WORD, MAX_WORDS);
    if (count < 1) {
      return;
    }
    if (!view.lists().stream().allMatch(list -> list.list().isClosed())) {
      // Which of its objects are free is not known.
      notRead.merge("slabs with a broken freelist", 1L, Long::sum);
      return;
    }
    BitSet free = free(view);
    for (int i = free.nextClearBit(0); i < slab.walkableObjects(); i = free.nextClearBit(i + 1)) {
      long object = slab.object(i);
      if (read(object, count)) {
        taker.object(cache, object, ofObject, count);
      } else {
        notRead.merge("objects", 1L, Long::sum);
      }
    }
  }

  /// Objects that nobody holds, those on their way to be freed among them.
  private static BitSet free(SlabView view) {
    BitSet free = new BitSet();
    for (SlabView.FreeObjects list : view.lists()) {
      list.objects().forEach(free::set);
    }
    return free;
  }

  /// Reads an object's words; those of pages behind its first that are not stored are 0.
  private boolean read(long object, int count) {
    long inPage = memory.pageSize() - 1L;
    ByteView page = words.page(object);
    if (page == null || (object & 7) != 0) {
      return false;
    }
    for (int i = 0; i < count; i++) {
      long at = object + (long) i * WORD;
      if ((at & inPage) == 0) {
        page = words.page(at);
      }
      ofObject[i] = page == null ? 0 : page.u64(at & inPage);
    }
    return true;
  }
}
