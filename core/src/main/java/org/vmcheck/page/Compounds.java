package org.vmcheck.page;

/// Compound pages, followed as their descriptors go by: the head's flag, the way back of each tail,
/// the order. Slabs are left to the checks of slabs.
final class Compounds {
  /// `MAX_ORDER` of any configuration, huge pages included.
  private static final int MAX_ORDER = 18;

  private final MemMap memMap;
  private final RareFaults faults;
  private long head = -1;
  private long headFlags;
  private long end;
  private int order;
  private boolean isLost;
  private boolean isSlab;
  private long tails;
  private int bad;
  private long badPfn;
  private long badWord;
  private long goodWord;
  private long orderWord;
  private long lastPlain = -1;
  private long lastFlags;
  private long count;

  Compounds(MemMap memMap, RareFaults faults) {
    this.memMap = memMap;
    this.faults = faults;
  }

  long count() {
    return count;
  }

  boolean isInSlab() {
    return head >= 0 && isSlab;
  }

  long head() {
    return head;
  }

  /// A page that is no tail.
  ///
  /// @return whether it lies within a compound page all the same: a tail that lost its mark, which
  ///   is judged with the others
  boolean plain(long pfn, long flags, boolean isSlabPage, byte[] bytes, int at) {
    if (head >= 0) {
      if (pfn == head + 1) {
        order(pfn, bytes, at);
      }
      if (pfn < end && bad < 2) {
        bad(pfn, MemMap.word(bytes, at + memMap.shape().compoundAt()));
        return true;
      }
      finish();
    }
    lastPlain = pfn;
    lastFlags = flags;
    if ((flags & memMap.shape().headMask()) != 0 && memMap.shape().orderAt() >= 0) {
      begin(pfn, flags, false, isSlabPage);
    }
    return false;
  }

  private void begin(long pfn, long flags, boolean lost, boolean slab) {
    head = pfn;
    headFlags = flags;
    end = pfn;
    order = -1;
    isLost = lost;
    isSlab = slab;
    tails = 0;
    bad = 0;
  }

  /// A tail.
  void tail(long pfn, long word, byte[] bytes, int at) {
    long of = memMap.headOf(pfn, word);
    if (head < 0 || (pfn >= end && order >= 0 && of != head)) {
      finish();
      if (pfn != lastPlain + 1 || of != lastPlain || memMap.shape().orderAt() < 0) {
        return;
      }
      begin(lastPlain, lastFlags, true, false);
    }
    if (pfn == head + 1) {
      order(pfn, bytes, at);
    }
    if (of == head) {
      tails++;
      goodWord = word;
    } else {
      bad(pfn, word);
    }
  }

  /// The second descriptor tells it.
  private void order(long pfn, byte[] bytes, int at) {
    int orderAt = at + memMap.shape().orderAt() - memMap.shape().size();
    order = bytes[orderAt] & 0xff;
    orderWord = MemMap.word(bytes, orderAt & -8);
    end = order >= 1 && order <= MAX_ORDER ? head + (1L << order) : pfn;
  }

  private void bad(long pfn, long word) {
    bad++;
    badPfn = pfn;
    badWord = word;
    if (bad >= 3) {
      finish();
    }
  }

  /// Judges what was met of the last one.
  void finish() {
    if (head < 0) {
      return;
    }
    long pages = tails + 1;
    long first = memMap.descriptor(head);
    int size = memMap.shape().size();
    boolean agrees = order >= 1 && order <= MAX_ORDER && pages + bad == 1L << order;
    if (!isSlab && agrees && bad == 0) {
      count++;
      if (isLost && tails >= 3) {
        long flags = headFlags | memMap.shape().headMask();
        add(head, first + memMap.shape().flagsAt(), "flags", headFlags, flags);
      }
    } else if (!isSlab && agrees && bad == 1 && !isLost) {
      // Tails are set up and torn down from the first on: another one is not on its way.
      long right = goodWord;
      if (tails >= 2 && (Long.bitCount(badWord ^ right) == 1 || badPfn > head + 1)) {
        long address = first + (badPfn - head) * size + memMap.shape().compoundAt();
        add(badPfn, address, "compound_head", badWord, right);
      }
    } else if (!isSlab && bad == 0 && !isLost && order > 0 && tails > 0) {
      int real = Long.numberOfTrailingZeros(pages);
      if (Long.bitCount(pages) == 1 && (head & (pages - 1)) == 0 && real != order) {
        int shift = 8 * (memMap.shape().orderAt() & 7);
        long right = (orderWord & ~(0xffL << shift)) | (long) real << shift;
        add(head + 1, first + (memMap.shape().orderAt() & -8), "order", orderWord, right);
      }
    }
    head = -1;
  }

  private void add(long pfn, long address, String member, long value, long right) {
    faults.add(
        8,
        new PageFault(
            PageFault.Reason.COMPOUND,
            "a compound page",
            pfn,
            address,
            member,
            value,
            right,
            true));
  }
}
