package org.vmcheck.page;

import java.util.Arrays;
import org.vmcheck.dump.PageBuffer;

/// What the kernel uses each of a run of frames for, told in one pass over their descriptors.
/// Serves one thread.
public final class PageUses implements MemMap.Visitor {
  /// No block of free pages is larger (`MAX_PAGE_ORDER` of any configuration).
  private static final int MAX_ORDER = 18;

  private final MemMap memMap;
  private final PageBuffer buffer;
  private long first;
  private PageState.Kind[] uses = {};
  private PageState.Kind kind = PageState.Kind.UNKNOWN;

  /// The frame behind the block of free pages that was met last.
  private long blockEnd;

  public PageUses(MemMap memMap) {
    this.memMap = memMap;
    this.buffer = memMap.newBuffer();
  }

  /// The uses of `count` frames from a frame on; [PageState.Kind#UNKNOWN] where no descriptor can
  /// be read.
  ///
  /// @return valid until the next call
  public PageState.Kind[] of(long firstPfn, int count) {
    if (uses.length < count) {
      uses = new PageState.Kind[count];
    }
    Arrays.fill(uses, PageState.Kind.UNKNOWN);
    first = firstPfn;
    blockEnd = firstPfn;
    kind = memMap.state(firstPfn).kind();
    memMap.stream(firstPfn, Math.min(firstPfn + count, memMap.endPfn()), this, buffer);
    return uses;
  }

  @Override
  public void page(long pfn, byte[] bytes, int at) {
    if (pfn >= blockEnd && !memMap.isTail(bytes, at)) {
      kind = memMap.use(bytes, at);
      if (kind == PageState.Kind.BUDDY && memMap.shape().privateAt() >= 0) {
        long order = MemMap.word(bytes, at + memMap.shape().privateAt());
        blockEnd = order >= 0 && order <= MAX_ORDER ? pfn + (1L << order) : pfn;
      }
    }
    uses[(int) (pfn - first)] = kind;
  }

  @Override
  public void unreadable(long firstPfn, long count) {
    // They stay unknown.
  }
}
